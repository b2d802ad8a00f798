"""`python -m captioner`, and the installed script: the command line."""

import sys

from textgen.process import run


def main() -> int:
    return run("captioner.cli")


if __name__ == "__main__":
    sys.exit(main())
