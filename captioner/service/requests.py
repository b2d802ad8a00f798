"""What requests may ask for: their settings, by the command line's names, and the limits that each is held to."""

from __future__ import annotations

from inspect import signature
from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, FailFast, Field

from captioner.network.decoding_config import DecodingConfig
from captioner.service.answers import Refused
from captioner.service.config import ServiceConfig
from textgen.generation_config import GenerationConfig
from textgen.translation.config import TranslationConfig

# Of a list the first thing wrong is told: a million of them, each told, would be a gigabyte.
Texts = Annotated[list[str], FailFast()]
_LETTERS = 4  # of a token of a text that is translated, about


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextRequest(_Body):
    """A prompt to be read on; the settings are those of `textgen generate`."""

    prompt: str = Field("", examples=["ROMEO:"])
    model: str | None = Field(None, examples=["shakespeare"])
    n: int = Field(1, ge=1, le=100)
    length: int = Field(300, examples=[60])
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: Texts = []
    seed: int | None = Field(None, ge=0, lt=2**63, examples=[1])

    def config(self, limits: ServiceConfig) -> GenerationConfig:
        for name, text in (("prompt", self.prompt), *(("stop", one) for one in self.stop)):
            _check_length(name, text, limits)
        if self.length > limits.text_length:
            raise Refused(422, f"length: {self.length:,} is more than {limits.text_length:,}")
        check_work("n, length", self.n * self.length, limits)
        settings = self.model_dump(exclude={"prompt", "model", "n", "stop"})
        return GenerationConfig(**settings, stop=tuple(self.stop))


class LinesRequest(_Body):
    """Texts, each by itself."""

    texts: Texts = Field(examples=[["A dog runs through the snow."]])
    model: str | None = None

    def checked(self, limits: ServiceConfig) -> list[str]:
        if len(self.texts) > limits.lines:
            raise Refused(413, f"more than {limits.lines} texts; send fewer at a time")
        for text in self.texts:
            _check_length("texts", text, limits)
        return self.texts


class TranslationRequest(LinesRequest):
    """Sentences to be translated."""

    beam: int = Field(5, ge=1, le=20)
    n: int = Field(1, ge=1, le=20)

    def checked(self, limits: ServiceConfig) -> list[str]:
        texts = super().checked(limits)
        words = sum(map(len, texts)) // _LETTERS + len(texts)
        check_work("texts, beam, n", max(self.beam, self.n) * words, limits)
        return texts


def decoding_settings(
    n: Annotated[int, Query(ge=1, le=100, description="Captions a photo.")] = 1,
    beam: Annotated[int, Query(ge=1, le=100, description="Beams kept side by side.")] = 3,
    temperature: Annotated[float | None, Query(description="Sample instead of beam search.")] = None,
    top_k: Annotated[int, Query(ge=0)] = 0,
    top_p: Annotated[float, Query(ge=0, le=1)] = 1.0,
    seed: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    max_length: Annotated[int, Query(ge=1, le=1000)] = 30,
) -> DecodingConfig:
    """How captions are chosen; the names are those of the command line."""
    return DecodingConfig(n, beam, temperature, top_k, top_p, seed, max_length)


_SETTINGS = (*signature(decoding_settings).parameters, "attention", "language")  # of captions


def caption_words(settings: DecodingConfig, language: str) -> int:
    """At most, of a photo: those of all beams or samples, and of translations with the beams of theirs."""
    rows = settings.n if settings.temperature is not None else max(settings.beam, settings.n)
    translated = 0 if language == "en" else TranslationConfig().beam * settings.n
    return (rows + translated) * settings.max_length


def check_work(names: str, tokens: int, limits: ServiceConfig) -> None:
    """Refuses what would keep others waiting for long; `names` are the settings that decide it."""
    if tokens > limits.tokens:
        raise Refused(
            422, f"{names}: {tokens:,} tokens may be computed for that; {limits.tokens:,} at most a request"
        )


def check_names(request: Request) -> None:
    """Refuses settings of captions that there are not."""
    for name in request.query_params:
        if name not in _SETTINGS:
            raise Refused(422, f"{name[:20]}: unknown; known: {', '.join(_SETTINGS)}")


def _check_length(name: str, text: str, limits: ServiceConfig) -> None:
    if len(text) > limits.text_length:
        raise Refused(413, f"{name}: {len(text):,} characters; {limits.text_length:,} at most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(422, f"{name}: not UTF-8") from None
