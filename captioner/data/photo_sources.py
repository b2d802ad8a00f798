"""Photos in great numbers: a folder, a pattern, a Parquet table of paths or bytes, tars of WebDataset; here or behind an
address. What is listed are references; what they refer to is read where it is needed."""

from __future__ import annotations

import fnmatch
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from captioner.data.remote import Place, first_line, listing, read_bytes
from captioner.pictures.files import SUFFIXES
from textgen.errors import UserError

_IDS, _PATHS, _BYTES = (
    ("id", "key", "name"),
    ("path", "file", "url", "uri"),
    ("image", "bytes", "jpg", "photo"),
)
_PATTERN = "*?["


@dataclass(frozen=True)
class Reference:
    """Where a photo is."""

    id: str
    """By which it is found again in the output."""
    file: str
    """An address, or a path of this machine."""
    start: int = 0
    size: int | None = None
    """The stretch of the file that it is, of a tar."""
    row: int | None = None
    column: str = ""
    """Where it stands in a Parquet table."""


def references(address: str) -> list[Reference]:
    """All photos of an address, each id once. Raises UserError where there is none, and naming an id that comes twice."""
    try:
        found = list(_listed(address))
    except OSError as error:
        raise UserError(f"{address}: cannot be read: {first_line(error)}") from error
    if not found:
        raise UserError(f"{address}: no photo there; name a folder, a pattern, a Parquet table or a tar")
    seen: set[str] = set()
    for reference in found:
        if reference.id in seen:
            raise UserError(f"{address}: the id {reference.id!r} comes twice; give each photo its own")
        seen.add(reference.id)
    return found


def _listed(address: str) -> Iterator[Reference]:
    place = Place(address)
    name = posixpath.basename(address)
    if any(sign in name for sign in _PATTERN):
        folder = address[: len(address) - len(name)] or "."
        files = [(path, size) for path, size in listing(Place(folder), recursive=False)]
        yield from _of_files(
            folder, [one for one in files if fnmatch.fnmatch(posixpath.basename(one[0]), name)]
        )
        return
    if name.endswith(".parquet"):
        yield from _of_table(address)
    elif name.endswith(".tar"):
        yield from _of_tar(address)
    else:
        files = listing(place)
        tables = [path for path, _ in files if path.endswith(".parquet")]
        yield from _of_files(address, files)
        for path in tables:
            yield from _of_table(_address(address, path))


def _of_files(folder: str, files: list[tuple[str, int]]) -> Iterator[Reference]:
    _, base = Place(folder).resolved()
    for path, _ in files:
        own = posixpath.relpath(path, base)
        if path.endswith(".tar"):
            yield from _of_tar(_address(folder, path), f"{own}/")
        elif posixpath.splitext(path)[1].lower() in SUFFIXES and not posixpath.basename(path).startswith("."):
            yield Reference(own, _address(folder, path))


def _address(folder: str, path: str) -> str:
    """A path of the file system of `folder` as an address."""
    scheme, mark, _ = folder.partition("://")
    return f"{scheme}://{path}" if mark else path


def _of_tar(address: str, before: str = "") -> Iterator[Reference]:
    system, path = Place(address).resolved()
    try:
        with system.open_input_file(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isfile() and posixpath.splitext(member.name)[1].lower() in SUFFIXES:
                    yield Reference(f"{before}{member.name}", address, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{address}: not a tar, or damaged: {first_line(error)}") from error


def _of_table(address: str) -> Iterator[Reference]:
    import pyarrow.parquet

    system, path = Place(address).resolved()
    try:
        schema = pyarrow.parquet.read_schema(path, filesystem=system)
        names = {name.lower(): name for name in schema.names}
        kinds = [
            next((names[name] for name in group if name in names), None) for group in (_IDS, _PATHS, _BYTES)
        ]
        ids, paths, data = kinds
        if paths is None and data is None:
            wanted = ", ".join((*_PATHS, *_BYTES))
            raise UserError(
                f"{address}: has no column of paths or bytes ({wanted}); its columns are {', '.join(schema.names)}"
            )
        columns = [name for name in (ids, paths) if name]
        rows = pyarrow.parquet.ParquetFile(path, filesystem=system).metadata.num_rows
        table = (
            pyarrow.parquet.read_table(path, columns=columns, filesystem=system).to_pydict()
            if columns
            else {}
        )
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{address}: not a Parquet table, or damaged: {first_line(error)}") from error
    for row in range(rows):
        file = str(table[paths][row]) if paths else address
        name = str(table[ids][row]) if ids else file if paths else f"{posixpath.basename(path)}:{row}"
        yield Reference(name, file) if paths else Reference(name, address, row=row, column=str(data))


def read_photo(reference: Reference) -> bytes:
    """The photo's bytes. Raises UserError when it is not there."""
    try:
        if reference.row is not None:
            return _cell(reference.file, reference.column, reference.row)
        system, path = _resolved(reference.file)
        return read_bytes(system, path, reference.start, reference.size)
    except FileNotFoundError as error:
        raise UserError("picture: no such file") from error
    except OSError as error:
        raise UserError(f"picture: cannot be read: {first_line(error)}") from error


@lru_cache(16)
def _system(scheme: str, host: str) -> Any:
    return Place(f"{scheme}://{host}").resolved()[0]


def _resolved(address: str) -> tuple[Any, str]:
    place = Place(address)
    if not place.is_remote:
        return place.resolved()
    scheme, _, rest = address.partition("://")
    return _system(scheme, rest.partition("/")[0]), rest


@lru_cache(2)
def _group(file: str, column: str, group: int) -> list[Any]:
    import pyarrow.parquet

    system, path = Place(file).resolved()
    table = pyarrow.parquet.ParquetFile(path, filesystem=system)
    found: list[Any] = table.read_row_group(group, columns=[column]).column(0).to_pylist()
    return found


@lru_cache(16)
def _groups(file: str) -> tuple[int, ...]:
    import pyarrow.parquet

    system, path = Place(file).resolved()
    metadata = pyarrow.parquet.ParquetFile(path, filesystem=system).metadata
    return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


def _cell(file: str, column: str, row: int) -> bytes:
    for group, size in enumerate(_groups(file)):
        if row < size:
            value = _group(file, column, group)[row]
            # Hugging Face's tables have {"bytes": ..., "path": ...}.
            value = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(value, bytes):
                raise UserError("picture: the row has no bytes")
            return value
        row -= size
    raise UserError("picture: no such row")
