"""`TextGenerator`: a prompt, read on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack, overload

import numpy as np

from textgen.decoding.likelihood import Score
from textgen.decoding.one_reader import OneReader
from textgen.decoding.writing import StepWriter, Writer, Writing, score
from textgen.engine.protocol import StepModel
from textgen.engine.reloading import Origin, Reloadable
from textgen.engine.text_model import BOX
from textgen.errors import UserError
from textgen.families.stored import load_any
from textgen.generation_config import MOST_TEXTS, GenerationConfig
from textgen.storage.bundle import Header
from textgen.text.copied import CopyIndex
from textgen.text.encoding import encode_texts, start_of_text
from textgen.text.prompt import Prompt, read_prompt
from textgen.text.tokenizer import EOS, PAD, UNK, CharTokenizer, Tokenizer

_ROWS = 64  # texts side by side
_SHARED = (
    "this text is read by two threads at once, and each would get a part of it; give each a stream of its own"
)


class GenerationSettings(TypedDict, total=False):
    """`GenerationConfig` as keywords."""

    length: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    stop: str | Sequence[str] | None
    """A text, or several."""
    seed: int | None
    steps: int


@dataclass(frozen=True)
class GeneratedText:
    """A prompt and what the model made of it; `str` is both together."""

    prompt: str
    """As typed."""
    text: str
    """What follows it."""
    log_prob: float
    """Natural logarithm of the model's own probability of what it generated, at temperature 1; of a vae or flow given the
    latent vector, of an energy its base's, of a diffusion in the order in which the tokens were told."""
    finished: bool
    """It came to its end or to a stop text; False when it was cut at the length."""
    ids: tuple[int, ...]
    """The generated tokens, a stop text's included."""
    warnings: tuple[str, ...] = ()
    """What the model could not read of the prompt."""

    def __str__(self) -> str:
        return self.prompt + self.text


class TextGenerator(Reloadable):
    """A text model ready for use; safe to call from several threads, in forked children, and to send to others."""

    def __init__(
        self,
        writer: StepModel | Writer,
        tokenizer: Tokenizer,
        header: Header,
        hash: str,
        copied: CopyIndex | None = None,
    ):
        """`writer`: what writes; a model that is stepped is made one."""
        self.writer: Writer = writer if isinstance(writer, Writer) else StepWriter(writer)
        self.tokenizer = tokenizer
        self.header = header
        """The model's `model.json`: config and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""
        self.copied = copied
        """The index of its training text, where the model carries one."""
        self.lines = header["config"]["lines"]
        """Whether a text is a line that comes to an end; else it is read on without one."""
        self.end = EOS if self.lines else None
        self._start = start_of_text(tokenizer, self.lines)

    @property
    def model(self) -> StepModel:
        """What is stepped. Raises UserError where there is none: some families make whole lines at once."""
        if not isinstance(self.writer, StepWriter):
            family = self.header["config"].get("family", "this")
            raise UserError(f"a model of the family {family} is not stepped a token at a time")
        return self.writer.model

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, engine: str = "auto") -> TextGenerator:
        """A model in the box by its name, or the one in a folder. Raises UserError naming what is wrong with it.

        `engine` is `onnx` (ONNX Runtime), `torch`, or `auto`: the first where the model has graphs.
        """
        folder = BOX.find(model)
        loaded = cls(*load_any(folder, engine), CopyIndex.load(folder))
        loaded.origin = Origin.of(folder, BOX, engine)
        return loaded

    def read(self, prompt: str) -> Prompt:
        """What the model reads of `prompt`, to go on from. Raises UserError where it reads none."""
        if prompt and not self.writer.reads_prompts:
            family = self.header["config"]["family"]
            raise UserError(
                f"prompt: a {family} begins each line itself, and reads no prompt on; leave it out"
            )
        return self.known(prompt)

    def known(self, text: str) -> Prompt:
        """What the model knows of a text: its ids, and what it reads as something else."""
        return read_prompt(text, self.tokenizer)

    @overload
    def generate(
        self, prompt: str = "", *, n: int = 1, **settings: Unpack[GenerationSettings]
    ) -> list[GeneratedText]: ...

    @overload
    def generate(
        self, prompt: list[str] | tuple[str, ...], *, n: int = 1, **settings: Unpack[GenerationSettings]
    ) -> list[list[GeneratedText]]: ...

    def generate(
        self,
        prompt: str | list[str] | tuple[str, ...] = "",
        *,
        n: int = 1,
        **settings: Unpack[GenerationSettings],
    ) -> list[GeneratedText] | list[list[GeneratedText]]:
        """`n` texts that read `prompt` on, or of each of a list of prompts.

        `settings` are those of `GenerationConfig`: length, temperature, top_k, top_p, min_p, repetition_penalty, stop,
        seed, steps. A prompt's texts depend neither on the other prompts nor on `n`. Raises UserError for settings out of
        range.
        """
        config = _config(settings)
        prompts = [self.read(text) for text in ([prompt] if isinstance(prompt, str) else prompt)]
        found = [list(texts) for texts in zip(*self._each(prompts, n, config), strict=True)]
        return found[0] if isinstance(prompt, str) else found

    def generate_each(
        self, prompt: str = "", *, n: int = 1, **settings: Unpack[GenerationSettings]
    ) -> Iterator[GeneratedText]:
        """The texts that `generate` gives of a prompt, some at a time as they are done."""
        for (text,) in self._each([self.read(prompt)], n, _config(settings)):
            yield text

    def _each(
        self, prompts: Sequence[Prompt], n: int, config: GenerationConfig
    ) -> Iterator[list[GeneratedText]]:
        """The first text of each of `prompts`, the second of each, and so on."""
        if not 1 <= n <= MOST_TEXTS:
            raise UserError(f"n: {n} is outside 1 to {MOST_TEXTS:,}")
        if config.seed is None:  # one for all blocks
            config = replace(config, seed=secrets.randbits(32))
        if not prompts:
            return
        share = max(1, _ROWS // len(prompts))
        for first in range(0, n, share):
            keys = range(first, min(n, first + share))
            rows = [_Row(prompt, self, config) for _ in keys for prompt in prompts]
            for _ in self._read_on(rows, config, [key for key in keys for _ in prompts]):
                pass
            texts = [row.result() for row in rows]
            yield from (texts[i : i + len(prompts)] for i in range(0, len(texts), len(prompts)))

    def stream(self, prompt: str = "", **settings: Unpack[GenerationSettings]) -> Iterator[str]:
        """What follows `prompt`, piece by piece as it comes; joined, it is the text that `generate` gives.

        Two threads that read it at the same time are refused, by UserError.
        """
        config = _config(settings)
        row = _Row(self.read(prompt), self, config)
        return OneReader((news for _ in self._read_on([row], config, [0]) if (news := row.news())), _SHARED)

    def grow(self, prompt: str = "", **settings: Unpack[GenerationSettings]) -> Iterator[GeneratedText]:
        """The text that `generate` gives as it grows, a token more each time; only the last is whole.

        Two threads that read it at the same time are refused, by UserError.
        """
        config = _config(settings)
        row = _Row(self.read(prompt), self, config)
        return OneReader((row.result() for _ in self._read_on([row], config, [0])), _SHARED)

    def _read_on(self, rows: Sequence[_Row], config: GenerationConfig, keys: Sequence[int]) -> Iterator[None]:
        """Feeds the rows, a token each a turn, until all are done."""
        if not rows:
            return
        rules = config.constraints(self.end)
        how = Writing(config.sampling, rules, self.end, config.length, config.seed, keys, config.steps)
        columns = self.writer.write([[self._start, *row.prompt.ids] for row in rows], how)
        for column in columns:
            for row, token, log_prob in zip(rows, column.ids.tolist(), column.log_probs, strict=True):
                if not row.finished and token != PAD:  # a writer of whole lines pads those that are cut
                    row.add(token, float(log_prob))
            if all(row.finished for row in rows):
                break
            yield
        for row in rows:
            row.close()
        yield

    def score(self, text: str | Sequence[str], streams: int = 1) -> Score:
        """How likely the model finds a text from its beginning, or several: lines of their own, or one stream.

        A long stream may be read in some `streams` parts side by side (`decoding.likelihood.stream_nats`). Raises UserError for
        an empty text.
        """
        texts = [text] if isinstance(text, str) else text
        return score(self.writer, self.tokenizer, encode_texts(self.tokenizer, texts, self.lines), streams)

    def nats_each(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nats (lines,) of each of `lines`, how many tokens each is, its end included, and how many of them are unknown; of a
        model of lines."""
        encoded = encode_texts(self.tokenizer, lines, lines=True)
        assert isinstance(encoded.ids, list), "of lines"
        sizes = np.array([[len(line), line.count(UNK)] for line in encoded.ids])
        return self.writer.line_nats(encoded.ids), sizes[:, 0], sizes[:, 1]


def _config(settings: GenerationSettings) -> GenerationConfig:
    given = settings.get("stop")
    stop = () if given is None else given
    values: dict[str, Any] = {**settings, "stop": (stop,) if isinstance(stop, str) else tuple(stop)}
    return GenerationConfig(**values)


class _Row:
    """One text as it grows."""

    def __init__(self, prompt: Prompt, generator: TextGenerator, config: GenerationConfig):
        self.prompt = prompt
        self.finished = False
        self._tokenizer, self._end, self._stop = generator.tokenizer, generator.end, config.stop
        self._previous = prompt.last
        # A word model's space before its first word, where the prompt has one already.
        self._spaced = prompt.text[-1:].isspace() and not isinstance(self._tokenizer, CharTokenizer)
        self._ids: list[int] = []
        self._log_prob = 0.0
        self._text = ""
        self._shown = self._safe = 0

    def add(self, token: int, log_prob: float) -> None:
        self._log_prob += log_prob
        if token == self._end:
            self.finished = True
            return
        self._ids.append(token)
        piece = self._tokenizer.tokens[token]
        added = self._tokenizer.text_after(self._previous, piece)
        if self._spaced:
            added, self._spaced = added.lstrip(" "), False
        self._previous = piece
        longest = max(map(len, self._stop), default=1)
        searched = max(0, len(self._text) - longest + 1)
        self._text += added
        places = [place for stop in self._stop if (place := self._text.find(stop, searched)) >= 0]
        if places:
            self._text, self.finished = self._text[: min(places)], True
        # What may be the beginning of a stop text waits until it is known.
        held = next(
            (
                size
                for size in range(min(longest - 1, len(self._text)), 0, -1)
                if any(stop.startswith(self._text[-size:]) for stop in self._stop)
            ),
            0,
        )
        self._safe = len(self._text) - (0 if self.finished else held)

    def close(self) -> None:
        self._safe = len(self._text)

    def news(self) -> str:
        """What may be shown and has not been."""
        shown, self._shown = self._shown, self._safe
        return self._text[shown : self._safe]

    def result(self) -> GeneratedText:
        return GeneratedText(
            self.prompt.text,
            self._text[: self._safe],
            self._log_prob,
            self.finished,
            tuple(self._ids),
            self.prompt.warnings,
        )
