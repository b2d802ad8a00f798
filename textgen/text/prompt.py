"""What a model reads of a prompt: every character it knows, the nearest of what it does not, and a word on the rest."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from textgen.errors import UserError
from textgen.text.tokenizer import UNK, CharTokenizer, Tokenizer

_GAPS = re.compile("_+")  # which words are split without
_SIGNS = {
    **dict.fromkeys("“”„«»″", '"'),
    **dict.fromkeys("‘’‚′`´", "'"),
    **dict.fromkeys("–‐‑‒−", "-"),
    "—": "--",
    "―": "--",
    "…": "...",
    "\t": " ",
    '"': "'",
    "[": "(",
    "]": ")",
}


@dataclass(frozen=True)
class Prompt:
    """A prompt as typed, and as the model reads it."""

    text: str
    """As typed; it stands before the generated text, whatever the model could read of it."""
    ids: tuple[int, ...]
    last: str | None
    """The last piece read, which decides whether a space follows; None at the beginning of a text."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Pieces unknown to the model, and what it reads in their place."""
    unknown: tuple[str, ...] = ()
    """Pieces for which there is no equivalent: characters are left out, words read as the unknown word."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the model cannot read as it was typed, for people."""
        notes = []
        if self.replaced:
            pairs = ", ".join(f"{typed!r} as {read!r}" for typed, read in dict(self.replaced).items())
            notes.append(f"the model does not know all of the prompt; it reads {pairs}")
        if self.unknown:
            notes.append(f"the model does not know {', '.join(map(repr, dict.fromkeys(self.unknown)))}")
        return tuple(notes)


def read_prompt(text: str, tokenizer: Tokenizer) -> Prompt:
    """`text` as a model with `tokenizer` reads it. Raises UserError when it is not Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"prompt: character {error.start + 1} is not UTF-8") from error
    plain = text.replace("\r\n", "\n")
    pieces = tokenizer.split(plain)
    if not all(piece in tokenizer.ids for piece in pieces):
        # An accent may have been typed as a sign of its own.
        pieces = tokenizer.split(unicodedata.normalize("NFC", plain))
    # A prompt may end in an abbreviation, which at the end of a text is taken for a word and its full stop.
    if (
        len(pieces) > 1
        and pieces[-1] == "."
        and "".join(pieces[-2:]) in tokenizer.ids
        and pieces[-2] not in tokenizer.ids
    ):
        pieces = [*pieces[:-2], "".join(pieces[-2:])]
    ids, replaced, unknown = [], [], []
    for piece in pieces:
        if piece in tokenizer.ids:
            ids.append(tokenizer.ids[piece])
            continue
        typed = tokenizer.text_after(None, piece)
        for variant in _variants(piece):
            read = tokenizer.split(variant)
            if read and all(known in tokenizer.ids for known in read):
                ids += [tokenizer.ids[known] for known in read]
                replaced += [(typed, variant)] if typed != variant else []
                break
        else:
            unknown.append(typed)
            # Words beyond the vocabulary were trained as UNK; a character model has met few or none.
            if not isinstance(tokenizer, CharTokenizer):
                ids.append(UNK)
    if not any("_" in piece for piece in pieces):
        unknown += _GAPS.findall(plain)
    last = tokenizer.tokens[ids[-1]] if ids else None
    return Prompt(text, tuple(ids), last, tuple(replaced), tuple(unknown))


def _variants(piece: str) -> Iterator[str]:
    """Equivalents of `piece`, the nearest first."""
    plain = "".join(_SIGNS.get(char, char) for char in piece)
    bare = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    for variant in (plain, bare):
        yield from (variant, variant.lower(), variant.capitalize(), variant.upper())
        if variant in _SIGNS:
            yield _SIGNS[variant]
