"""`python -m textgen`, and the installed script: the command line."""

import sys

from textgen.process import run


def main() -> int:
    return run("textgen.cli")


if __name__ == "__main__":
    sys.exit(main())
