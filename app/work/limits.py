"""What one visitor may ask for, and how much the machine does at once; the environment may say otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from captioner.pictures.refusals import ImageLimits
from textgen.errors import UserError

PREFIX = "CAPTIONER_APP_"


@dataclass(frozen=True)
class Limits:
    """Each field is set by an environment variable: `upload_mb` by CAPTIONER_APP_UPLOAD_MB."""

    upload_mb: int = 20
    """Megabytes of one uploaded file; `server.maxUploadSize` of app/.streamlit/config.toml is the same."""
    photos: int = 50
    """Photos of one visitor at once."""
    megapixels: int = 50
    """Of one photo, that must be held in memory at once: a JPEG is decoded at a reduced scale."""
    inferences: int = 2
    """Computations of models at once."""
    queue: int = 60
    """Visitors that wait for one; the next is told that it is busy."""
    wait_seconds: float = 20.0
    """How long a visitor waits before being told that it is busy."""
    text_length: int = 2000
    """Characters or words of one text."""
    evaluation_mb: int = 200
    """Megabytes of what one visitor uploads to be captioned and scored, a ZIP archive's unpacked."""
    evaluation_files: int = 10_000
    """How many files that may be."""
    open_folders: int = 0
    """Whether a visitor may use models from folders of this machine; `captioner app` says 1 where no stranger comes."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = _RANGES[field.name]
            if not low <= value <= high:
                raise UserError(f"{PREFIX}{field.name.upper()}: {value} is outside {low} to {high}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The defaults, and what `environment` says instead. Raises UserError naming a variable that is wrong."""
        values: dict[str, Any] = {}  # whole numbers and others, as the fields are
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if text := environment.get(name, "").strip():
                kind = int if isinstance(field.default, int) else float
                try:
                    values[field.name] = kind(text)
                except ValueError as error:
                    number = "a whole number" if kind is int else "a number"
                    raise UserError(f"{name}: {text!r} is not {number}") from error
        return cls(**values)

    @property
    def images(self) -> ImageLimits:
        """As `captioner.pictures.load` takes them."""
        return ImageLimits(self.upload_mb * 1_000_000, self.megapixels * 1_000_000)


_RANGES = {
    "upload_mb": (1, 50),  # which every visitor may have in memory at once
    "photos": (1, 1000),
    "megapixels": (1, 1000),
    "inferences": (1, 256),
    "queue": (0, 10_000),
    "wait_seconds": (0.1, 600),
    "text_length": (50, 10_000),
    "evaluation_mb": (1, 2000),
    "evaluation_files": (1, 1_000_000),
    "open_folders": (0, 1),
}


@cache
def limits() -> Limits:
    """Those of this process. Raises UserError as `Limits.from_environment` does."""
    return Limits.from_environment()
