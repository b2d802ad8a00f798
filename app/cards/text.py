"""Generated texts as cards: shown as they grow, then with a button to copy and words that can be tapped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from textgen.alternatives import Place
from textgen.generator import GeneratedText
from textgen.report.web import Html, element, joined

_HERE = Path(__file__)
_NAMES = {"": "the end", " ": "space", "\n": "line break", "\n\n": "new paragraph"}
_LONG, _LINES = 500, 8  # characters and line breaks of a prompt that is shown whole
_EXPECTED, _SURPRISING = 0.2, 0.001  # probabilities between which a word's tint grows


@dataclass(frozen=True)
class Card:
    """One text."""

    title: str
    text: GeneratedText
    note: str = ""
    """How it came to stop, or that it is growing."""
    places: Sequence[Place] = ()
    """Makes its words buttons, where there are any."""


_wired = st.components.v2.component(
    "captioner_texts",
    html="<div data-texts></div>",
    js=_HERE.with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,  # the style sheet is that of the growing texts
)


def show_growing(slot: st.delta_generator.DeltaGenerator, cards: Sequence[Card]) -> None:
    """The cards in a place of the page, which may be called again and again."""
    slot.html(_cards(cards, growing=True))


def show(cards: Sequence[Card]) -> None:
    """The cards, which can be copied, and whose words can be tapped where they have places."""
    others = [[_other(place) for place in card.places] for card in cards]
    _wired(key="texts", data={"html": _cards(cards), "places": others})


def show_nothing(note: str) -> None:
    """Where the cards will be."""
    st.html(element("p", note, class_="texts-nothing"))


def style() -> None:
    """The cards' style sheet, once a run."""
    st.html(_HERE.with_suffix(".css"))


def _cards(cards: Sequence[Card], growing: bool = False) -> Html:
    shown = (_card(card, growing) for card in cards)
    return element("div", *shown, class_="texts many" if len(cards) > 1 else "texts")


def _card(card: Card, growing: bool) -> Html:
    copy = element("button", "Copy", type="button", class_="copy", aria_live="polite")
    head = element("header", element("h2", card.title), "" if growing else copy)
    prompt = _prompt(card.text.prompt)
    if card.places:
        words = joined(*(_word(place, number) for number, place in enumerate(card.places)))
        label = "The text; arrow keys step through its words"
        said = element("div", words, class_="words", role="group", aria_label=label)
        others = element("div", class_="others", aria_live="polite", hidden=True)
    else:
        said = element("span", card.text.text)
        others = Html()
    caret = element("span", class_="caret", aria_hidden="true") if growing else Html()
    body = element("div", prompt, said, caret, class_="text", dir="auto")
    note = element("p", card.note, class_="note") if card.note else Html()
    return element(
        "article", head, body, others, note, class_="text-card", aria_busy="true" if growing else None
    )


def _prompt(prompt: str) -> Html:
    """A long one shows its end, which the text goes on from, and can be scrolled."""
    if len(prompt) <= _LONG and prompt.count("\n") <= _LINES:
        return element("span", prompt, class_="prompt")
    label = "The beginning; arrow keys scroll it"
    return element(
        "div", element("span", prompt), class_="prompt long", tabindex=0, role="region", aria_label=label
    )


def _word(place: Place, number: int) -> Html:
    shown = place.text.strip(" ") or place.text
    space = place.text[: place.text.index(shown)]  # stays outside, where it has no tint
    word = element(
        "span",
        shown,
        class_="word break" if shown.startswith("\n") else "word",
        role="button",
        # One stop for the tab key; arrows go from word to word.
        tabindex=-1 if number else 0,
        style=f"--surprise: {_surprise(place.probability):.2f}",
        aria_label=_NAMES.get(shown),
    )
    return joined(space, word)


def _surprise(probability: float) -> float:
    """0 for what was to be expected, up to 1."""
    nats = math.log(_EXPECTED / max(probability, 1e-30))
    return min(1.0, max(0.0, nats / math.log(_EXPECTED / _SURPRISING)))


def _other(place: Place) -> dict[str, Any]:
    """What the page's script shows when a word is tapped."""
    choices = [
        [_name(choice.text), _percent(choice.probability), choice.probability, rank == place.rank]
        for rank, choice in enumerate(place.likeliest, 1)
    ]
    if place.rank > len(choices):
        choices.append([_name(place.text), _percent(place.probability), place.probability, True])
    return {"title": f"Instead of “{_name(place.text)}” it might have said:", "choices": choices}


def _name(piece: str) -> str:
    return _NAMES.get(piece) or piece.strip(" ")


def _percent(probability: float) -> str:
    if probability < 0.001:
        return "under 0.1 %"
    return f"{probability:.0%}".replace("%", " %") if probability >= 0.1 else f"{100 * probability:.1f} %"
