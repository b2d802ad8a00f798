"""Where a photo is; what reads it is `captioner.data.photo_sources`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """Of millions, so that each takes little."""

    id: str
    """By which it is found again in the output."""
    file: str
    """An address, or a path of this machine from the root on."""
    start: int = 0
    size: int | None = None
    """The stretch of the file that it is, of a tar."""
    row: int | None = None
    column: str = ""
    """Where it stands in a Parquet table."""
    otherwise: str = ""
    """The file that it is in, where its row has no bytes."""
    why: str = ""
    """Why it cannot be read, where that is known when it is listed."""
