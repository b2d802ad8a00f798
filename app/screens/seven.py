"""Seven ways: the families of text models on one corpus, side by side, and what only some of them can do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app.cards import families as cards
from app.cards import sentences, views
from app.cards.controls import Kept, seed_control
from app.work import families
from app.work.resources import gate, text_model_of
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.rewriting import appearing, between, fill

_SAID, _WAY, _FILLED = "seven-said", "seven-way", "seven-filled"  # keys of a session
_LINES = 3  # of each family
_STEPS = 9  # from one line to another
_FRAME = 0.18  # seconds between two stages of a line that appears
_KEPT: Kept = {"persist_state": "session"}


def main() -> None:
    sentences.style()
    cards.style()
    views.heading(
        "Seven ways",
        "Seven kinds of models learnt to write from the same thirty thousand captions of photos, with about as many "
        "parameters each. One seed, one temperature: read what each makes of it.",
    )
    found = families.folders()
    with views.errors_shown():
        _side_by_side(found)
    if figures := families.figures():
        with views.errors_shown():
            _compared(figures)
    if "vae" in found:
        with views.errors_shown():
            _interpolation(text_model_of(found["vae"]))
    if "diffusion" in found:
        with views.errors_shown():
            _gaps(text_model_of(found["diffusion"]))
        with views.errors_shown():
            _appearing(text_model_of(found["diffusion"]))


def _compared(figures: Mapping[str, Any]) -> None:
    st.subheader("Quality against diversity", anchor=False)
    st.altair_chart(cards.chart(figures), width="stretch")
    views.note(
        "A curve a family, a dot a temperature; real captions are the cross. Below it a model is too careful, right of it it "
        "leaves out what people say. Judged by n-gram models, so no family judges its own."
    )


def _side_by_side(found: dict[str, Path]) -> None:
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    with left:
        temperature = st.slider("Temperature", 0.3, 1.5, 0.8, 0.1, key="seven-temperature", **_KEPT)
    with middle:
        seed = seed_control("seven")
    with right:
        pressed = st.button("All speak", type="primary", icon=":material/forum:", key="seven-go")
    if pressed or _SAID not in st.session_state:
        said = {}
        for family, folder in found.items():
            with views.errors_shown(), gate().place():
                said[family] = list(families.lines_of(text_model_of(folder), _LINES, temperature, seed))
        st.session_state[_SAID] = said
    cards.show([(*families.EXPLAINED[family], lines) for family, lines in st.session_state[_SAID].items()])


def _interpolation(generator: TextGenerator) -> None:
    st.subheader("From one sentence to another", anchor=False)
    views.note("By the variational autoencoder: the way through its map of sentences, spoken at nine places.")
    left, right = st.columns(2)
    first = left.text_input("From", "a dog runs through the snow", max_chars=200, key="seven-from", **_KEPT)
    last = right.text_input(
        "To", "two women sit on a bench in the city", max_chars=200, key="seven-to", **_KEPT
    )
    if not (first.strip() and last.strip()):
        raise UserError("type a sentence on either side")
    asked = (first, last)
    if st.session_state.get(_WAY, (None,))[0] != asked:
        with gate().place():
            st.session_state[_WAY] = asked, between(generator, first, last, _STEPS)
    way = st.session_state[_WAY][1]
    place = st.slider(
        "How far", 0, _STEPS - 1, _STEPS // 2, key="seven-place", help="0 is the first sentence."
    )
    views.copyable(way[place])


def _gaps(generator: TextGenerator) -> None:
    st.subheader("Fill the gap", anchor=False)
    views.note("By diffusion: ___ stands for one to four words.")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    text = left.text_input(
        "A line with gaps", "a dog ___ on the ___", max_chars=200, key="seven-gaps", **_KEPT
    )
    if right.button("Fill", icon=":material/edit_note:", key="seven-fill"):
        with gate().place():
            st.session_state[_FILLED] = fill(generator, text, 3, 0.7, _seed())
    for line in st.session_state.get(_FILLED, ()):
        views.note(line)


def _appearing(generator: TextGenerator) -> None:
    st.subheader("Watch a line appear", anchor=False)
    slot = st.empty()
    if st.button("Let one appear", icon=":material/blur_on:", key="seven-appear"):
        with gate().place():
            stages = list(appearing(generator, 0.8, _seed()))
        for stage in stages:
            sentences.show_growing(slot, stage)
            time.sleep(_FRAME)
        with slot.container():
            views.copyable(stages[-1])


def _seed() -> int:
    """The one that all speak with."""
    return int(st.session_state.get("seven-seed", 1))


main()
