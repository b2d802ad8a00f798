"""A photo with its captions: read, compare, see where the model looked, correct."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import streamlit as st

from app.cards import views
from app.work.photos import Album, Photo
from app.work.resources import gate, translator_of
from captioner.languages import LANGUAGES, as_sentence
from captioner.network.decoding import Caption
from captioner.pictures.load import load_image
from captioner.report.attention import heat_map
from textgen.translation.stored import BOX

_UNITS = ((1e9, " billion"), (1e6, " million"), (1, ""))
_TRANSLATED = "translated_captions"  # key of a session
_LANGUAGES = {"de": "German", "fr": "French"}
_LONGEST = 500  # characters of a correction
_HELP = "How likely the model finds just this caption, among all that it could write. "
_BY_LENGTH = "The order allows for length: a longer caption is less likely as a whole, and not worse for it."
_AS_DRAWN = "They stand in the order in which they were drawn."


def quick_caption_card(album: Album, photo: Photo) -> None:
    """The card of a photo with captions. What is pressed in it runs the whole page, and so waits for nothing else."""
    with views.errors_shown():
        _card(album, photo)


@st.fragment
@views.shows_errors
def caption_card(album: Album, photo: Photo) -> None:
    """The same; what is pressed in it runs nothing else, but for what the downloads have to know of."""
    _card(album, photo)


def _card(album: Album, photo: Photo) -> None:
    key = str(photo.number)
    with st.container(border=True, key=f"card-{key}"):
        left, right = st.columns([5, 6], gap="medium")
        with right:
            _caption(photo)
            _in_other_languages(photo, key)
            word = _words(photo, key)
            _alternatives(photo, key)
            _actions(album, photo, key)
        with left:
            _picture(photo, word)


def _words(photo: Photo, key: str) -> int | None:
    """The words of the chosen caption; which of them is pressed."""
    labels = _distinct(views.plain(word) for word in photo.captions[photo.choice].words)
    return st.pills(
        "Where the model looked for each word",
        range(len(labels)),
        format_func=labels.__getitem__,
        key=f"word-{key}-{hash(photo.said_by)}-{photo.choice}",
        wrap=True,
    )


def _picture(photo: Photo, word: int | None) -> None:
    """The photo, or where in it the model looked for a word."""
    caption = photo.captions[photo.choice]
    with st.container(gap="xsmall"):
        if word is None:
            st.image(photo.thumbnail, alt=photo.caption, width="stretch")
        else:
            assert caption.attention is not None, (
                "a word can be chosen where it is known where the model looked"
            )
            lit = heat_map(load_image(photo.thumbnail), caption.attention[word])
            st.image(lit, alt=f"Where the model looked for “{caption.words[word]}”", width="stretch")
        views.note(photo.name + (f" · {photo.note}" if photo.note else ""))


def _caption(photo: Photo) -> None:
    with st.container(gap=None):
        views.copyable(photo.caption)
        caption = photo.captions[photo.choice]
        if photo.corrected:
            views.note(f"Your caption. The model said: {caption.text}")
        elif caption.unsure:
            st.badge("Not sure", icon=":material/help:", color="orange")
            views.note("The model does not know such pictures well: this is a guess.")
        elif not caption.finished:
            views.note("Cut at the longest length.")


def _in_other_languages(photo: Photo, key: str) -> None:
    """The caption, translated once a language is chosen; where the box has translators."""
    names = {code: name for code, name in _LANGUAGES.items() if LANGUAGES[code] in BOX.names()}
    if not names:
        return
    code = st.pills("In another language", list(names), format_func=names.__getitem__, key=f"language-{key}")
    if code is None:
        return
    with views.errors_shown():
        views.copyable(_translated(photo.caption, code))
        views.note("A machine's translation: it may be wrong where the caption is right.")


def _translated(caption: str, code: str) -> str:
    """Of a caption, once a session: cards are drawn anew at every click."""
    known: dict[tuple[str, str], str] = st.session_state.setdefault(_TRANSLATED, {})
    if (caption, code) not in known:
        translator = translator_of(BOX.find(LANGUAGES[code]))
        with gate().place():
            known[caption, code] = translator.translate(as_sentence(caption)).text
    return known[caption, code]


def _alternatives(photo: Photo, key: str) -> None:
    """The captions to choose from, the visitor's own one among them."""
    labels = [
        f"{views.plain(caption.text)} :gray[{views.plain(probability)}]"
        for caption, probability in zip(photo.captions, _probabilities(photo.captions), strict=True)
    ]
    own = len(labels)
    if photo.correction:
        labels.append(f"{views.plain(photo.correction)} :gray[yours]")
    if len(labels) < 2:
        return

    # A key of its own for each set of captions, so that a choice does not outlive what was chosen from.
    name = f"choice-{key}-{hash(photo.said_by)}-{photo.edits}"

    def choose() -> None:
        choice = st.session_state[name]
        photo.corrected = choice == own
        if not photo.corrected:
            photo.choice = choice
        if photo.correction:
            st.rerun()  # for the downloads, which lie outside

    sampled = photo.said_by is not None and photo.said_by[1].sampling is not None
    labels = _distinct(labels)
    st.radio(
        "Captions and their probabilities",
        range(len(labels)),
        index=own if photo.corrected else photo.choice,
        format_func=labels.__getitem__,
        key=name,
        help=_HELP + (_AS_DRAWN if sampled else _BY_LENGTH),
        on_change=choose,
    )


def _actions(album: Album, photo: Photo, key: str) -> None:
    def remove() -> None:
        album.remove(photo)
        st.rerun()

    with st.container(horizontal=True):
        # A key of its own after each correction: the browser would open the window again.
        name = f"correct-{key}-{photo.edits}"
        window = st.popover("Correct", icon=":material/edit:", key=name, on_change="rerun")
        if window.open:
            with window:
                _correction(photo, f"text-{key}-{photo.edits}")
        st.button("Remove", icon=":material/delete:", key=f"remove-{key}", type="tertiary", on_click=remove)


def _correction(photo: Photo, key: str) -> None:
    def save() -> None:
        photo.correct(" ".join(st.session_state[key].split()))
        st.rerun()  # for the downloads, which lie outside

    with st.form(f"form-{key}", border=False):
        st.text_area(
            "What the photo shows",
            photo.caption,
            max_chars=_LONGEST,
            key=key,
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


def _probabilities(captions: Sequence[Caption]) -> list[str]:
    """Of whole captions, to two digits: in percent, or all as one in how many where that says more of one of them."""
    in_percent = all(caption.log_prob >= -math.log(1000) for caption in captions)
    return [_percent(caption) if in_percent else _one_in(caption) for caption in captions]


def _percent(caption: Caption) -> str:
    return f"{_two_digits(100 * math.exp(caption.log_prob))}\u00a0%"


def _one_in(caption: Caption) -> str:
    if caption.log_prob < -27:
        return "next to none"
    times = math.exp(-caption.log_prob)
    size, unit = next((size, unit) for size, unit in _UNITS if times >= size)
    return f"1\u00a0in\u00a0{_two_digits(times / size)}{unit}"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.10g}"
