"""What the service knows of its models: what each can do. The hall loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.load import Source
from captioner.pictures.refusals import ImageError, ImageLimits
from textgen.classification.classifier import Classifier
from textgen.generator import TextGenerator
from textgen.translation.translator import Translator


class Captions(Protocol):
    """A captioner; safe to call from several threads."""

    hash: str
    workers: int

    def caption_each(
        self,
        pictures: Iterable[Source],
        config: DecodingConfig = ...,
        attention: bool = False,
        batch: int = ...,
        limits: ImageLimits = ...,
        language: str | None = None,
    ) -> Iterator[list[Caption] | ImageError]: ...


@dataclass(frozen=True)
class Models:
    """The models behind the address; those that are functions load by a name in the box, once."""

    captioner: Captions
    text: Callable[[str | None], TextGenerator]
    translator: Callable[[str | None], Translator]
    classifier: Callable[[str | None], Classifier]
    languages: tuple[str, ...]
    """That captions may be translated into."""
    listing: Callable[[], Sequence[dict[str, Any]]]
    """The models in the boxes, as `captioner models --json` and `textgen models --json` list them."""
