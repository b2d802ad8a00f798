"""Who reads prompts on: a model that is stepped, or one that makes whole lines at once."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from textgen.decoding.generate import Column, Options, stream
from textgen.decoding.likelihood import EXACT, Score, line_nats, stream_nats
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.text.encoding import Encoded, start_of_text
from textgen.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Writing:
    """How prompts are read on, a row each."""

    sampling: SamplingConfig
    constraints: Constraints
    end: int | None
    max_length: int
    """Tokens of a row."""
    seed: int | None
    keys: Sequence[int]
    """Of the rows: each draws from (seed, its key)."""
    steps: int = 0
    """In which whole lines are made; as the writer has it unless told."""

    def options(self) -> Options:
        """As `generate.stream` takes them, which makes a token a step. Raises UserError where `steps` were asked for."""
        if self.steps:
            raise UserError("steps: only a diffusion model makes whole lines in steps; leave it out")
        return {
            "sampling": self.sampling,
            "constraints": self.constraints,
            "end": self.end,
            "max_length": self.max_length,
            "seed": self.seed,
            "keys": self.keys,
        }


@runtime_checkable
class Writer(Protocol):
    """Prompts to columns of ids, and lines to their nats."""

    likelihood: str
    """What its nats are: `EXACT`, `BOUND` or `ESTIMATE`."""
    reads_prompts: bool
    """Whether it reads a prompt on; else it begins each line itself."""

    def write(self, prompts: Sequence[Sequence[int]], how: Writing) -> Iterator[Column]:
        """As `generate.stream`. Raises UserError, by name, for what it cannot do, before the first column."""

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """Nats (lines,) of each of `lines`, ids that hold their end tokens."""

    def stream_nats(self, ids: np.ndarray, start: int, streams: int) -> np.ndarray:
        """Nats (tokens,) of each of `ids` (tokens,), one text that `start` precedes."""


class LineWriter:
    """What writers of lines have in common."""

    def stream_nats(self, ids: np.ndarray, start: int, streams: int) -> np.ndarray:
        raise UserError("a model of lines has no nats of a stream")


def drawn_seed(seed: int | None) -> int:
    """A seed, or a fresh one; of generators that are made from a seed and a key. Raises UserError below 0."""
    if seed is not None and seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
    return secrets.randbits(128) if seed is None else seed


class StepWriter:
    """A writer that steps a model."""

    likelihood = EXACT
    reads_prompts = True

    def __init__(self, model: StepModel):
        self.model = model

    def write(self, prompts: Sequence[Sequence[int]], how: Writing) -> Iterator[Column]:
        return stream(self.model, prompts, **how.options())

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        return line_nats(self.model, lines)

    def stream_nats(self, ids: np.ndarray, start: int, streams: int) -> np.ndarray:
        return stream_nats(self.model, ids, start, streams)


def score(writer: Writer, tokenizer: Tokenizer, encoded: Encoded, streams: int = 1) -> Score:
    """How likely `writer` finds texts; a stream is read in `streams` parts side by side."""
    if streams < 1:
        raise UserError(f"streams: {streams} must be 1 or more")
    if isinstance(encoded.ids, np.ndarray):
        nats = writer.stream_nats(encoded.ids, start_of_text(tokenizer, lines=False), streams).sum()
    else:
        nats = writer.line_nats(encoded.ids).sum()
    if not math.isfinite(nats):
        raise UserError(
            "the model computed NaN or infinity; its weights are damaged or its training diverged"
        )
    return Score(
        float(nats), encoded.tokens, encoded.characters, encoded.unknown, encoded.words, writer.likelihood
    )
