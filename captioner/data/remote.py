"""Files here or behind an address, `s3://` or `gs://`: here by the system's own calls, there by pyarrow's file systems."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from textgen.errors import UserError
from textgen.storage.files import atomic_write

_REMOTE, _LOCAL = ("s3://", "gs://", "gcs://", "hdfs://"), "file://"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A file or folder."""

    address: str
    """An address, or a path of this machine; of what people typed, by `of`."""

    @classmethod
    def of(cls, typed: str) -> Place:
        """The place that was typed; one of this machine from the root on, so that it means the same to every process.

        Raises UserError for an address that is of no known kind.
        """
        if typed.startswith(_REMOTE):
            return cls(typed)
        if typed.startswith(_LOCAL):
            host, root, path = typed.removeprefix(_LOCAL).partition("/")
            if host not in ("", "localhost") or not root:
                raise UserError(f"{typed}: is not of this machine; write file:///FOLDER, from the root on")
            return cls(os.path.abspath(os.fsdecode(unquote_to_bytes(f"/{path}"))))
        if _SCHEME.match(typed):
            known = ", ".join((_LOCAL, *_REMOTE))
            raise UserError(f"{typed}: an address of an unknown kind; known: {known}; or download it first")
        return cls(os.path.abspath(typed))

    @property
    def is_remote(self) -> bool:
        return self.address.startswith(_REMOTE)

    def resolved(self) -> tuple[Any, str]:
        """pyarrow's file system that an address is in, and its path there. Raises UserError where it cannot be opened."""
        scheme, _, rest = self.address.partition("://")
        host, _, path = rest.partition("/")
        system, base = file_system(scheme, host)
        return system, posixpath.join(base, path).rstrip("/")

    def joined(self, name: str) -> Place:
        """What is called `name` in it."""
        return Place((posixpath if self.is_remote else os.path).join(self.address, name))


@lru_cache(16)
def file_system(scheme: str, host: str) -> tuple[Any, str]:
    """Opened once: an opening asks the server."""
    from pyarrow.fs import FileSystem

    try:
        found: tuple[Any, str] = FileSystem.from_uri(f"{scheme}://{host}")
    except Exception as error:  # of the libraries behind it, each its own
        raise UserError(f"{scheme}://{host}: cannot be opened: {first_line(error)}") from error
    return found


def kind(place: Place) -> Literal["file", "folder"] | None:
    """What is there."""
    if not place.is_remote:
        return "folder" if os.path.isdir(place.address) else "file" if os.path.exists(place.address) else None
    from pyarrow.fs import FileType

    system, path = place.resolved()
    kinds: dict[Any, Literal["file", "folder"]] = {FileType.File: "file", FileType.Directory: "folder"}
    return kinds.get(system.get_file_info(path).type)


def opened(place: Place) -> Any:
    """A binary file, to be read and closed."""
    if not place.is_remote:
        return open(place.address, "rb")
    system, path = place.resolved()
    return system.open_input_file(path)


def read_bytes(place: Place, start: int = 0, size: int | None = None) -> bytes:
    """What stands in a file, or a part of it."""
    with opened(place) as file:
        file.seek(start)
        data: bytes = file.read(size) if size is not None else file.read()
    return data


def write_bytes(place: Place, data: bytes) -> None:
    """A file, whole or not at all: flushed and renamed here, put in one piece where there are objects.

    Raises UserError naming the file and the reason.
    """
    if not place.is_remote:
        return atomic_write(Path(place.address), lambda file: file.write(data))
    system, path = place.resolved()
    try:
        system.create_dir(posixpath.dirname(path), recursive=True)
        with system.open_output_stream(path) as file:
            file.write(data)
    except OSError as error:
        raise UserError(f"{place.address}: cannot be written: {first_line(error)}") from error


def make_folder(place: Place) -> None:
    """Makes a folder here, where there is none; a store of objects has none. Raises UserError when it may not be written."""
    if place.is_remote:
        return
    try:
        os.makedirs(place.address, exist_ok=True)
    except OSError as error:
        why = "not a folder" if os.path.isfile(place.address) else f"cannot be made: {error.strerror}"
        raise UserError(f"{place.address}: {why}; name another folder") from error
    if not os.access(place.address, os.W_OK | os.X_OK):
        raise UserError(f"{place.address}: the folder may not be written; name another")


def listing(place: Place, recursive: bool = True) -> list[tuple[str, int]]:
    """Files in a folder, by their names from it on, with their sizes; [] where there is none."""
    if kind(place) != "folder":
        return []
    if not place.is_remote:
        return sorted(_walked(place.address, recursive))
    from pyarrow.fs import FileSelector, FileType

    system, path = place.resolved()
    found = system.get_file_info(FileSelector(path, recursive=recursive))
    return sorted((posixpath.relpath(one.path, path), one.size) for one in found if one.type == FileType.File)


def _walked(
    folder: str, recursive: bool, before: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, int]]:
    """pyarrow's own walk ends at a name that is not UTF-8."""
    status = os.stat(folder)
    own = (status.st_dev, status.st_ino)
    if own in above:  # a link to a folder that it is in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield before + entry.name, entry.stat().st_size
            elif recursive and entry.is_dir():
                yield from _walked(entry.path, recursive, f"{before}{entry.name}/", (*above, own))


def escaped(name: str) -> str:
    r"""A name that every file can hold: what is not UTF-8 in it is written as `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().split("\n")[0]
