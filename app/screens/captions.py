"""Photos to captions: drop them, read what the model says of each, take the captions away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import views
from app.caption_card import caption_card
from app.controls import caption_controls
from app.gate import Busy
from app.limits import limits
from app.photos import EXAMPLES, Album, caption_photos, waiting
from app.resources import chosen_captioner, gate
from captioner import Captioner, caption_exports
from captioner.decoding import DecodingConfig
from textgen.command_line import json_text
from textgen.errors import UserError


def page() -> None:
    album = st.session_state.setdefault("album", Album())
    views.heading(
        "Captions",
        "Drop photos here, and read what a small neural network sees in them. They stay on the computer that "
        "serves this page, and are forgotten when you close it.",
    )
    if album.examples:
        with views.errors_shown():
            _read(album, tuple(album.examples), "Reading the example")
    if sources := _given(album):
        with views.errors_shown():
            if _read(album, sources, "Reading"):
                album.uploads += 1
                st.rerun()
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
                note = f"Caption the example photo “{name}”"
                st.button(name, help=note, width="stretch", on_click=album.examples.append, args=(path,))
        st.space("stretch")
        camera = st.toggle("Use the camera", key="camera")
    if camera and (shot := st.camera_input("Take a photo", key=f"camera-{album.uploads}")):
        given.append(shot)
    return given


def _read(album: Album, sources: Sequence[Path | BinaryIO], doing: str) -> bool:
    """Takes photos into the album, each in its turn; whether that came to its end."""
    size = chosen_captioner().size

    def taken() -> Iterator[int]:
        for done in album.take(sources, size):
            _forget(album, sources[done - 1])
            yield done

    def stop() -> None:
        for source in sources:
            _forget(album, source)
        album.uploads += 1

    try:
        ended = _watched(doing, taken(), len(sources), stop)
    except UserError:
        raise
    except Exception:  # or the next run would fail in the same way, and the next
        stop()
        raise
    if ended:
        for source in sources:  # those that were too many
            _forget(album, source)
    return ended


def _forget(album: Album, source: Path | BinaryIO) -> None:
    """Lets go what was read, or shall not be: the bytes of an upload Streamlit would keep until the session ends."""
    if source in album.examples:
        album.examples.remove(source)
    context = get_script_run_ctx()
    if isinstance(source, UploadedFile) and context and runtime.exists():
        files = runtime.get_instance().uploaded_file_mgr
        files.remove_file(session_id=context.session_id, file_id=source.file_id)
        source.close()  # Streamlit remembers the button that would stop their reading, and by it the files


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
    if album.stopped == wanted:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.write(f"Stopped; {count} to do.")
            if not st.button("Go on", key="go-on"):
                return
        album.stopped = None

    def stop() -> None:
        album.stopped = wanted

    _watched("Captioning", caption_photos(album.photos, captioner, config), count, stop)


def _watched(doing: str, work: Iterable[int], count: int, stop: Callable[[], None]) -> bool:
    """Follows `work`, which tells how many of `count` photos are done, with a bar and a button to `stop` it.

    Returns whether it came to its end; else the visitor has been told that it is busy.
    """
    place = st.empty()
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, doing)
        if count > 1:
            st.button("Stop", on_click=stop, key=f"stop-{doing}")
    try:
        with closing(gate().steps(work)) as steps:  # even if the visitor goes away, or presses something else
            for done in steps:
                bar.progress(done / count, f"{doing}: {done} of {count}")
    except Busy as busy:
        with place.container():
            views.show_busy(busy, f"again-{doing}")
        return False
    place.empty()
    return True


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
