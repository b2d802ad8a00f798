"""What people name on a command line - files, folders, patterns - becomes a list of picture files.

Only names are looked at; `captioner.pictures.load` opens the files.
"""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.typed import is_address, typed_path, why_unreadable

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)


def is_picture_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends as a picture's does; the content has the last word, in `load.load_image`."""
    return Path(path).suffix.lower() in SUFFIXES


def find_pictures(patterns: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders and globs to paths, in the order given, each path once, and files shown as they were typed.

    A folder stands for the pictures in it (sorted; not its folders, not hidden files), a glob for the files
    that it matches (sorted), as in a shell. A missing file is kept: `load.load_image` reports it.
    Raises UserError for a folder without pictures and for a glob without matches.
    """
    found: list[Path] = []
    for pattern in patterns:
        text = os.fspath(pattern)
        if not text:
            raise UserError(
                "a picture's name is empty: give a file, a folder or a pattern like 'photos/*.jpg'"
            )
        if os.path.isdir(text):
            found += _in_folder(text)
        elif os.path.lexists(text) or not glob.has_magic(text) or is_address(text):
            found.append(typed_path(text))
        else:
            matches = sorted(path for path in glob.glob(text, recursive=True) if not os.path.isdir(path))
            if not matches:
                raise UserError(f"{printable(text)}: no file matches this pattern")
            found += map(Path, matches)
    return list(dict.fromkeys(found))


def _in_folder(folder: str) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: the folder cannot be read: {why_unreadable(folder, error)}"
        ) from error
    paths = [Path(folder, name) for name in names if is_picture_name(name) and not name.startswith(".")]
    paths = [path for path in paths if not path.is_dir()]
    if not paths:
        raise UserError(f"{printable(folder)}: no pictures in this folder (its folders are not searched)")
    return paths


def printable(text: str) -> str:
    """A name for a message of one line: it may hold line feeds and undecodable bytes."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def told_apart(paths: Sequence[Path]) -> list[str]:
    """Short names of different paths: each its last part, with as many folders as it takes to be the only one."""
    parts = [path.absolute().parts for path in paths]
    return [Path(*own[-_needed(own, parts) :]).as_posix() for own in parts]


def _needed(own: Sequence[str], parts: Sequence[Sequence[str]]) -> int:
    """How many of its last parts a path needs among others."""
    size = 1
    while size < len(own) and sum(other[-size:] == own[-size:] for other in parts) > 1:
        size += 1
    return size
