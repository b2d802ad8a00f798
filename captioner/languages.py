"""Captions in other languages: translated from English by a model of `textgen`, which is loaded only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from captioner.network.decoding import Caption
from textgen.errors import UserError

if TYPE_CHECKING:
    from textgen.translation.translator import Translator

LANGUAGES = {"de": "english-german", "fr": "english-french"}
"""Models in the box by the language that they translate into."""

_CAPITALS = {word: word.upper() for word in ("i", "tv", "bmx", "atv", "usa")}  # as people write them


def check_language(language: str | None) -> None:
    """Raises UserError for one that there is no translator for."""
    if language not in (None, "en", *LANGUAGES):
        raise UserError(f"language: unknown {language!r}; known: en, {', '.join(LANGUAGES)}")


def in_language(captions: Sequence[Caption], language: str | None) -> list[Caption]:
    """The captions, with a translation each where `language` is not English."""
    if language in (None, "en"):
        return list(captions)
    check_language(language)
    found = translator(str(language)).translate([as_sentence(caption.text) for caption in captions])
    return [replace(caption, translation=one.text) for caption, one in zip(captions, found, strict=True)]


def as_sentence(caption: str) -> str:
    """A caption as people write sentences, which translators learn from: with a capital and an end."""
    text = " ".join(_CAPITALS.get(word, word) for word in caption.split())
    return f"{text[:1].upper()}{text[1:]}" + ("" if not text or text[-1] in ".!?" else ".")


@cache
def translator(language: str) -> Translator:
    """The one into `language`, loaded once."""
    from textgen.translation.translator import Translator  # most never need it

    return Translator.load(LANGUAGES[language])
