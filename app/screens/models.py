"""The models: what each is, how it was trained, which one the pages use, and those in other folders."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app.cards import curves, views
from app.work import families
from app.work.limits import limits
from app.work.model_info import BOXES, ModelInfo, read_info, titles
from app.work.resources import (
    captioner_of,
    choose_captioner,
    choose_text_model,
    chosen_captioner_folder,
    chosen_text_folder,
    text_model_of,
)
from captioner.network import stored
from textgen.classification import stored as classification
from textgen.engine import text_model
from textgen.errors import UserError
from textgen.storage.typed import typed_path
from textgen.translation import stored as translation

_OPENED = "models_opened"  # key of a session
_PURPOSES = {
    stored.KIND: "Captions photos",
    text_model.KIND: "Writes text",
    translation.KIND: "Translates",
    classification.KIND: "Tells whose words they are",
}
_USES = {stored.KIND: "captions", text_model.KIND: "text"}  # of which one is chosen for a whole session


def main() -> None:
    views.heading(
        "Models",
        "What reads your photos and writes your texts: small recurrent networks, trained from public data.",
    )
    in_use = (chosen_captioner_folder(), chosen_text_folder())
    boxed = [folder for box in BOXES.values() for folder in box.folders()]
    # Those that are there to be compared come after those that people use.
    folders = sorted(boxed, key=_is_compared)
    folders = list(dict.fromkeys([*folders, *in_use, *st.session_state.get(_OPENED, ())]))
    for number, (folder, title) in enumerate(titles(folders).items()):
        with st.container(border=True, key=f"card-model-{number}"), views.errors_shown():
            _show(read_info(folder), title, folder in in_use, number)
    if limits().open_folders:
        with views.errors_shown():
            _open()


def _is_compared(folder: Path) -> bool:
    """Whether it is one of the families in the box, which have a screen of their own."""
    return folder.parent == text_model.BOX.folder and folder.name.startswith(families.PREFIX)


def _show(info: ModelInfo, title: str, used: bool, number: int) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(views.plain(title), anchor=False, width="content")
        if used:
            st.badge("In use", icon=":material/check:", color="green")
        elif (
            info.kind in _USES
            and not _is_compared(info.folder)
            and st.button(f"Use for {_USES[info.kind]}", key=f"use-{number}")
        ):
            _use(info)
            st.rerun()
    views.note(f"{_PURPOSES[info.kind]} · {info.line}")
    with st.container(horizontal=True, gap="medium"):
        for name, value in info.figures:
            st.metric(name, value, width="content")
    if info.log:
        _training(info, number)
    elif len(info.phases) > 1:
        with st.expander("Its training"):
            st.altair_chart(curves.phase_chart(info.phases), alt="CIDEr after each phase of its training")
    if info.card:
        with st.expander("Its card"):
            st.markdown(info.card)


def _training(info: ModelInfo, number: int) -> None:
    with st.expander("Its training"):
        names = curves.figures(info.log)
        if not names:
            views.note("Its log holds no figures.")
            return
        figure = st.selectbox("Figure", names, format_func=curves.title, key=f"figure-{number}")
        chart = curves.log_chart(info.log, figure)
        st.altair_chart(chart, alt=f"{curves.title(figure)} over {len(info.log)} evaluations")


def _use(info: ModelInfo) -> None:
    """Loads it whole first: a model that is damaged is not chosen."""
    with st.spinner("Loading"):
        if info.kind == stored.KIND:
            captioner_of(info.folder)
            choose_captioner(info.folder)
        elif info.kind == text_model.KIND:
            text_model_of(info.folder)
            choose_text_model(info.folder)


def _open() -> None:
    st.header("Another model", anchor=False)
    with st.form("models-open", border=False):
        typed = st.text_input("Its folder on this computer", placeholder="runs/my-model", key="models-folder")
        if not st.form_submit_button("Open", icon=":material/folder_open:"):
            return
    if not typed.strip():
        raise UserError("type the folder of a model, such as runs/my-model")
    info = read_info(typed_path(os.path.expanduser(typed.strip().strip("'\""))))
    if info.kind not in _USES:
        raise UserError(
            f"{info.folder}: a {info.kind}; the pages take captioners and models of text from folders"
        )
    info = replace(info, folder=Path(os.path.abspath(info.folder)))  # one name for each, however it is typed
    _use(info)
    st.session_state[_OPENED] = [*st.session_state.get(_OPENED, ()), info.folder]
    st.rerun()


main()
