"""Photos of Parquet tables: a row each, of a path, of bytes, or of both, as Hugging Face's `{"bytes": ..., "path": ...}`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from captioner.data.photo_reference import Reference
from captioner.data.remote import Place, escaped, first_line, opened
from textgen.errors import UserError

_IDS = ("id", "key", "name")
_PATHS = ("path", "file", "url", "uri")
_PHOTOS = ("image", "bytes", "jpg", "photo")  # bytes, or paths in other people's tables


class _Columns(NamedTuple):
    """Of a table: their names, None for one that it does not have."""

    id: str | None
    path: str | None
    data: str | None
    inner: bool
    """Whether `data` has a path beside its bytes."""


def table_rows(place: Place, name: str) -> Iterator[Reference]:
    """The photos of a table; one without an id is called by its path, or `name` and its row.

    Raises UserError for what is no table, and for one without photos.
    """
    import pyarrow.parquet

    try:
        with opened(place) as file:
            table = pyarrow.parquet.ParquetFile(file)
            columns = _columns(place, table.schema_arrow)
            inner = f"{columns.data}.path" if columns.inner else None
            wanted = [column for column in (columns.id, columns.path, inner) if column]
            count = table.metadata.num_rows
            cells = table.read(columns=wanted).to_pydict() if wanted else {}
    except UserError:
        raise
    except Exception as error:  # damaged tables raise nearly anything
        raise UserError(f"{place.address}: not a Parquet table, or damaged: {first_line(error)}") from error
    nothing = [None] * count
    ids, paths = cells.get(columns.id, nothing), cells.get(columns.path, nothing)
    inside = [cell and cell["path"] for cell in cells[columns.data]] if columns.inner else nothing
    for row in range(count):
        path = _text(paths[row])
        called = escaped(_text(ids[row]) or path) or f"{escaped(name)}:{row}"
        if columns.data:
            file, _ = _file(path or _text(inside[row]))
            yield Reference(called, place.address, row=row, column=columns.data, otherwise=file)
        else:
            file, why = _file(path)
            yield Reference(called, file, why=why)


def _columns(place: Place, schema: Any) -> _Columns:
    names = {column.lower(): column for column in schema.names}

    def first(group: tuple[str, ...], *kinds: str) -> str | None:
        found = (names[name] for name in group if name in names)
        return next((name for name in found if _kind(schema.field(name).type) in kinds), None)

    data = first(_PHOTOS, "bytes", "struct")
    path = first(_PATHS, "text", "bytes") or first(_PHOTOS, "text")
    if data is None and path is None:
        wanted, there = ", ".join((*_PATHS, *_PHOTOS)), ", ".join(schema.names)
        raise UserError(
            f"{place.address}: has no column of paths or bytes ({wanted}); its columns are {there}"
        )
    is_struct = data is not None and _kind(schema.field(data).type) == "struct"
    inner = is_struct and schema.field(data).type.get_field_index("path") >= 0
    known = next((names[name] for name in _IDS if name in names), None)
    return _Columns(known, path, data, inner)


def _kind(type: Any) -> str:
    import pyarrow

    types = pyarrow.types
    type = type.value_type if types.is_dictionary(type) else type
    if types.is_struct(type):
        return "struct" if type.get_field_index("bytes") >= 0 else "other"
    if types.is_string(type) or types.is_large_string(type) or types.is_string_view(type):
        return "text"
    is_binary = types.is_binary(type) or types.is_large_binary(type) or types.is_binary_view(type)
    return "bytes" if is_binary or types.is_fixed_size_binary(type) else "other"


def _text(value: object) -> str:
    """A cell as a name; nothing for an empty one: null, or NaN, which pandas makes of it."""
    if value is None or value != value:
        return ""
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _file(path: str) -> tuple[str, str]:
    """The file of a cell, and why there is none."""
    try:
        return (Place.of(path).address, "") if path else ("", "picture: the row has no path")
    except UserError as error:
        return "", f"picture: {error}"


def row_bytes(reference: Reference) -> bytes | None:
    """The bytes of a row, None where it has none. Raises UserError for a row that is not there."""
    row = reference.row or 0
    for group, size in enumerate(_groups(reference.file)):
        if row < size:
            value = _group(reference.file, reference.column, group)[row]
            value = value.get("bytes") if isinstance(value, dict) else value
            return value if isinstance(value, bytes) else None
        row -= size
    raise UserError("picture: no such row")


@lru_cache(2)
def _group(file: str, column: str, group: int) -> list[Any]:
    import pyarrow.parquet

    with opened(Place(file)) as table:
        read = pyarrow.parquet.ParquetFile(table).read_row_group(group, columns=[column])
        found: list[Any] = read.column(0).to_pylist()
    return found


@lru_cache(16)
def _groups(file: str) -> tuple[int, ...]:
    import pyarrow.parquet

    with opened(Place(file)) as table:
        metadata = pyarrow.parquet.ParquetFile(table).metadata
        return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
