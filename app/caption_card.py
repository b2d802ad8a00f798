"""A photo with its captions: read, compare, see where the model looked, correct."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import streamlit as st

from app import views
from app.photos import Album, Photo
from captioner.attention import heat_map
from captioner.decoding import Caption
from captioner.images import load_image

_UNITS = ((1e9, " billion"), (1e6, " million"), (1, ""))
_LONGEST = 500  # characters of a correction


@st.fragment
@views.shows_errors
def caption_card(album: Album, photo: Photo) -> None:
    """The card of a photo with captions. What is pressed in it runs nothing else."""
    if album.corrected_now:
        album.corrected_now = False
        st.rerun()
    key = str(photo.number)
    with st.container(border=True, key=f"card-{key}"):
        left, right = st.columns([5, 6], gap="medium")
        with left:
            _picture(photo, key)
        with right:
            _caption(photo)
            _alternatives(photo, key)
            _actions(album, photo, key)


@st.fragment
@views.shows_errors
def _picture(photo: Photo, key: str) -> None:
    """The photo, and below it the words of its caption: one that is pressed shows where the model looked for it."""
    caption = photo.captions[photo.choice]
    place = st.container(gap="xsmall")
    labels = _distinct(views.plain(word) for word in caption.words)
    word = st.pills(
        "Where the model looked for each word",
        range(len(labels)),
        format_func=labels.__getitem__,
        key=f"word-{key}-{hash(photo.said_by)}-{photo.choice}",
        wrap=True,
    )
    with place:
        if word is None:
            st.image(photo.thumbnail, alt=photo.caption, width="stretch")
        else:
            lit = heat_map(load_image(photo.thumbnail), caption.attention[word])
            st.image(lit, alt=f"Where the model looked for “{caption.words[word]}”", width="stretch")
        views.note(photo.name + (f" · {photo.note}" if photo.note else ""))


def _caption(photo: Photo) -> None:
    with st.container(gap=None):
        views.copyable(photo.caption)
        caption = photo.captions[photo.choice]
        if photo.correction:
            views.note(f"Your caption. The model said: {caption.text}")
        elif not caption.finished:
            views.note("Cut at the longest length.")


def _alternatives(photo: Photo, key: str) -> None:
    if len(photo.captions) < 2:
        return

    # A key of its own for each set of captions, so that a choice does not outlive what was chosen from.
    name = f"choice-{key}-{hash(photo.said_by)}"

    def choose() -> None:
        photo.choice = st.session_state[name]

    labels = _distinct(_option(caption) for caption in photo.captions)
    st.radio(
        "Captions and their probabilities",
        range(len(labels)),
        index=photo.choice,
        format_func=labels.__getitem__,
        key=name,
        help="How likely the model finds just this caption, among all that it could write.",
        on_change=choose,
    )


def _actions(album: Album, photo: Photo, key: str) -> None:
    with st.container(horizontal=True):
        window = st.popover("Correct", icon=":material/edit:", key=f"correct-{key}", on_change="rerun")
        if window.open:
            with window:
                _correction(album, photo, key)
        if st.button("Remove", icon=":material/delete:", key=f"remove-{key}", type="tertiary"):
            album.remove(photo)
            st.rerun()


def _correction(album: Album, photo: Photo, key: str) -> None:
    def save() -> None:
        text = " ".join(st.session_state[f"text-{key}"].split())
        photo.correction = "" if text == photo.captions[photo.choice].text else text
        st.session_state[f"correct-{key}"] = False
        album.corrected_now = True

    with st.form(f"correction-{key}", border=False):
        st.text_area(
            "What the photo shows",
            photo.caption,
            max_chars=_LONGEST,
            key=f"text-{key}",
            help="An empty text brings the model's caption back.",
        )
        st.form_submit_button("Save", type="primary", on_click=save)


def _distinct(labels: Iterable[str]) -> list[str]:
    """The labels, the same ones told apart by signs without width: of those Streamlit knows but the last."""
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        found.append(label + seen[label] * "\u200b")
        seen[label] += 1
    return found


def _option(caption: Caption) -> str:
    return f"{views.plain(caption.text)} :gray[{views.plain(_probability(caption))}]"


def _probability(caption: Caption) -> str:
    """Of the whole caption, to two digits: in percent, or as one in how many where that says more."""
    if caption.log_prob < -27:
        return "next to none"
    times = math.exp(-caption.log_prob)
    if times <= 1000:
        return f"{_two_digits(100 / times)}\u00a0%"
    size, unit = next((size, unit) for size, unit in _UNITS if times >= size)
    return f"1\u00a0in\u00a0{_two_digits(times / size)}{unit}"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.10g}"
