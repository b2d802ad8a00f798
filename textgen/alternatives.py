"""What else a generated text might have said: at each place, what the model found likeliest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from textgen.decoding.sampling import log_softmax
from textgen.errors import UserError
from textgen.generation_config import GenerationConfig
from textgen.generator import GeneratedText, TextGenerator
from textgen.text.encoding import start_of_text


@dataclass(frozen=True)
class Choice:
    """A token that might have come next."""

    text: str
    """What it would have added to the text; "" is its end."""
    probability: float


@dataclass(frozen=True)
class Place:
    """One token of a generated text, and what else might have stood there."""

    text: str
    """What it added; those of all places, joined, are the text."""
    probability: float
    """The model's own, at temperature 1."""
    rank: int
    """1 is the likeliest of what could be chosen."""
    likeliest: tuple[Choice, ...]
    """The likeliest first; what is never generated, as the unknown word, is left out, and its probability with it."""


def alternatives(generator: TextGenerator, text: GeneratedText, k: int = 5) -> Iterator[Place]:
    """The places of a `text` that `generator` made, one by one, each with the `k` likeliest tokens.

    The text is read once more, a step a token. A stop text and what follows it have no places. Raises UserError for a
    `k` below 1.
    """
    if k < 1:
        raise UserError(f"k: {k} must be 1 or more")
    return _places(generator, text, k)


def _places(generator: TextGenerator, text: GeneratedText, k: int) -> Iterator[Place]:
    model, tokenizer, end = generator.model, generator.tokenizer, generator.end
    constraints = GenerationConfig().constraints(end)
    prompt = generator.read(text.prompt)
    previous, shown = prompt.last, 0
    start = [start_of_text(tokenizer, generator.lines), *prompt.ids]
    logits, state = model.prefill(np.array([start]), model.start(None, 1))
    for place, token in enumerate(text.ids):
        left = text.text[shown:]
        if not left:
            return
        piece = tokenizer.text_after(previous, tokenizer.tokens[token])
        if place == 0 and not left.startswith(piece):
            piece = piece.lstrip(" ")  # the prompt ends in the space before the first word
        piece = left[: len(piece)]
        log_probs = log_softmax(logits.astype(np.float64))[0]
        possible = log_probs.copy()
        possible[list(constraints.banned)] = -np.inf
        if end is not None and place < constraints.min_length:
            possible[end] = -np.inf
        order = np.argsort(-possible, kind="stable")[:k]
        yield Place(
            piece,
            float(np.exp(log_probs[token])),
            int((possible > possible[token]).sum()) + 1,
            tuple(
                Choice(
                    "" if index == end else tokenizer.text_after(previous, tokenizer.tokens[index]),
                    float(np.exp(possible[index])),
                )
                for index in order[np.isfinite(possible[order])].tolist()
            ),
        )
        previous, shown = tokenizer.tokens[token], shown + len(piece)
        if place + 1 < len(text.ids):
            logits, state = model.step(np.array([token]), state)
