"""What an actor of `captioner bulk` does: a part at a time, from references to a file."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from captioner.bulk_config import BulkConfig
from captioner.caption import Captioner
from captioner.data.bulk_parts import PLAN, Row, encoded
from captioner.data.photo_reference import Reference
from captioner.data.photo_sources import read_photo
from captioner.data.remote import Place, escaped, first_line, read_bytes, write_bytes
from captioner.pictures.refusals import ImageError, ImageLimits
from captioner.report.exports import photo_entry
from textgen.errors import UserError


class Worker:
    """A captioner of one thread. What it cannot do stands in its rows: an exception would come out of Ray without its reason."""

    def __init__(self, out: str, plan: dict[str, Any], folder: str, engine: str, config: BulkConfig):
        self._out, self._config, self._broken = Place(out), config, ""
        try:
            self._check(plan)
            self._captioner = Captioner.load(folder, engine)
            self._captioner.workers = 1
            self._captioner.renew_after_fork()
        except Exception as error:
            self._broken = _reason(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._broken:
                raise UserError(self._broken)
            rows = self._rows(row["photos"])
            write_bytes(self._out.joined(row["name"]), encoded(rows, self._config.format))
        except Exception as error:
            return {"name": row["name"], "photos": 0, "failed": 0, "error": _reason(error)}
        failed = sum("error" in one for one in rows)
        return {"name": row["name"], "photos": len(rows), "failed": failed, "error": ""}

    def _check(self, plan: dict[str, Any]) -> None:
        """A folder of the same name on another machine would take the parts, and nobody would find them."""
        try:
            is_shared = json.loads(read_bytes(self._out.joined(PLAN))) == plan
        except (OSError, ValueError):
            is_shared = False
        if not is_shared:
            raise UserError(
                f"{self._out.address}: the machine {socket.gethostname()} has another folder there, or none; "
                "name an OUTPUT that all machines of the cluster share, as s3://"
            )

    def _rows(self, photos: Sequence[Reference]) -> list[Row]:
        try:
            return list(self._captioned(photos))
        except UserError:
            raise
        except Exception:  # of one of them: each by itself shows which
            return [self._alone(photo) for photo in photos]

    def _alone(self, photo: Reference) -> Row:
        try:
            return next(self._captioned([photo]))
        except UserError:
            raise
        except Exception as error:
            return {"id": photo.id, "error": escaped(f"picture: cannot be captioned: {_reason(error)}")}

    def _captioned(self, photos: Sequence[Reference]) -> Iterator[Row]:
        config, failed = self._config, dict[int, str]()

        def data() -> Iterator[bytes]:
            for place, photo in enumerate(photos):
                try:
                    yield read_photo(photo)
                except UserError as error:
                    failed[place] = escaped(str(error))
                    yield b""

        limits = ImageLimits.of_megapixels(config.max_megapixels)
        found = self._captioner.caption_each(data(), config.decoding, limits=limits, language=config.language)
        for place, (photo, captions) in enumerate(zip(photos, found, strict=True)):
            captions = ImageError(failed[place]) if place in failed else captions
            entry = photo_entry(photo.id, captions)
            yield {"id": entry.pop("photo"), **entry}


def _reason(error: Exception) -> str:
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{kind}{first_line(error)}"
