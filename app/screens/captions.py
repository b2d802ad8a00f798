"""Photos to captions: drop them, read what the model says of each, take the captions away."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.cards import views
from app.cards.caption import caption_card, quick_caption_card
from app.cards.controls import caption_controls
from app.cards.refused import name_refused
from app.work.gate import Busy
from app.work.limits import limits
from app.work.photos import EXAMPLES, Album, Photo, caption_photos, waiting
from app.work.resources import chosen_captioner, gate
from app.work.sessions import let_go
from captioner import Captioner
from captioner.network.decoding_config import DecodingConfig
from captioner.report import exports
from textgen.errors import UserError
from textgen.output import json_text

_FEW = 10  # cards that are drawn in no time


def page() -> None:
    album = st.session_state.setdefault("album", Album())
    lead = views.heading(
        "Captions",
        "Drop photos here, and read what a small neural network sees in them. They stay on the computer that "
        "serves this page, and are forgotten soon after you close it.",
    )
    if album.examples:
        with views.errors_shown():
            _read(album, tuple(album.examples), "Reading the example")
    if album.photos:
        lead.empty()
    if sources := _given(album):
        with views.errors_shown():
            if _read(album, sources, "Reading"):
                album.uploads += 1
                st.rerun()
    name_refused(limits().upload_mb, album.cleared)
    for refusal in album.refusals:
        views.show_error(refusal)
    if album.photos:
        with views.errors_shown():
            _results(album)


def _given(album: Album) -> list[Path | BinaryIO]:
    """The widgets that take photos, and what they have been given."""
    with st.container(key="more" if album.photos else "way-in"):
        given: list[Path | BinaryIO] = list(
            st.file_uploader(
                "Photos",  # of any name: what the widget refuses by its ending nobody would hear of
                accept_multiple_files=True,
                max_upload_size=limits().upload_mb,
                key=f"photos-{album.uploads}",
                label_visibility="collapsed" if album.photos else "visible",
            )
        )
    if album.photos:
        place: DeltaGenerator = st.expander(
            "Examples and camera", expanded=st.session_state.get("camera", False)
        )
    else:
        views.note("Or try one of these:")
        place = st.container()
    with place, st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="examples"):
        for path in EXAMPLES:
            name = path.stem.capitalize()
            with st.container(width=132, gap="xsmall"):
                if not album.photos:
                    st.image(path, alt=f"Example photo: {name}", width="stretch")
                note = f"Caption the example photo “{name}”"
                st.button(name, help=note, width="stretch", on_click=album.examples.append, args=(path,))
        camera = st.toggle("Use the camera", key="camera")
    with place:
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

    ended = False
    with _progress(st.empty(), doing, len(sources), stop if len(sources) > 1 else None) as show:
        try:
            with closing(gate().steps(taken())) as steps:
                for done in steps:
                    show(done)
            ended = True
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
    let_go(source)


def _results(album: Album) -> None:
    """The settings, the downloads and the cards.

    No fragment: whoever presses Stop or moves a slider while photos are captioned would have to wait for the end.
    """
    album.run = object()
    captioner = chosen_captioner()
    with st.expander("Settings", key="settings"):
        config = caption_controls()
    _toolbar(album, captioner, config)
    if other := sum(len(photo.pixels) != captioner.size for photo in album.photos):
        these = "this photo" if other == 1 else f"{other} of these photos"
        st.info(f"The chosen model needs {these} in another size; please add them again.")
    # Below what could do harm, for it goes when all is captioned, and a late click on Stop meets what follows.
    place = st.empty()
    todo = waiting(album.photos, captioner, config)
    if todo and album.stopped == (captioner.hash, config):
        with place.container(horizontal=True, vertical_alignment="center"):
            st.write(f"Stopped; {len(todo)} to do.")
            st.button("Go on", on_click=album.go_on, key="go-on")
        todo = []
    left = deque(album.photos)
    if todo:
        _caption(album, left, captioner, config, place)
    for photo in left:
        if photo.captions:
            caption_card(album, photo)


def _caption(
    album: Album, left: deque[Photo], captioner: Captioner, config: DecodingConfig, place: DeltaGenerator
) -> None:
    """Shows the photos of `left` as they come by their captions; those that did not, as it was busy, stay in there."""
    wanted = (captioner.hash, config)
    todo = waiting(left, captioner, config)
    count = len(left)
    before, run = count - len(todo), album.run

    def wanted_still() -> bool:
        return album.run is run

    def stop() -> None:
        album.stopped = wanted

    with (
        _progress(place, "Captioning", count, stop if len(todo) > 1 else None) as show,
        closing(gate().steps(caption_photos(todo, captioner, config, wanted_still))) as steps,
    ):
        while left:
            if left[0] in todo and left[0].said_by != wanted:
                show(before + next(steps))
                continue
            photo = left.popleft()
            if photo.captions:
                quick_caption_card(album, photo)
    if not left and count > _FEW:
        st.rerun()  # so that the next click in a card does not have to draw them all


@contextmanager
def _progress(
    place: DeltaGenerator, doing: str, count: int, stop: Callable[[], None] | None
) -> Iterator[Callable[[int], None]]:
    """A bar in `place`, moved by telling how many of `count` photos are done, and a button to `stop`.

    What goes wrong meanwhile is told in its place, and the page goes on.
    """
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, doing)
        if stop:
            st.button("Stop", on_click=stop, key=f"stop-{doing}")

    def show(done: int) -> None:
        bar.progress(done / count, f"{doing}: {done} of {count}")

    try:
        yield show
    except Busy as busy:
        with place.container():
            views.show_busy(busy, f"again-{doing}")
    except Exception as error:
        with place.container():
            views.show_error(error)
    else:
        place.empty()


def _toolbar(album: Album, captioner: Captioner, config: DecodingConfig) -> None:
    photos = album.photos
    count = f"{len(photos)} photo{'s' * (len(photos) != 1)}"

    def table() -> str:
        return exports.captions_csv((photo.name, photo.caption) for photo in photos if photo.caption)

    def document() -> str:
        found = [(photo.name, photo.captions) for photo in photos if photo.captions]
        counting = {photo.name: photo.caption for photo in photos}
        return json_text(exports.captions_document(captioner.hash, config, found, counting))

    def alt_texts() -> str:
        return exports.alt_text_page([photo.captioned for photo in photos if photo.caption])

    def corrections() -> bytes:
        return exports.training_set(album.corrected())

    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        st.header(count, anchor=False, width="stretch")
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
        with st.popover("Remove all", icon=":material/delete:", type="tertiary", key=f"clear-{album.taken}"):
            st.write(f"Remove {count}, and what you wrote about them?")
            st.button("Remove all", on_click=album.clear, type="primary", key="remove-all")


page()
