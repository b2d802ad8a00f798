"""Two processes of which one cannot do its part; run by `torchrun`."""

import sys

from textgen.errors import UserError
from textgen.rows import share
from textgen.training.processes import joined, together

failing = int(sys.argv[1])
try:
    with joined(), together(), together():
        if share().rank == failing:
            raise UserError("disk full")
except UserError as error:
    print(f"rank {share().rank}: {error}")
    sys.exit(2)
print("nobody noticed")
