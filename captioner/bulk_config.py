"""How photos are captioned in bulk; apart from `bulk`, so that the command line can show it without all that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from captioner.network.decoding_config import DecodingConfig
from textgen.errors import UserError

FORMATS = ("jsonl", "parquet")


@dataclass(frozen=True)
class BulkConfig:
    """How it is done."""

    format: str = "jsonl"
    """jsonl or parquet: of the parts."""
    part: int = 500
    """Photos of a part: what is lost at most when a machine is, and what an actor takes at a time."""
    workers: Annotated[int | None, arg(metavar="INT")] = None
    """Captioners side by side, a core each; as many as the cluster has cores unless told. More wait for a core."""
    address: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """A Ray cluster to join, or auto; its machines share all folders. Without, Ray is started on this machine, and ended."""
    n: int = 1
    """Captions a photo."""
    beam: int = 3
    """Beams kept side by side."""
    language: Annotated[str, arg(metavar="en|de|fr")] = "en"
    """Beside each caption its translation."""
    max_megapixels: float = 50.0
    """Of a photo, that may be held in memory."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"format: unknown {self.format!r}; known: {', '.join(FORMATS)}")
        if not 1 <= self.part <= 100_000:
            raise UserError(f"part: {self.part} is outside 1 to 100,000")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers: {self.workers} must be 1 or more")
        self.decoding  # noqa: B018 - refuses an n or beam out of range now, by name

    @property
    def decoding(self) -> DecodingConfig:
        return DecodingConfig(n=self.n, beam=self.beam)
