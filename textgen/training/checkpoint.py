"""Files that survive a crash: written beside, flushed, then renamed over the old one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from textgen.errors import UserError


def check_output(path: Path | None, flag: str, suffixes: tuple[str, ...] = ()) -> None:
    """Raises UserError when what `flag` names cannot be written, or looks like a slip: before hours of work, not after."""
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: is to be a {suffixes[0]} file ({flag}); name it so")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is not a file ({flag}); name one")
    if not path.parent.is_dir():
        raise UserError(f"{path}: no such folder ({flag}); make it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: the folder may not be written ({flag}); choose another")


def atomic_write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Replaces `path` by what `write` puts into a binary file, or leaves it as it was.

    After `kill -9` or a full disk the old file is whole. Raises UserError naming the file and the reason.
    """
    if path.exists() and not path.is_file():  # a device would become a file
        raise UserError(f"{path}: cannot be written: it is not a file")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; a model is to be read by whom the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def save_state(path: Path, state: dict) -> None:
    """Training state (tensors, numbers, strings, lists, dicts) to `path`, atomically."""
    import torch

    def write(file: BinaryIO) -> None:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # On a full disk torch's writer complains of a wrong position; the reason is underneath.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise

    atomic_write(path, write)


def load_state(path: Path) -> dict:
    """What `save_state` wrote; runs no code. Raises UserError when the file is damaged."""
    import torch

    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint; train without --resume to start anew") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # RuntimeError, EOFError, UnpicklingError, OSError, ... as the damage is
            raise UserError(
                f"{path}: not a checkpoint of this program, or damaged; delete it to start anew"
            ) from error
