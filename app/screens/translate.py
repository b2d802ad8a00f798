"""A text, translated: as it is spoken, then the best that was found, what else it might be, and word by word."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.cards import sentences, views
from app.cards.controls import Kept
from app.work.limits import limits
from app.work.resources import gate, translator_of
from textgen.errors import UserError
from textgen.text.encodings import split_lines
from textgen.translation.stored import BOX
from textgen.translation.translator import Translation, Translator

_FOUND = "translated"  # key of a session
_FRAME = 0.04  # seconds between two looks at a growing translation
_BEST = 3  # translations of a text
_WORDS = 40  # of a line that is shown word by word
_KEPT: Kept = {"persist_state": "session"}
_EXAMPLE = "A brown dog runs through the grass."


@dataclass(frozen=True)
class _Found:
    """What became of a text."""

    folder: Path
    translation: Translation
    milliseconds: float


def main() -> None:
    sentences.style()
    views.heading(
        "Translate",
        "English in, another language out, by the same kind of network that captions photos. It learnt from sentences of "
        "tatoeba.org (CC BY 2.0 FR): short everyday ones suit it best, and it makes mistakes.",
    )
    left, right = st.columns(2, gap="medium")
    with left:
        folder, text, pressed = _asked()
    with right, views.errors_shown():
        slot = st.empty()
        if pressed:
            if not text.strip():
                raise UserError("type a text first")
            st.session_state[_FOUND] = _translate(folder, text, slot)
        found: _Found | None = st.session_state.get(_FOUND)
        if found:
            _show(found, slot)
        else:
            slot.html('<p class="texts-nothing note">The translation will stand here.</p>')


def _asked() -> tuple[Path, str, bool]:
    """The controls: the model's folder, the text, and whether the button was pressed."""
    folders = BOX.folders()
    folder = st.segmented_control(
        "Into",
        folders,
        default=BOX.default_folder if BOX.default_folder in folders else folders[0],
        required=True,
        format_func=lambda one: one.name.rpartition("-")[2].capitalize(),
        key="translate-model",
    )
    text = st.text_area(
        "English", _EXAMPLE, height=160, max_chars=limits().text_length, key="translate-text", **_KEPT
    )
    pressed = st.button("Translate", type="primary", icon=":material/translate:", key="translate-go")
    return folder, text, pressed


def _translate(folder: Path, text: str, slot: DeltaGenerator) -> _Found:
    """Spoken word by word first, by the likeliest word each time; then the best of five beams."""
    translator = translator_of(folder)
    said, looked = "", 0.0
    for piece in gate().steps(translator.stream(text)):
        said += piece
        if time.monotonic() - looked > _FRAME:
            looked = time.monotonic()
            sentences.show_growing(slot, said)
    started = time.perf_counter()
    with gate().place():
        found = translator.translate(text, n=_BEST)
    return _Found(folder, found, 1000 * (time.perf_counter() - started))


def _show(found: _Found, slot: DeltaGenerator) -> None:
    translation = found.translation
    with slot.container(gap="small"):
        views.copyable(translation.text)
        count = len(translation.source.split())
        words = f"{count} word{'s' * (count != 1)}"
        views.note(
            f"{words} in {found.milliseconds:.0f} ms, five beams. A machine's translation: read it before you use it."
        )
    others = [other.text for other in translation.others if other.text != translation.text]
    if others:
        st.caption("It might also be")
        for text in others:
            views.note(text)
    if st.toggle("Word by word", key="translate-align", help="Where the decoder looked for each word."):
        _align(translator_of(found.folder), translation)


def _align(translator: Translator, translation: Translation) -> None:
    for source, target in zip(split_lines(translation.source), split_lines(translation.text), strict=True):
        if not (source.strip() and target.strip()):
            continue
        if len(source.split()) > _WORDS:
            views.note("A line of more words than can be shown so.")
            continue
        with gate().place():
            try:
                found = translator.align(source, target)
            except UserError as error:  # not every line is translated, or in one piece
                views.note(f"Not shown: {error}.")
                continue
        sentences.show_alignment(found)


main()
