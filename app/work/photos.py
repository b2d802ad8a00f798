"""The photos of one visitor: read once, kept small, in memory, for as long as the session lasts."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from app.work.limits import limits
from captioner.caption import Captioner
from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.files import printable
from captioner.pictures.load import load_image, picture_pixels
from captioner.pictures.refusals import ImageError
from captioner.report.exports import CaptionedPhoto
from textgen.errors import UserError

EXAMPLES = tuple(sorted((Path(__file__).resolve().parents[2] / "captioner" / "examples").glob("*.jpg")))
_SIDE = 960  # pixels of a thumbnail, at most
_BATCH = 4  # photos that are captioned at once: few, so that others have their turn soon


@dataclass(eq=False)
class Photo:
    """A photo as far as it is kept, and what is said of it."""

    name: str
    """Different from that of the visitor's other photos."""
    thumbnail: bytes
    """JPEG, upright, at most 960 pixels a side; nothing of the file's metadata."""
    pixels: np.ndarray
    """What the model sees, (S, S, 3), uint8."""
    _: KW_ONLY
    number: int = 0
    """Its own among all that the visitor has uploaded."""
    note: str | None = None
    """Such as that only the first frame of an animation was read."""
    context: np.ndarray | None = None
    """What the model made of it, (1, L, D), float32."""
    captions: tuple[Caption, ...] = ()
    said_by: tuple[str, DecodingConfig] | None = None
    """The model's hash and the settings that `captions` are of."""
    choice: int = 0
    """Which of the captions the visitor prefers."""
    correction: str = ""
    """The visitor's own caption, where there is one."""
    corrected: bool = False
    """Whether that one counts, and not the chosen caption of the model."""
    edits: int = 0
    """How often the visitor wrote a caption; a part of the key of the widgets that so begin anew."""
    seen_by: str = ""
    """The hash of the model that `context` is of."""

    @property
    def caption(self) -> str:
        """The one that counts; empty as long as there is none."""
        if self.corrected:
            return self.correction
        return self.captions[self.choice].text if self.captions else ""

    def correct(self, text: str) -> None:
        """From now on it shows `text`, as the visitor says; the chosen caption where that is empty or the same."""
        self.edits += 1
        self.corrected = bool(text) and text != self.captions[self.choice].text
        self.correction = text if self.corrected else ""

    @property
    def captioned(self) -> CaptionedPhoto:
        return CaptionedPhoto(self.name, self.caption, self.thumbnail)


@dataclass(eq=False)
class Album:
    """The photos of a session, the newest upload first."""

    photos: list[Photo] = field(default_factory=list)
    examples: list[Path] = field(default_factory=list)
    """Example photos that were asked for and are not yet read."""
    refusals: list[UserError] = field(default_factory=list)
    """Of the last upload: why some photos could not be taken."""
    run: object = None
    """The run of the page that shows the photos now; what an earlier one has still to say is dropped."""
    taken: int = 0
    """How many photos were taken, removed ones included."""
    stopped: tuple[str, DecodingConfig] | None = None
    """The model and settings with which the visitor wants no further captions."""
    files: set[str] = field(default_factory=set)
    """Streamlit's names of the uploads that were taken, or are just being read."""
    uploads: int = 0
    """How many uploads have been taken; a part of the key of the widgets, which so become empty again."""

    cleared: int = 0
    """How often all photos were taken away."""

    def take(self, sources: Sequence[Path | BinaryIO], size: int) -> Iterator[int]:
        """Reads photos for a model of pictures of `size` pixels a side; yields how many of them are done.

        Those that cannot be read, and those too many, are told in `refusals`; the others go on.
        """
        self.refusals = []
        for done, source in enumerate(sources):
            if len(self.photos) >= limits().photos:
                self.refusals.append(_too_many(len(sources) - done))
                break
            name = getattr(source, "file_id", None)
            if (
                name is None or name not in self.files
            ):  # else by the run of the page before, which is still at it
                self._take(source, size, done, name)
            yield done + 1

    def _take(self, source: Path | BinaryIO, size: int, done: int, name: str | None) -> None:
        if name is not None:
            self.files.add(name)
        try:
            photo = read_photo(source, size, {photo.name for photo in self.photos})
        except BaseException as error:
            self.files.discard(name or "")
            if not isinstance(error, ImageError):
                raise
            self.refusals.append(error.kept())
        else:
            self.taken += 1
            photo.number = self.taken
            self.photos.insert(done - len(self.refusals), photo)

    def remove(self, photo: Photo) -> None:
        self.photos = [other for other in self.photos if other is not photo]

    def clear(self) -> None:
        """Removes all photos, and what is told of the last upload."""
        self.photos, self.refusals = [], []
        self.cleared += 1

    def go_on(self) -> None:
        """After a stop."""
        self.stopped = None

    def corrected(self) -> list[CaptionedPhoto]:
        """The photos of which a person has said what they show."""
        return [photo.captioned for photo in self.photos if photo.corrected]


def read_photo(source: Path | BinaryIO, size: int, taken: Iterable[str] = ()) -> Photo:
    """A photo from its file, as small as it is kept. Raises ImageError, which begins with the file's name."""
    shown = load_image(source, size=(_SIDE, _SIDE), limits=limits().images)
    note = shown.info.get("note")
    shown.thumbnail((_SIDE, _SIDE))
    thumbnail = io.BytesIO()
    shown.save(thumbnail, "JPEG", quality=85)
    # Read anew, for the model sees a photo decoded at its own scale, here as on the command line.
    pixels = picture_pixels(source, size, limits().images)
    name = printable(PurePosixPath(os.fsdecode(getattr(source, "name", "photo"))).name)
    if not isinstance(source, Path):
        name = name.replace("%22", '"')  # as browsers write it when they upload a file
    return Photo(_unlike(name, set(taken)), thumbnail.getvalue(), pixels, note=note)


def caption_photos(
    photos: Sequence[Photo],
    captioner: Captioner,
    config: DecodingConfig,
    wanted_still: Callable[[], bool] = lambda: True,
) -> Iterator[int]:
    """Captions those photos that have no captions by this model and these settings; yields how many are done.

    A photo is encoded once for a model, however often it is captioned. What comes when it is no longer wanted is
    dropped: Streamlit begins the next run of a page while the one before is still at its last computation.
    """
    wanted = (captioner.hash, config)
    todo = waiting(photos, captioner, config)
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        unseen = [photo for photo in batch if photo.context is None or photo.seen_by != captioner.hash]
        if unseen:
            contexts = captioner.encode(np.stack([photo.pixels for photo in unseen]))
            for photo, context in zip(unseen, contexts, strict=True):
                photo.context, photo.seen_by = context[None], captioner.hash
        context = np.concatenate([photo.context for photo in batch])
        found = captioner.decode(context, config, attention=True)
        for photo, captions in zip(batch if wanted_still() else (), found, strict=False):
            photo.captions, photo.said_by, photo.choice = tuple(captions), wanted, 0
        yield start + len(batch)


def waiting(photos: Iterable[Photo], captioner: Captioner, config: DecodingConfig) -> list[Photo]:
    """Those without captions by this model and these settings, and that this model can see."""
    return [
        photo
        for photo in photos
        if photo.said_by != (captioner.hash, config) and len(photo.pixels) == captioner.size
    ]


def _unlike(name: str, taken: set[str]) -> str:
    """`name`, with a number where it is taken."""
    path, found, count = PurePosixPath(name or "photo"), name or "photo", 1
    while found in taken:
        count += 1
        found = f"{path.stem} ({count}){path.suffix}"
    return found


def _too_many(left_out: int) -> UserError:
    photos = "photo was" if left_out == 1 else "photos were"
    return UserError(f"{left_out} {photos} left out: {limits().photos} fit at once; remove some first")
