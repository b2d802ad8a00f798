"""Texts as they are written on the page: one, or the same prompt at several temperatures side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from textgen.alternatives import Place, alternatives
from textgen.generation_config import GenerationConfig
from textgen.generator import GeneratedText, TextGenerator

TEMPERATURES = (0.0, 0.3, 0.8, 1.0, 1.3)
"""From the most likely text to a wild one."""


@dataclass(frozen=True)
class Task:
    """What a visitor asked for."""

    model: str
    """The name that the page shows."""
    prompt: str
    config: GenerationConfig
    """Its temperature is not used."""
    temperatures: tuple[float, ...]
    """One text each."""


@dataclass(frozen=True)
class Written:
    """What has become of a task."""

    task: Task
    hash: str
    """Of the model's weights."""
    texts: tuple[GeneratedText, ...]
    """In the order of the task's temperatures, as far as they have come."""
    whole: bool = False
    """False while they grow, and for good when they were stopped."""

    @property
    def download(self) -> str:
        """The texts as a file: one as it is, several each under its temperature."""
        if len(self.texts) == 1:
            return f"{self.texts[0]}\n"
        pairs = zip(self.task.temperatures, self.texts, strict=True)
        return "\n\n".join(f"--- temperature {temperature:g}\n{text}" for temperature, text in pairs) + "\n"


def write(generator: TextGenerator, task: Task) -> Iterator[Written]:
    """The task's texts as they grow, all by a token at a time; the last is whole."""
    settings = [asdict(replace(task.config, temperature=temperature)) for temperature in task.temperatures]
    growing = [generator.grow(task.prompt, **each) for each in settings]
    texts: list[GeneratedText | None] = [None] * len(growing)
    while True:
        grown = [next(text, None) for text in growing]
        if not any(grown):
            yield Written(task, generator.hash, tuple(filter(None, texts)), whole=True)
            return
        texts = [new or old for new, old in zip(grown, texts, strict=True)]
        yield Written(task, generator.hash, tuple(filter(None, texts)))


def other_words(generator: TextGenerator, texts: Sequence[GeneratedText]) -> Iterator[tuple[int, Place]]:
    """Each place of each text, after the number of its text."""
    for number, text in enumerate(texts):
        for place in alternatives(generator, text):
            yield number, place
