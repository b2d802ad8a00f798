"""A process of a training that ends, well or badly, and says which of gloo's threads it leaves to the interpreter's end.

Run by `torchrun`.
"""

import atexit
import os
import sys
from pathlib import Path

import torch
from torch import nn

from textgen.errors import UserError
from textgen.training.processes import joined, parallel, wait


class _Training:
    """Refers to itself, as what is trained may."""

    def __init__(self) -> None:
        self.net = nn.Linear(3, 3)
        self.loss = parallel([self.net], self.loss_of)

    def loss_of(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.net(inputs).sum()


def _threads() -> list[str]:
    return [
        name for task in Path("/proc/self/task").iterdir() if "gloo" in (name := (task / "comm").read_text())
    ]


@joined()
def _train(ending: str) -> None:
    training = _Training()
    training.loss(torch.ones(2, 3)).backward()
    wait()
    print(f"under way: {len(_threads()) > 0}")
    if ending == "badly":
        raise UserError("disk full")


@atexit.register  # the first, so that it is called last
def _say() -> None:
    os.write(1, f"left: {_threads()}\n".encode())


try:
    _train(sys.argv[1])
except UserError:
    sys.exit(2)
