"""Names of files as people typed them: shown so, and told from web addresses."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

if sys.platform == "win32":
    from pathlib import WindowsPath as _Path
else:
    from pathlib import PosixPath as _Path

ADDRESS = "an address, not a file; download it first"
# With one slash, too, which is what a path makes of the two; a scheme of one letter is a drive.
_SCHEMES = r"https?|ftps?|sftp|file|s3|gs|gcs|az|abfss?|hf|ipfs|smb|ssh|git|blob"
_ADDRESS = re.compile(
    rf"(?:[a-z][a-z0-9+.-]+://|(?:{_SCHEMES}):/|data:[^/]*[,;/]|www\.[^/]+\.\w+/)", re.IGNORECASE
)
_LONGEST = 200  # characters of an address in a message: one may be a whole picture


class _TypedPath(_Path):
    """Paths that are made of it, its parent for one, are usual ones."""

    _typed: str = ""

    def __str__(self) -> str:
        return self._typed or super().__str__()

    # From Python 3.12 on paths are compared by what they show.
    def __eq__(self, other: object) -> bool:
        return Path(*self.parts) == (Path(*other.parts) if isinstance(other, _TypedPath) else other)

    def __hash__(self) -> int:
        return hash(Path(*self.parts))


def typed_path(name: str | os.PathLike[str]) -> Path:
    """The path of that name, which shows itself so in messages: `a//b`, `./a`, with all that paths leave out.

    One that is a path already stays as it is.
    """
    if isinstance(name, Path):
        return name
    path = _TypedPath(name)
    path._typed = os.fspath(name)
    return path


def is_address(name: str | os.PathLike[str]) -> bool:
    """Whether that is a place in the web or in a store rather than a file's name."""
    return bool(_ADDRESS.match(os.fspath(name)))


def shown(name: str | os.PathLike[str]) -> str:
    """A name as a message has it: as typed, but for the middle of an address that is longer than a line."""
    text = os.fspath(name)
    long = len(text) > _LONGEST and is_address(text)
    return f"{text[: _LONGEST // 2]}...{text[-20:]}" if long else text


def missing(name: str | os.PathLike[str], otherwise: str) -> str:
    """Why there is no file of that name: `otherwise`, but for an address."""
    return ADDRESS if is_address(name) else otherwise


def why_unreadable(path: str | os.PathLike[str], error: Exception) -> str:
    """What hinders the reading of a file, in a few words."""
    if is_address(path):
        return ADDRESS
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
