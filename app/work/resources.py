"""The models, loaded once for all sessions, which of them a session uses, and the gate before them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import streamlit as st

from app.work.gate import Gate
from app.work.limits import PREFIX, limits
from captioner import Captioner
from captioner.network import stored
from textgen import Classifier, TextGenerator, Translator
from textgen.engine import text_model

T = TypeVar("T")
_CAPTIONER, _TEXT_MODEL = "chosen_captioner", "chosen_text_model"  # keys of a session
_KEPT = 3  # models of a kind in memory at once
_KEPT_TEXT = 12  # small ones, of which a page has seven

_Stamp = tuple[tuple[str, int, int], ...]


@cache
def gate() -> Gate:
    """The one before all models of this process: `with gate().place():`, or `gate().steps(a generator)`."""
    return Gate(limits())


def chosen_captioner() -> Captioner:
    """The model that this session captions with. Raises UserError naming what is wrong with it."""
    return captioner_of(chosen_captioner_folder())


def chosen_captioner_folder() -> Path:
    """Its folder: what was chosen on the page, else on the command line, else the model in the box."""
    return st.session_state.get(_CAPTIONER) or _first_captioner_folder()


def choose_captioner(folder: Path) -> None:
    """Captions come from the model in `folder` from now on, in this session."""
    st.session_state[_CAPTIONER] = folder


def chosen_text_model() -> TextGenerator:
    """The model that this session writes with. Raises UserError naming what is wrong with it."""
    return text_model_of(chosen_text_folder())


def chosen_text_folder() -> Path:
    """Its folder: what was chosen on the page, else on the command line, else the default of the box."""
    return st.session_state.get(_TEXT_MODEL) or text_model.BOX.find(_asked_for("TEXT_MODEL"))


def choose_text_model(folder: Path) -> None:
    """Texts come from the model in `folder` from now on, in this session."""
    st.session_state[_TEXT_MODEL] = folder


def captioner_of(folder: Path) -> Captioner:
    """The captioner in `folder`, loaded once; a file that was replaced since is read anew."""
    return _load_captioner(str(folder), _stamp(folder), _engine())


def text_model_of(folder: Path) -> TextGenerator:
    """The text model in `folder`, loaded once; a file that was replaced since is read anew."""
    return _load_text_model(str(folder), _stamp(folder), _engine())


def translator_of(folder: Path) -> Translator:
    """The translator in `folder`, loaded once; a file that was replaced since is read anew."""
    return _load_translator(str(folder), _stamp(folder), _engine())


def classifier_of(folder: Path) -> Classifier:
    """The classifier in `folder`, loaded once; a file that was replaced since is read anew."""
    return _load_classifier(str(folder), _stamp(folder), _engine())


def warm_up() -> None:
    """Begins to load the captioner that sessions begin with, so that it is there when the first photo is."""
    threading.Thread(target=_quietly, args=(captioner_of, _first_captioner_folder()), daemon=True).start()


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _load_captioner(folder: str, stamp: _Stamp, engine: str) -> Captioner:
    return Captioner.load(folder, engine)


@st.cache_resource(max_entries=_KEPT_TEXT, show_spinner=False)
def _load_text_model(folder: str, stamp: _Stamp, engine: str) -> TextGenerator:
    return TextGenerator.load(folder, engine)


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _load_translator(folder: str, stamp: _Stamp, engine: str) -> Translator:
    return Translator.load(folder, engine)


@st.cache_resource(max_entries=_KEPT, show_spinner=False)
def _load_classifier(folder: str, stamp: _Stamp, engine: str) -> Classifier:
    return Classifier.load(folder, engine)


def _stamp(folder: Path) -> _Stamp:
    """What changes when a file of a model does: names, times and sizes; empty where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in found))


def _first_captioner_folder() -> Path:
    return stored.BOX.find(_asked_for("MODEL"))


def _asked_for(name: str) -> str | None:
    """What `captioner app` was told."""
    return os.environ.get(PREFIX + name) or None


def _engine() -> str:
    return _asked_for("ENGINE") or "auto"


def _quietly(load: Callable[[Path], object], folder: Path) -> None:
    try:
        load(folder)
    except Exception:
        return
