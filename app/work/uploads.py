"""Uploaded files for as long as a job needs them: in a folder that is gone afterwards, named as the visitor named them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO, Protocol

from captioner.pictures.files import printable
from textgen.errors import UserError

_ENTRY = rb"PK\x01\x02"  # begins each entry of a ZIP archive's table
_NOT_OURS = ("__MACOSX", ".")  # how folders and files begin that computers add on their own


class Uploaded(Protocol):
    """What Streamlit hands over: a file in memory, with its name, of a folder its path within it."""

    name: str
    size: int

    def getbuffer(self) -> memoryview: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True)
class Desk:
    """A temporary folder for the files of one job."""

    root: Path

    def put(self, drawer: str, file: Uploaded, megabytes: int) -> Path:
        """The path of one uploaded file. Raises UserError when it is larger than `megabytes`."""
        path = self.root / drawer / _parts(file.name)[-1]
        _check_size(file.size, megabytes, printable(path.name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getbuffer())
        return path

    def put_folder(self, drawer: str, files: Sequence[Uploaded], megabytes: int, most: int) -> Path:
        """The folder of uploaded files, or of what ZIP archives among them hold.

        Raises UserError, before anything is unpacked, when there are more than `most` files or all is larger than
        `megabytes`; for a damaged archive, and when two files have one name.
        """
        folder = self.root / drawer
        folder.mkdir()
        _check_count(sum(_entries(file) if _is_archive(file) else 1 for file in files), most)
        left = megabytes * 1_000_000
        for file in files:
            if _is_archive(file):
                left -= _unpack(file, folder, left, megabytes)
            else:
                left -= file.size
                _check_left(left, megabytes)
                _write(folder, file.name, partial(_put, file))
        inside = list(folder.iterdir())
        while len(inside) == 1 and inside[0].is_dir():  # an archive of a folder
            folder, inside = inside[0], list(inside[0].iterdir())
        return folder

    def without_paths(self, text: str) -> str:
        """`text` with the visitor's own names instead of ours."""
        named = re.sub(rf"{re.escape(str(self.root))}/[a-z0-9-]+/", "", text)
        return re.sub(rf"{re.escape(str(self.root))}/[a-z0-9-]+", "your folder", named)


@contextmanager
def desk() -> Iterator[Desk]:
    """A desk that is cleared at the end, whatever happens; errors name files as the visitor knows them."""
    with TemporaryDirectory(prefix="captioner-") as folder:
        here = Desk(Path(folder).resolve())
        try:
            yield here
        except UserError as error:
            raise UserError(here.without_paths(str(error))) from error


def _is_archive(file: Uploaded) -> bool:
    return _parts(file.name)[-1].lower().endswith(".zip")


def _entries(file: Uploaded) -> int:
    """How many entries a ZIP archive can hold at most, before any time or memory is spent on its table."""
    return sum(1 for _ in re.finditer(_ENTRY, file.getbuffer()))


def _unpack(file: Uploaded, folder: Path, left: int, megabytes: int) -> int:
    """Puts what a ZIP archive holds into `folder`; returns its size in bytes."""
    name = printable(_parts(file.name)[-1])
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            size = sum(entry.file_size for entry in entries)
            _check_left(left - size, megabytes)
            for entry in entries:
                with archive.open(entry) as packed:
                    # No more than the archive's table says, which was checked.
                    _write(folder, entry.filename, partial(_copy, packed))
            return size
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        locked = isinstance(error, RuntimeError) and "password" in str(error)
        why = "is locked by a password" if locked else "is damaged, or no ZIP archive"
        raise UserError(f"{name}: {why}; pack it anew") from error


def _put(file: Uploaded, target: BinaryIO) -> None:
    target.write(file.getbuffer())


def _copy(source: IO[bytes], target: BinaryIO) -> None:
    while chunk := source.read(1 << 20):
        target.write(chunk)


def _write(folder: Path, name: str, fill: Callable[[BinaryIO], None]) -> None:
    parts = _parts(name)
    if any(part.startswith(_NOT_OURS) for part in parts):
        return
    path = folder.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            fill(target)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{printable(name)}: is there twice; give each file a name of its own") from error


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the name in `name`, none of which leads out of a folder."""
    parts = PurePosixPath(name.replace("\\", "/").replace("\0", "")).parts
    return tuple(part for part in parts if part not in ("/", "..", ".")) or ("file",)


def _check_size(size: int, megabytes: int, name: str) -> None:
    if size > megabytes * 1_000_000:
        raise UserError(f"{name}: more than the limit of {megabytes} MB")


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise UserError(f"these are {count:,} files, more than the limit of {most:,}; take fewer")


def _check_left(left: int, megabytes: int) -> None:
    if left < 0:
        raise UserError(
            f"these files are more than the limit of {megabytes} MB together; take fewer or smaller ones"
        )
