"""`python -m textgen`, and the installed script: the command line."""

import gc
import sys


def main() -> int:
    """The process of a command; returns its exit status."""
    # A tenth of a short command's time would be spent on finding that nothing of what it imports is garbage.
    gc.set_threshold(100_000)
    from textgen.cli import main

    status = main()
    gc.freeze()  # nor need the interpreter look for it at its end
    return status


if __name__ == "__main__":
    sys.exit(main())
