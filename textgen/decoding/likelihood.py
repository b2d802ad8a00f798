"""How likely a model finds a text: nats, perplexity, bits a character. Numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgen.engine.protocol import StepModel
from textgen.rows import Share
from textgen.text.batches import pad_rows
from textgen.text.tokenizer import PAD

EXACT, BOUND, ESTIMATE = "exact", "upper bound", "estimate"  # what nats are
_CHUNK = 256  # tokens scored in a call: bounds the memory of their logits


@dataclass(frozen=True)
class Score:
    """What a model makes of a text."""

    nats: float
    """Negative log-likelihood of the whole text, in nats."""
    tokens: int
    characters: int
    unknown: int
    """Tokens outside the vocabulary; each was scored as the one unknown token."""
    words: int
    """Between white space, and the ends of lines."""
    likelihood: str = EXACT
    """What the nats are: exact, an upper bound, or an estimate."""

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """Of a token: exp of its mean nats."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def bits_per_character(self) -> float:
        """Too low for a word model where words are unknown: each costs no more than the unknown token."""
        return self.nats / math.log(2) / self.characters

    @property
    def nats_per_character(self) -> float:
        """Too low for a word model where words are unknown, as `bits_per_character`."""
        return self.nats / self.characters

    @property
    def word_perplexity(self) -> float:
        """Of a word between white space, whatever the tokens are: comparable between models of characters and words."""
        return math.exp(min(self.nats / max(1, self.words), 700.0))

    def to_json(self) -> dict[str, float | str]:
        return {
            "nats_per_token": self.nats_per_token,
            "perplexity": self.perplexity,
            "nats_per_character": self.nats_per_character,
            "bits_per_character": self.bits_per_character,
            "word_perplexity": self.word_perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
            "unknown": self.unknown,
            "words": self.words,
            "likelihood": self.likelihood,
        }


def stream_nats(
    model: StepModel,
    ids: np.ndarray,
    start: int,
    streams: int = 1,
    warmup: int = 256,
    mine: Share = Share(),
) -> np.ndarray:
    """Negative log-likelihood (tokens,) of each of `ids` (tokens,), read as one text that `start` precedes.

    With several `streams` as many parts are read side by side, each after the `warmup` tokens before it: some twenty
    times as fast, and the same to a few ten-thousandths of a nat, as a recurrent state forgets what is further back.
    Parts that are not `mine` are not read; of their tokens the nats are 0.
    """
    inputs = np.concatenate([[start], ids[:-1]]).astype(np.int64)
    targets = np.asarray(ids, dtype=np.int64)
    width = len(ids) // streams
    if width < warmup:
        streams, width = 1, len(ids)
    nats = np.zeros(len(ids))
    part = mine.of(streams)
    if not part.counted:
        return nats
    rows = np.arange(streams)[part.slice, None] * width
    states = [model.start(None, 1)] if rows[0] == 0 else []
    if len(later := rows[rows[:, 0] > 0]):
        states.append(model.prefill(inputs[later + np.arange(-warmup, 0)], model.start(None, len(later)))[1])
    state = model.join(states) if len(states) > 1 else states[0]
    for place in range(0, width, _CHUNK):
        places = rows + np.arange(place, min(place + _CHUNK, width))
        log_probs, state = model.score(inputs[places], targets[places], state)
        nats[places] = -log_probs
    if part.end == streams and (rest := len(ids) - streams * width):
        log_probs, _ = model.score(
            inputs[None, -rest:], targets[None, -rest:], model.select(state, np.array([len(rows) - 1]))
        )
        nats[-rest:] = -log_probs[0]
    return nats


def line_nats(model: StepModel, lines: Sequence[Sequence[int]], batch: int = 64) -> np.ndarray:
    """Negative log-likelihood (lines,) of each of `lines`, ids that hold their end tokens."""
    nats = np.zeros(len(lines))
    order = np.argsort([len(line) for line in lines])
    for place in range(0, len(order), batch):
        rows = order[place : place + batch]
        inputs, targets = pad_rows([lines[row] for row in rows])
        state = model.start(None, len(rows))
        for start in range(0, inputs.shape[1], _CHUNK):
            part = slice(start, start + _CHUNK)
            log_probs, state = model.score(inputs[:, part], targets[:, part], state)
            nats[rows] -= np.where(targets[:, part] == PAD, 0, log_probs).sum(axis=1)
    return nats
