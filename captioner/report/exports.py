"""Photos with their captions as files for programs and people: JSON, CSV, alternative texts, a training set."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.files import SUFFIXES
from captioner.pictures.refusals import ImageError
from textgen.output import as_text
from textgen.report.web import element, embedded, web_page

_CAPTIONS = "captions.csv"  # a name that `captioner train` looks for
_PICTURES = "Images"


@dataclass(frozen=True)
class CaptionedPhoto:
    """A photo and the caption that it shall have."""

    name: str
    caption: str
    jpeg: bytes
    """The photo, or a smaller copy."""


def captions_document(
    model: str,
    config: DecodingConfig,
    photos: Iterable[tuple[str, Sequence[Caption] | ImageError]],
    counting: Mapping[str, str] | None = None,
    incomplete: str | None = None,
) -> dict[str, Any]:
    """What `captioner caption --json` prints: of each photo its captions, or why it has none.

    `model` is the hash of the model's weights; `counting` says, by a photo's name, which caption it shall have,
    where a person has chosen or written one; `incomplete` why there are not all photos, where that is so.
    """
    entries = [photo_entry(name, found, (counting or {}).get(name)) for name, found in photos]
    left = {} if incomplete is None else {"incomplete": incomplete}
    return {"model": model, **asdict(config), **left, "photos": entries}


def photo_entry(
    name: str, found: Sequence[Caption] | ImageError, counting: str | None = None
) -> dict[str, Any]:
    """A photo of `captions_document`, and a line of `captioner caption --jsonl`."""
    name = as_text(name)
    if isinstance(found, ImageError):
        return {"photo": name, "error": str(found)}
    return {
        "photo": name,
        **({} if counting is None else {"caption": counting}),
        "captions": [
            {
                "text": caption.text,
                "log_prob": round(caption.log_prob, 4),
                "finished": caption.finished,
                "confidence": caption.confidence
                if caption.confidence is None
                else round(caption.confidence, 3),
                "unsure": caption.unsure,
                **({} if caption.translation is None else {"translation": caption.translation}),
            }
            for caption in found
        ],
    }


def captions_csv(captions: Iterable[tuple[str, str]]) -> str:
    """A table of photos' names and captions, which `captioner score` and `captioner train` read.

    Each is written as it is, a leading `=` too: what a model learns from must be exact.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "caption"))
    writer.writerows(captions)
    return table.getvalue()


def alt_text_page(photos: Sequence[CaptionedPhoto]) -> str:
    """One self-contained web page: each photo with its alternative text, and the markup to copy."""
    cards = []
    for photo in photos:
        image = element("img", src=embedded(photo.jpeg), alt=photo.caption, decoding="async")
        markup = str(element("img", src=photo.name, alt=photo.caption))
        cards.append(
            element(
                "article",
                element("div", image, class_="picture"),
                element("p", photo.caption, class_="caption", dir="auto"),
                element("p", element("code", markup), class_="id"),
                class_="card",
            )
        )
    count = f"{len(photos):,} photo{'s' * (len(photos) != 1)}"
    header = element("header", element("h1", "Alternative texts"), element("p", count, class_="subject"))
    section = element("section", element("div", *cards, class_="cards"))
    return web_page("Alternative texts", element("main", header, section))


def training_set(photos: Iterable[CaptionedPhoto]) -> bytes:
    """A ZIP archive that, unpacked, `captioner train` takes: captions.csv, and the photos in Images."""
    archive, taken, rows = io.BytesIO(), set[str](), []
    with zipfile.ZipFile(archive, "w") as file:
        for photo in photos:
            name = _file_name(photo.name, taken)
            taken.add(name.lower())
            rows.append((name, photo.caption))
            file.writestr(f"{_PICTURES}/{name}", photo.jpeg)
        file.writestr(_CAPTIONS, captions_csv(rows))
    return archive.getvalue()


def _file_name(name: str, taken: set[str]) -> str:
    """A JPEG's name that every system takes, and that is not among those `taken`, in lower case."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    stem = "".join(sign if sign.isalnum() or sign in " -_.()" else "_" for sign in stem)[:100].strip(" .")
    stem = stem or "photo"
    found, count = f"{stem}.jpg", 1
    while found.lower() in taken:
        count += 1
        found = f"{stem} ({count}).jpg"
    return found
