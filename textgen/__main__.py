"""`python -m textgen`: the command line without an installed script."""

import sys

from textgen.cli import main

sys.exit(main())
