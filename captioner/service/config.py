"""What decides how the service behaves; apart from it, so that the command line can show it without FastAPI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError

_RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "photos": (1, 1000),
    "photo_mb": (0.001, 200),
    "max_megapixels": (1, 1000),
    "text_length": (1, 100_000),
    "lines": (1, 10_000),
    "tokens": (1, 10_000_000),
    "batch": (1, 64),
    "queue": (1, 100_000),
    "wait_seconds": (0.1, 600),
    "receive_seconds": (0.1, 3600),
    "end_seconds": (0, 3600),
}


@dataclass(frozen=True)
class ServiceConfig:
    """Limits of the service, each told to whoever goes beyond it."""

    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets other machines in."""
    port: int = 8000
    """0 takes a free one, and prints it."""
    token_file: Annotated[Path | None, arg(metavar="FILE")] = None
    """A file that holds a token: who does not send it as `Authorization: Bearer TOKEN` is turned away."""
    photos: int = 16
    """Photos of a request."""
    photo_mb: float = 20.0
    """Megabytes of a photo."""
    max_megapixels: float = 50.0
    """Of a photo, that may be held in memory; a JPEG, decoded at a reduced scale, may have 20 times as many."""
    text_length: int = 2000
    """Characters or words of a text that is written, and characters of one that is sent."""
    lines: int = 100
    """Texts of a request to translate or classify."""
    tokens: int = 20_000
    """Tokens that may be computed for a request: of all its texts, or of all beams of its photos' captions; some seconds' work."""
    batch: int = 8
    """Single photos of different requests that are captioned side by side; no answer depends on that."""
    queue: int = 64
    """Photos that wait, and as many other requests; the next is told to come again (503)."""
    wait_seconds: float = 20.0
    """How long a request waits for its turn to be computed before it is told to come again."""
    receive_seconds: float = 30.0
    """How long a request may take to arrive."""
    end_seconds: int = 30
    """How long what is under way may take once the service is to end; a little later it is cut off."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name}: {getattr(self, name)} is outside {low:g} to {high:,g}")
        if self.queue < self.photos:
            raise UserError(
                f"queue: {self.queue} has no room for the {self.photos} photos of a request (--photos)"
            )

    @property
    def most_text_bytes(self) -> int:
        """Of a body of JSON, where a character may take twelve (an escaped pair of surrogates), and more that is not text."""
        return 100_000 + 12 * self.lines * self.text_length

    @property
    def most_bytes(self) -> int:
        """Of a request's body: its photos, and what a form has around them."""
        return int(self.photos * self.photo_mb * 1_000_000) + 100_000
