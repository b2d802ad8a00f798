"""Photos to captions: drop them, read what the model says of each, take the captions away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import views
from app.caption_card import caption_card
from app.controls import caption_controls
from app.limits import limits
from app.photos import EXAMPLES, Album, caption_photos, waiting
from app.resources import chosen_captioner, gate
from captioner import Captioner, caption_exports
from captioner.decoding import DecodingConfig
from textgen.command_line import json_text


def page() -> None:
    album = st.session_state.setdefault("album", Album())
    views.heading(
        "Captions",
        "Drop photos here, and read what a small neural network sees in them. They stay on the computer that "
        "serves this page, and are forgotten when you close it.",
    )
    sources = _given(album)
    if sources:
        with views.errors_shown():
            _read(album, sources)
    for refusal in album.refusals:
        views.show_error(refusal)
    if album.photos:
        _results(album)


def _given(album: Album) -> list[Path | BinaryIO]:
    """The widgets that take photos, and what they have been given."""
    with st.container(key="more" if album.photos else "way-in"):
        given: list[Path | BinaryIO] = list(
            st.file_uploader(
                "Photos",
                type="image",
                accept_multiple_files=True,
                max_upload_size=limits().upload_mb,
                key=f"photos-{album.uploads}",
            )
        )
    views.note("Or try one of these:")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="examples"):
        for path in EXAMPLES:
            name = path.stem.capitalize()
            with st.container(width=132, gap="xsmall"):
                if not album.photos:
                    st.image(path, alt=f"Example photo: {name}", width="stretch")
                if st.button(name, help=f"Caption the example photo “{name}”", width="stretch"):
                    given.append(path)
        st.space("stretch")
        camera = st.toggle("Use the camera", key="camera")
    if camera and (shot := st.camera_input("Take a photo", key=f"camera-{album.uploads}")):
        given.append(shot)
    return given


def _read(album: Album, sources: Sequence[Path | BinaryIO]) -> None:
    """Takes the photos into the album, each in its turn, and begins the page anew."""
    size = chosen_captioner().size
    with st.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "Reading the photos")
        if len(sources) > 1:
            st.button("Stop", on_click=_finish, args=(album, sources), key="stop-reading")
    for done in gate().steps(album.take(sources, size)):
        _forget(sources[done - 1 : done])
        bar.progress(done / len(sources), f"Reading the photos: {done} of {len(sources)}")
    _finish(album, sources)
    st.rerun()


def _finish(album: Album, sources: Sequence[Path | BinaryIO]) -> None:
    """Empties the widgets, whether or not all of the photos were read."""
    _forget(sources)
    album.uploads += 1


def _forget(sources: Sequence[Path | BinaryIO]) -> None:
    """Frees the bytes of uploads, which Streamlit would keep until the session ends."""
    context = get_script_run_ctx()
    for source in sources:
        if isinstance(source, UploadedFile) and context and runtime.exists():
            files = runtime.get_instance().uploaded_file_mgr
            files.remove_file(session_id=context.session_id, file_id=source.file_id)


@st.fragment
@views.shows_errors
def _results(album: Album) -> None:
    """The settings, the cards and the downloads; a slider that moves runs only this."""
    captioner = chosen_captioner()
    with st.expander("Settings", icon=":material/tune:", key="settings"):
        config = caption_controls()
    _caption(album, captioner, config)
    _toolbar(album, captioner, config)
    for photo in album.photos:
        if photo.captions:
            caption_card(album, photo)


def _caption(album: Album, captioner: Captioner, config: DecodingConfig) -> None:
    """Captions for the photos that have none by this model and these settings."""
    wanted = (captioner.hash, config)
    if other := sum(len(photo.pixels) != captioner.size for photo in album.photos):
        these = "this photo" if other == 1 else f"{other} of these photos"
        st.info(f"The chosen model needs {these} in another size; please add them again.")
    count = len(waiting(album.photos, captioner, config))
    if not count:
        return
    place = st.empty()
    if album.stopped == wanted:
        with place.container(horizontal=True, vertical_alignment="center"):
            st.write(f"Stopped; {count} to do.")
            if st.button("Go on", key="go-on"):
                album.stopped = None
            else:
                return
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, "Captioning")
        if count > 1:
            st.button("Stop", on_click=_stop, args=(album, wanted), key="stop-captioning")
    for done in gate().steps(caption_photos(album.photos, captioner, config)):
        bar.progress(done / count, f"Captioning: {done} of {count}")
    place.empty()


def _stop(album: Album, wanted: tuple[str, DecodingConfig]) -> None:
    album.stopped = wanted


def _toolbar(album: Album, captioner: Captioner, config: DecodingConfig) -> None:
    photos = album.photos
    count = f"{len(photos)} photo{'s' * (len(photos) != 1)}"

    def table() -> str:
        return caption_exports.captions_csv((photo.name, photo.caption) for photo in photos if photo.caption)

    def document() -> str:
        found = [(photo.name, photo.captions) for photo in photos if photo.captions]
        return json_text(caption_exports.captions_document(captioner.hash, config, found))

    def alt_texts() -> str:
        return caption_exports.alt_text_page([photo.captioned for photo in photos if photo.caption])

    def corrections() -> bytes:
        return caption_exports.training_set(album.corrected())

    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        st.subheader(count, anchor=False, width="stretch")
        views.download("CSV", table, "captions.csv", "text/csv", help="A table of photos and captions")
        views.download(
            "JSON",
            document,
            "captions.json",
            "application/json",
            help="All captions with their probabilities",
        )
        views.download(
            "Alt texts",
            alt_texts,
            "alt-texts.html",
            "text/html",
            help="A web page to copy alternative texts from",
        )
        views.download(
            "Training set",
            corrections,
            "corrections.zip",
            "application/zip",
            help="The photos whose captions you corrected, to train a model with",
            disabled=not album.corrected(),
        )
        if st.button("Remove all", icon=":material/delete:", type="tertiary", key="remove-all"):
            album.photos.clear()
            album.refusals.clear()
            st.rerun()


page()
