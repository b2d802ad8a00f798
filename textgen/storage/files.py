"""Files that survive a crash: written beside, flushed, then renamed over the old one."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from textgen.errors import UserError
from textgen.storage.typed import is_address

_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}")  # as `atomic_write` has `tempfile` name them


def check_output(
    path: Path | None,
    flag: str,
    suffixes: tuple[str, ...] = (),
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> None:
    """Raises UserError when what `flag` names cannot be written, or looks like a slip: before hours of work, not after.

    Nor may it be one of `inputs`, files that are read, whatever either is called: a link, or the same written otherwise.
    """
    if path is None:
        return
    if is_address(path):
        raise UserError(f"{path}: an address, not a file ({flag}); name a file of this computer")
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: is to be a {suffixes[0]} file ({flag}); name it so")
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is not a file ({flag}); name one")
    if not path.parent.is_dir():
        raise UserError(f"{path}: no such folder ({flag}); make it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: the folder may not be written ({flag}); choose another")
    if same := next((file for file in inputs if _is_same(path, file)), None):
        called = (
            "this command reads it" if str(same) == str(path) else f"it is {same}, which this command reads"
        )
        raise UserError(f"{path}: would be overwritten ({flag}), and {called}; name another file")


def check_folder(path: Path, flag: str) -> None:
    """Raises UserError when nothing can be written in the folder `path`, which `flag` names; nothing stays of the attempt."""
    made = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({flag}): {error.strerror or error}; choose another folder"
        ) from error
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def remove_unfinished(folder: Path) -> None:
    """Removes what calls of `atomic_write` that were killed left in `folder` and the folders in it."""
    for path in folder.rglob(".*"):
        if _UNFINISHED.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError):  # it is in nobody's way
                path.unlink()


def _is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one is not there
        return False


def atomic_write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replaces `path` by what `write` puts into a binary file, or leaves it as it was; what it returns is ignored.

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
