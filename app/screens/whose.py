"""Whose words? A text, the authors that it might be by, and the words that decided."""

from __future__ import annotations

import streamlit as st

from app.cards import sentences, views
from app.cards.controls import Kept
from app.work.limits import limits
from app.work.resources import classifier_of, gate
from textgen.classification.classifier import Classification, Deciding
from textgen.classification.stored import BOX
from textgen.errors import UserError

_FOUND = "whose"  # key of a session
_WORDS = 300  # of a text whose deciding words are looked for
_KEPT: Kept = {"persist_state": "session"}
_EXAMPLE = (
    "It was a truth that everybody in the village had long acknowledged: a gentleman who kept a carriage, and was seen to "
    "sigh at the windows, must shortly be about to make an offer to somebody's daughter, whatever his own sentiments on "
    "the subject might be."
)


def main() -> None:
    sentences.style()
    views.heading(
        "Whose words?",
        "Type a passage, and read which of six authors of novels it is most like. The longer, the surer: it learnt "
        "from passages of a hundred words.",
    )
    text = st.text_area(
        "Passage", _EXAMPLE, height=180, max_chars=limits().text_length, key="whose-text", **_KEPT
    )
    if st.button("Whose words?", type="primary", icon=":material/person_search:", key="whose-go"):
        with views.errors_shown():
            st.session_state[_FOUND] = _classify(text)
    found: tuple[Classification, list[Deciding]] | None = st.session_state.get(_FOUND)
    if found:
        _show(*found)


def _classify(text: str) -> tuple[Classification, list[Deciding]]:
    if not text.strip():
        raise UserError("type a passage first")
    classifier = classifier_of(BOX.default_folder)
    with gate().place():
        found = classifier.classify(text)
        return found, classifier.deciding(text) if len(text.split()) <= _WORDS else []


def _show(found: Classification, words: list[Deciding]) -> None:
    sentences.show_classes(found)
    if not words:
        return
    st.subheader("The words that decided", anchor=False)
    sentences.show_deciding(found.text, words, found.label)
    views.note(
        f"By occlusion: the passage is read once more without each word. The stronger the colour, the more a word spoke "
        f"for {found.label}; dotted words spoke against."
    )


main()
