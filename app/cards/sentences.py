"""Translations and classified texts as they are shown: words with the others that they go with, and shares as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from textgen.classification.classifier import Classification, Deciding
from textgen.report.web import Html, element, joined
from textgen.translation.alignment import Alignment

_STRONG = 2.0  # of a word's weight, in nats, from which on its tint does not grow


def style() -> None:
    """The style sheet, once a run."""
    st.html(Path(__file__).with_suffix(".css"))


def show_growing(slot: DeltaGenerator, text: str) -> None:
    """A translation as far as it has been spoken, in a place of the page, which may be called again and again."""
    caret = element("span", class_="caret", aria_hidden="true")
    slot.html(element("div", element("span", text), caret, class_="spoken", dir="auto", aria_busy="true"))


def show_alignment(alignment: Alignment) -> None:
    """A table with a row a word of the translation and a column a word of the sentence; the darker, the more it was read."""
    head = element("tr", element("td"), *(element("th", word, scope="col") for word in alignment.source))
    rows = [
        element("tr", element("th", word, scope="row"), *map(_cell, weights.tolist()))
        for word, weights in zip(alignment.target, alignment.weights, strict=True)
    ]
    caption = element("caption", "Which words each word was read from")
    table = element("table", caption, element("thead", head), element("tbody", *rows))
    # What is wider than the page moves within it, by keys, too.
    st.html(element("div", table, class_="alignment", tabindex=0, role="region", aria_label="Word by word"))


def _cell(weight: float) -> Html:
    percent = f"{weight:.0%}".replace("%", " %")
    return element("td", style=f"--weight: {weight:.2f}", title=percent, aria_label=percent)


def show_classes(found: Classification) -> None:
    """The probability of each class, the likeliest first."""
    rows = [
        element(
            "li",
            element("span", label, class_="class"),
            element(
                "span",
                element("span", style=f"width: {100 * share:.1f}%"),
                class_="share",
                aria_hidden="true",
            ),
            element("span", _percent(share), class_="percent"),
        )
        for label, share in found.probabilities.items()
    ]
    st.html(element("ol", *rows, class_="classes"))


def show_deciding(text: str, words: Sequence[Deciding], label: str) -> None:
    """The text, its words tinted by what they did for the class."""
    parts: list[Html | str] = []
    place = 0
    for word in words:
        parts.append(text[place : word.start])
        place = word.start + len(word.word)
        strength = min(abs(word.weight) / _STRONG, 1.0)
        side = "for" if word.weight > 0 else "against"
        parts.append(
            element(
                "span",
                word.word,
                class_=f"deciding {side}",
                style=f"--strength: {strength:.2f}",
                title=f"{word.weight:+.2f} for {label}",
            )
        )
    st.html(element("div", joined(*parts, text[place:]), class_="decided", dir="auto"))


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")
