"""`python -m captioner` is the command line."""

import sys

from captioner.cli import main

sys.exit(main())
