"""Pieces that all pages share: how a page begins, how errors and downloads look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from string import punctuation
from typing import ParamSpec, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from captioner.pictures.files import printable
from captioner.pictures.load import HEIC_NEEDS
from textgen.errors import UserError
from textgen.report.web import element

P = ParamSpec("P")
R = TypeVar("R")
_OURS = "Something went wrong on our side. Please try again; the other photos and texts are safe."
_FOR_VISITORS = {
    HEIC_NEEDS: "HEIC photos cannot be read here; save it as JPEG"
}  # who cannot install anything
_HERE = Path(__file__)
_log = logging.getLogger(__name__)


def style() -> None:
    """The style sheet, and the scripts of `copyable` and of uploads, once a run."""
    st.html(_HERE.with_name("style.css"))
    script = "\n".join(
        _HERE.with_name(name).read_text(encoding="utf-8") for name in ("copy.js", "offered.js")
    )
    with st.container(key="script"):
        st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def heading(title: str, lead: str) -> DeltaGenerator:
    """The page's title, and a sentence under it, which can be taken away again."""
    st.title(title, anchor=False)
    return st.html(element("p", lead, class_="lead"))


def note(text: str) -> None:
    """A quiet line, shown as it is."""
    st.html(element("p", text, class_="note", dir="auto"))


def copyable(text: str) -> None:
    """A sentence in large letters, shown as it is, and a button that copies it."""
    # st.code would do, but a browser takes a second to load what it colours programs with.
    sentence = element("p", text, class_="said", dir="auto")
    button = element("button", "Copy", type="button", class_="copy", aria_live="polite")
    st.html(element("div", sentence, button, class_="copyable"))


def friendly(error: Exception) -> str:
    """One sentence for a person: what a UserError says; of a defect of ours nothing but that it is one."""
    if not isinstance(error, UserError):
        _log.error("unexpected", exc_info=error)
        return _OURS
    text = printable(str(error).strip())
    for command_line, here in _FOR_VISITORS.items():
        text = text.replace(command_line, here)
    if ": " not in text:  # else it begins with a name, which stays as it is
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def show_error(error: Exception) -> None:
    """The sentence in a box; markup in it is shown as typed."""
    st.error(plain(friendly(error)), icon=":material/error:")


def show_busy(busy: UserError, key: str) -> None:
    """That it is busy, and a button that runs the page, or the fragment, once more; `key` is the button's."""
    show_error(busy)
    st.button("Try again", key=key, icon=":material/refresh:")


@contextmanager
def errors_shown() -> Iterator[None]:
    """Whatever goes wrong inside is shown as one sentence, and the page goes on below."""
    try:
        yield
    except Exception as error:
        show_error(error)


def shows_errors(function: Callable[P, R]) -> Callable[P, R | None]:
    """The same around a function; under `@st.fragment`, which runs without the rest of the page."""

    @wraps(function)
    def shown(*args: P.args, **kwargs: P.kwargs) -> R | None:
        with errors_shown():
            return function(*args, **kwargs)
        return None

    return shown


def download(
    label: str,
    data: Callable[[], str | bytes],
    file_name: str,
    mime: str,
    *,
    help: str | None = None,
    disabled: bool = False,
) -> None:
    """A button that makes its file when it is pressed, so that it is never out of date."""
    st.download_button(
        label,
        data,
        file_name,
        mime,
        key=f"download-{file_name}",
        help=help,
        disabled=disabled,
        on_click="ignore",
        icon=":material/download:",
    )


def plain(text: str) -> str:
    """`text` with what Streamlit's Markdown would read as markup made harmless."""
    return "".join(f"\\{sign}" if sign in punctuation else sign for sign in text)
