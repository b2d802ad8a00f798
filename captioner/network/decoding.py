"""A context to captions: the settings people choose, and the rules every caption keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.network.confidence import Confidence
from captioner.network.decoding_config import DecodingConfig
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import Generated, generate
from textgen.decoding.settings import Constraints
from textgen.engine.protocol import StepModel
from textgen.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from textgen.text.words import NOT_FINAL

# Of what one picture may be asked for; memory grows with each of them.
_MOST_BEAMS, _MOST_SAMPLES, _LONGEST = 100, 1000, 1000


@dataclass(frozen=True)
class Caption:
    """One caption of one picture."""

    text: str
    log_prob: float
    """Natural logarithm of the model's probability of the whole caption."""
    finished: bool
    """False when it was cut at the length limit."""
    words: tuple[str, ...]
    confidence: float | None = None
    """Probability from 0 to 1 that it is right; None of sampled captions, and of models that were never calibrated."""
    unsure: bool = False
    """Whether its confidence is below what the model's calibration found to be needed."""
    attention: np.ndarray | None = None
    """Where the model looked for each word, (words, rows, columns) of the picture's grid, each summing to 1."""
    translation: str | None = None
    """In another language, by a machine, where one was asked for."""


Order = Callable[[Sequence[Generated]], list[int]]
"""The places of a picture's beams, the best first."""


def caption_constraints(tokenizer: Tokenizer) -> Constraints:
    """No special token, no pair of words twice, at least a word, no dangling last word."""
    not_final = tuple(tokenizer.ids[word] for word in NOT_FINAL if word in tokenizer.ids)
    return Constraints(banned=(PAD, BOS, UNK), not_final=not_final, min_length=1, no_repeat_ngram=2)


def search_beams(
    model: StepModel, context: np.ndarray, tokenizer: Tokenizer, config: DecodingConfig
) -> list[list[Generated]]:
    """All beams that end, best first, of each picture of `context` (B, L, D)."""
    return beam_search(
        model,
        np.full((len(context), 1), BOS),
        context=context,
        beam_size=config.beam,
        n_best=max(config.n, config.beam),
        length_penalty=config.length_penalty,
        constraints=caption_constraints(tokenizer),
        end=EOS,
        max_length=config.max_length,
    )


def decode(
    model: StepModel,
    context: np.ndarray,
    tokenizer: Tokenizer,
    config: DecodingConfig,
    attention: bool = False,
    confidence: Confidence | None = None,
    order: Order | None = None,
) -> list[list[Caption]]:
    """`config.n` captions, best first, of each picture of `context` (B, L, D); sampled ones as they fell.

    `order` puts beams into another order than that of their log-probabilities.
    """
    batch = len(context)
    sure: list[Sequence[float | None]] = [[None] * config.n] * batch
    if config.sampling is None:
        found = search_beams(model, context, tokenizer, config)
        if confidence:
            sure = [list(confidence.of(beams, seen)) for beams, seen in zip(found, context, strict=True)]
        if order:
            orders = [order(beams) for beams in found]
            if confidence:
                sure = [[shares[i] for i in places] for shares, places in zip(sure, orders, strict=True)]
            found = [[beams[i] for i in places] for beams, places in zip(found, orders, strict=True)]
        found = [beams[: config.n] for beams in found]
    else:
        prompts = np.full((batch * config.n, 1), BOS)
        keys = list(range(config.n)) * batch
        rows = generate(
            model,
            prompts,
            context=context,
            sampling=config.sampling,
            constraints=caption_constraints(tokenizer),
            end=EOS,
            max_length=config.max_length,
            seed=config.seed,
            keys=keys,
        )
        found = [rows[i : i + config.n] for i in range(0, len(rows), config.n)]
    return [
        [
            _caption(
                model,
                context[b : b + 1],
                tokenizer,
                generated,
                probability,
                confidence is not None and probability is not None and probability < confidence.threshold,
                attention,
            )
            for generated, probability in zip(picture, sure[b], strict=False)
        ]
        for b, picture in enumerate(found)
    ]


def _caption(
    model: StepModel,
    context: np.ndarray,
    tokenizer: Tokenizer,
    generated: Generated,
    confidence: float | None,
    unsure: bool,
    attention: bool,
) -> Caption:
    ids = list(generated.ids)
    if not generated.finished:
        while len(ids) > 1 and tokenizer.tokens[ids[-1]] in NOT_FINAL:
            ids.pop()
    weights = None
    if attention:
        # Reading the caption once more gives every word's weights in one call; beams need not carry them.
        _, state = model.prefill(np.array([[BOS, *ids[:-1]]]), model.start(context, 1))
        looked = model.attention(state)  # (1, T, L)
        assert looked is not None, "a captioner's decoder has a context"
        side = round(looked.shape[2] ** 0.5)
        weights = looked[0].reshape(len(ids), side, -1)
    words = tuple(tokenizer.tokens[index] for index in ids)
    return Caption(
        tokenizer.decode(ids), generated.log_prob, generated.finished, words, confidence, unsure, weights
    )
