"""Files here or behind an address, `s3://` or `gs://`, by pyarrow's file systems."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textgen.errors import UserError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_SCHEMES = ("s3://", "gs://", "gcs://", "file://", "hdfs://")


@dataclass(frozen=True)
class Place:
    """A file or folder."""

    address: str
    """As typed."""

    @property
    def is_remote(self) -> bool:
        return self.address.startswith(_SCHEMES)

    def resolved(self) -> tuple[FileSystem, str]:
        """The file system that it is in, and its path there. Raises UserError for an address that cannot be opened."""
        from pyarrow.fs import FileSystem, LocalFileSystem

        if not self.is_remote:
            return LocalFileSystem(), os.path.abspath(self.address)
        try:
            found: tuple[Any, str] = FileSystem.from_uri(self.address)
        except Exception as error:  # of the libraries behind it, each its own
            raise UserError(f"{self.address}: cannot be opened: {first_line(error)}") from error
        return found

    def joined(self, name: str) -> Place:
        """What is called `name` in it."""
        join = posixpath.join if self.is_remote else os.path.join
        return Place(join(self.address, name))


def read_bytes(system: FileSystem, path: str, start: int = 0, size: int | None = None) -> bytes:
    """What stands in a file, or a part of it."""
    with system.open_input_file(path) as file:
        file.seek(start)
        data: bytes = file.read(size) if size is not None else file.read()
    return data


def write_bytes(place: Place, data: bytes) -> None:
    """A file, whole or not at all: renamed where there are names, put in one piece where there are objects."""
    system, path = place.resolved()
    system.create_dir(posixpath.dirname(path), recursive=True)
    if place.is_remote and not place.address.startswith("file://"):
        with system.open_output_stream(path) as file:
            file.write(data)
        return
    beside = f"{path}.{os.getpid()}.part"
    with system.open_output_stream(beside) as file:
        file.write(data)
    system.move(beside, path)


def listing(place: Place, recursive: bool = True) -> list[tuple[str, int]]:
    """Files in a folder, by their paths in the file system, with their sizes; [] where there is none."""
    from pyarrow.fs import FileSelector, FileType

    system, path = place.resolved()
    if system.get_file_info(path).type != FileType.Directory:
        return []
    found = system.get_file_info(FileSelector(path, recursive=recursive))
    return sorted((info.path, info.size) for info in found if info.type == FileType.File)


def first_line(error: BaseException) -> str:
    """What an error of a library says, in a line."""
    return (str(error) or type(error).__name__).splitlines()[0]
