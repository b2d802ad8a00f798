"""Photos in great numbers: a folder, a pattern, a Parquet table of paths or bytes, tars of WebDataset; here or behind an
address. What is listed are references; what they refer to is read where it is needed."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import tarfile
from collections.abc import Iterator, Sequence

from captioner.data.photo_reference import Reference
from captioner.data.photo_tables import row_bytes, table_rows
from captioner.data.remote import Place, escaped, first_line, kind, listing, opened, read_bytes
from captioner.pictures.files import SUFFIXES
from textgen.errors import UserError

_PATTERN = "*?["


def references(address: str, out: Place | None = None) -> list[Reference]:
    """All photos of an address, each id once, without what lies in the folder `out` in it.

    Raises UserError where there is none, and naming an id that comes twice.
    """
    try:
        found = list(_listed(address, out))
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


def _listed(address: str, out: Place | None) -> Iterator[Reference]:
    place = Place.of(address)
    name = posixpath.basename(place.address)
    if any(sign in address for sign in _PATTERN) and kind(place) is None:
        yield from _matching(address)
    elif name.endswith(".parquet") and kind(place) != "folder":
        yield from table_rows(place, name)
    elif name.endswith(".tar") and kind(place) != "folder":
        yield from _members(place)
    else:
        names = [name for name, _ in listing(place)]
        own = _within(place, out)
        yield from _of_files(place, [name for name in names if not own or not name.startswith(own)])


def _matching(address: str) -> Iterator[Reference]:
    folder, slash, name = address.rpartition("/")
    place = Place.of(f"{folder}{slash}" or ".")
    if any(sign in folder for sign in _PATTERN) and kind(place) is None:
        raise UserError(
            f"{address}: a pattern in a folder's name; only the last part may be one, and a folder is searched with its own"
        )
    names = [one for one, _ in listing(place, recursive=False)]
    yield from _of_files(place, [one for one in names if fnmatch.fnmatchcase(one, name)])


def _within(place: Place, out: Place | None) -> str:
    """How the names of what lies in `out` begin, where that is in the folder `place`."""
    if out is None or out.is_remote != place.is_remote:
        return ""
    one, other = (
        place.address.rstrip("/") if place.is_remote else os.path.realpath(place.address)
        for place in (place, out)
    )
    return other.removeprefix(one).lstrip("/") + "/" if other.startswith(f"{one.rstrip('/')}/") else ""


def _of_files(folder: Place, names: Sequence[str]) -> Iterator[Reference]:
    """The photos, then those of tables; not those of hidden files, of which some systems lay one beside each."""
    shown = [name for name in names if not posixpath.basename(name).startswith(".")]
    for name in shown:
        if name.endswith(".tar"):
            yield from _or_failure(name, _members(folder.joined(name), f"{name}/"))
        elif posixpath.splitext(name)[1].lower() in SUFFIXES:
            yield Reference(escaped(name), folder.joined(name).address)
    for name in shown:
        if name.endswith(".parquet"):
            yield from _or_failure(name, table_rows(folder.joined(name), name))


def _or_failure(name: str, found: Iterator[Reference]) -> Iterator[Reference]:
    """What is wrong with one of many files is its own failure; the others go on."""
    try:
        yield from found
    except UserError as error:
        yield Reference(escaped(name), "", why=str(error))


def _members(place: Place, before: str = "") -> Iterator[Reference]:
    try:
        with opened(place) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isfile() and posixpath.splitext(member.name)[1].lower() in SUFFIXES:
                    name = escaped(f"{before}{member.name}")
                    yield Reference(name, place.address, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{place.address}: not a tar, or damaged: {first_line(error)}") from error


def read_photo(reference: Reference) -> bytes:
    """The photo's bytes. Raises UserError saying why there are none."""
    if reference.why:
        raise UserError(reference.why)
    try:
        if reference.row is None:
            return _file_bytes(Place(reference.file), reference.start, reference.size)
        data = row_bytes(reference)
        if data is None and not reference.otherwise:
            raise UserError("picture: the row has no bytes")
        return _file_bytes(Place(reference.otherwise)) if data is None else data
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError("picture: no such file") from error
    except Exception as error:  # of a file, a table or a library behind either: one photo's
        raise UserError(f"picture: cannot be read: {first_line(error)}") from error


def _file_bytes(place: Place, start: int = 0, size: int | None = None) -> bytes:
    # A pipe or a device would be waited for, or read without end.
    if not place.is_remote and os.path.exists(place.address) and not os.path.isfile(place.address):
        raise UserError("picture: not a file")
    return read_bytes(place, start, size)
