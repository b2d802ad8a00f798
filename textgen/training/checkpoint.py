"""The state of a training on disk: whole after any crash, and loaded without running code."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from textgen.errors import UserError
from textgen.storage.files import atomic_write
from textgen.storage.typed import why_unreadable


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Training state (tensors, numbers, strings, lists, dicts) to `path`, atomically."""
    import torch

    def write(file: IO[bytes]) -> None:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # On a full disk torch's writer complains of a wrong position; the reason is underneath.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise

    atomic_write(path, write)


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote; runs no code. Raises UserError when the file is damaged."""
    import torch

    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; train without --resume to start anew") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    with file:
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
        except Exception as error:  # RuntimeError, EOFError, UnpicklingError, OSError, ... as the damage is
            raise UserError(
                f"{path}: not a checkpoint of this program, or damaged; delete it to start anew"
            ) from error
