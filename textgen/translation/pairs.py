"""Pairs of a sentence and its translation, from files as people have them: tab-separated, two aligned files, or TMX."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from textgen.errors import UserError
from textgen.storage.typed import why_unreadable
from textgen.text.encodings import beginning, lines_of

_BAD = 0.1  # share of a file's lines without a tab from which on it is taken for none of pairs
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_CODES = {"bpt", "ept", "it", "ph", "ut"}  # what TMX calls a program's own marks within a sentence

Pair = tuple[str, str]
"""A sentence and its translation."""


@dataclass(frozen=True)
class Pairs:
    """Sentences with a translation each; one sentence may stand in several pairs."""

    pairs: tuple[Pair, ...]
    names: tuple[str, ...]
    """The files' names."""
    notes: tuple[str, ...] = ()
    """What was left out, for people."""

    @property
    def hash(self) -> str:
        """sha256 of all texts in order."""
        digest = hashlib.sha256()
        for text in itertools.chain.from_iterable(self.pairs):
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def references(self) -> dict[str, list[str]]:
        """Of each sentence, once, all its translations."""
        found: dict[str, list[str]] = {}
        for source, target in self.pairs:
            found.setdefault(source, []).append(target)
        return found


def grouped(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Files as pairs come from them: a TMX or a table with tabs, or two aligned ones that follow each other.

    Raises UserError for one without tabs that is followed by none.
    """
    groups: list[tuple[Path, ...]] = []
    rest = iter(paths)
    for path in rest:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a file; pairs are read more than once, so write them into one")
        if path.suffix.lower() == ".tmx" or "\t" in beginning(path):
            groups.append((path,))
        elif (other := next(rest, None)) is not None:
            groups.append((path, other))
        else:
            raise UserError(
                f"{path}: has no tab between a sentence and its translation; "
                "give pairs with a tab, or the file of the translations beside it"
            )
    return groups


def load_pairs(files: Sequence[Path], columns: Sequence[str] = (), languages: Sequence[str] = ()) -> Pairs:
    """The pairs of one of `grouped`'s groups: a `.tmx`, a table with tabs, or two files aligned line by line.

    Of a table the first two columns are taken, or, where its first line names them, the two `columns`, or, unless told, those
    of the two `languages`; a TMX has the languages of those codes, or the first two that it has. Raises UserError naming the
    file and, where it can, the line.
    """
    if columns and (len(columns) != 2 or len(set(columns)) < 2):
        raise UserError("columns: two are wanted, of the sentences and of their translations")
    notes: list[str] = []
    if len(files) == 2:
        pairs = _aligned(*files)
    elif files[0].suffix.lower() == ".tmx":
        pairs = _tmx(files[0], columns, notes)
    else:
        pairs = _table(files[0], list(lines_of(files[0])), columns, languages, notes)
    whole = [(source.strip(), target.strip()) for source, target in pairs]
    kept = list(dict.fromkeys(pair for pair in whole if all(pair)))
    if empty := sum(not all(pair) for pair in whole):
        notes.append(f"{empty:,} pairs with an empty side are left out")
    if twice := len(whole) - empty - len(kept):
        notes.append(f"{twice:,} pairs that stand there twice are taken once")
    if not kept:
        raise UserError(f"{files[0]}: no pair of sentences in it")
    return Pairs(tuple(kept), tuple(path.name for path in files), tuple(notes))


def _table(
    path: Path, lines: Sequence[str], columns: Sequence[str], languages: Sequence[str], notes: list[str]
) -> list[Pair]:
    places, first = (0, 1), 0
    header, second = ([cell.strip() for cell in line.split("\t")] for line in (*lines[:2], "", "")[:2])
    known = [name.casefold() for name in header]
    if not columns and {name.casefold() for name in languages} <= set(known) and len(set(languages)) == 2:
        notes.append(f"{path}: its first line names columns; {' and '.join(languages)} are taken")
        columns = languages
    elif not columns and _could_be_names(header) and not _could_be_names(second):
        notes.append(
            f"{path}: its first line is taken for a pair; if it names columns, tell --columns: "
            f"{' | '.join(header)}"[:400]
        )
    wanted = [name.casefold() for name in columns]
    if columns and set(wanted) <= set(known):
        places, first = (known.index(wanted[0]), known.index(wanted[1])), 1
    elif columns:
        none = f"its first line has no {' and '.join(columns)}"
        if len(header) > 2:
            raise UserError(f"{path}: --columns: {none}: {', '.join(header)}"[:400])
        notes.append(
            f"{path}: {none}; it is taken for a pair, the first column as {columns[0]}: {' | '.join(header)}"[
                :400
            ]
        )
    found, bad = [], []
    for number, line in enumerate(lines[first:], first + 1):
        cells = line.split("\t")
        if len(cells) > max(places):
            found.append((cells[places[0]], cells[places[1]]))
        elif line.strip():
            bad.append(number)
    what = "no tab" if max(places) == 1 else f"less than {max(places) + 1} columns"
    if len(bad) > _BAD * len(lines):
        raise UserError(
            f"{path}, line {bad[0]}: has {what}, as {len(bad):,} of {len(lines):,} lines; not pairs"
        )
    if bad:
        notes.append(f"{path}: {len(bad):,} lines have {what} and are left out, line {bad[0]} the first")
    return found


def _could_be_names(cells: Sequence[str]) -> bool:
    """Whether each of a table's cells is one word without marks."""
    return len(cells) > 1 and all(cell.replace("_", "").isalpha() for cell in cells)


def _aligned(path: Path, other: Path) -> list[Pair]:
    lines, others = list(lines_of(path)), list(lines_of(other))
    if len(lines) != len(others):
        raise UserError(
            f"{other}: has {len(others):,} lines, {path} has {len(lines):,}; aligned files have as many, "
            "and pairs in one file have tabs"
        )
    return list(zip(lines, others, strict=True))


def _tmx(path: Path, columns: Sequence[str], notes: list[str]) -> list[Pair]:
    found: list[Pair] = []
    wanted = [code.lower() for code in columns]
    missing = 0
    try:
        for unit in _units(path):
            # `en` is meant where a file has `en-GB`.
            for code in unit if len(wanted) < 2 else ():
                if code not in wanted:
                    wanted.append(code)
            texts = [
                next((text for code, text in unit.items() if code == name or code.startswith(f"{name}-")), "")
                for name in wanted[:2]
            ]
            if len(texts) == 2 and all(texts):
                found.append((texts[0], texts[1]))
            else:
                missing += 1
    except ElementTree.ParseError as error:
        raise UserError(f"{path}, line {error.position[0]}: not XML, or damaged; a TMX is wanted") from error
    except (LookupError, ValueError) as error:  # an encoding that the XML reader does not know
        raise UserError(f"{path}: in an encoding that cannot be read: {error}; save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    if not found:
        raise UserError(
            f"{path}: no pair of sentences in it in {' and '.join(wanted[:2]) or 'two languages'}"
        )
    if missing:
        notes.append(f"{path}: {missing:,} units without both of {' and '.join(wanted[:2])} are left out")
    return found


def _units(path: Path) -> Iterator[dict[str, str]]:
    """Of each translation unit its texts, by language; a unit at a time, so that a large file is never all in memory."""
    for _, element in ElementTree.iterparse(path):
        if element.tag.rpartition("}")[2] != "tu":
            continue
        unit: dict[str, str] = {}
        for variant in element:
            code = (variant.get(_LANGUAGE) or variant.get("lang") or "").lower()
            segment = next((part for part in variant if part.tag.rpartition("}")[2] == "seg"), None)
            if code and segment is not None:
                unit.setdefault(code, " ".join("".join(_spoken(segment)).split()))
        yield unit
        element.clear()


def _spoken(segment: ElementTree.Element) -> Iterator[str]:
    """The text of a segment without the codes of the program that it comes from."""
    yield segment.text or ""
    for part in segment:
        if part.tag.rpartition("}")[2] not in _CODES:
            yield from _spoken(part)
        yield part.tail or ""
