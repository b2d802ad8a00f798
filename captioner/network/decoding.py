"""A context to captions: the settings people choose, and the rules every caption keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from tyro.conf import arg

from captioner.network.confidence import Confidence
from textgen.decoding.beam import beam_search
from textgen.decoding.constraints import Constraints
from textgen.decoding.generate import Generated, generate
from textgen.decoding.sampling import SamplingConfig
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from textgen.text.words import NOT_FINAL

# Of what one picture may be asked for; memory grows with each of them.
_MOST_BEAMS, _MOST_SAMPLES, _LONGEST = 100, 1000, 1000


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are chosen: beam search, or sampling when a temperature is given."""

    n: int = 1
    """Captions a picture."""
    beam: int = 3
    """Beams kept side by side; widened to n."""
    temperature: float | None = None
    """Sample at this temperature instead of beam search; 0 is greedy."""
    top_k: int = 0
    """Sample from the k most likely words only; 0 is all."""
    top_p: float = 1.0
    """Sample from the likeliest words that reach this probability."""
    seed: int | None = None
    """Same seed, same captions, whatever the batch; a fresh one unless told."""
    max_length: int = 30
    """Words; a longer caption is cut and marked."""
    length_penalty: float = 1.0
    """Power of the length that beam scores are divided by."""

    rerank: Annotated[str | None, arg(metavar="NAME|DIR")] = None
    """An energy-based model of `textgen` that chooses among the beams by how they read as sentences."""
    rerank_weight: float = 1.0
    """How much its word counts against the captioner's."""

    def __post_init__(self) -> None:
        most = _MOST_BEAMS if self.temperature is None else _MOST_SAMPLES
        for name, value, limit in (
            ("n", self.n, most),
            ("beam", self.beam, _MOST_BEAMS),
            ("max_length", self.max_length, _LONGEST),
        ):
            if not 1 <= value <= limit:
                raise UserError(f"{name}: {value} is outside 1 to {limit:,}")
        if self.seed is not None and self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")
        if not 0 <= self.length_penalty <= 10:
            raise UserError(f"length_penalty: {self.length_penalty} is outside 0 to 10")
        if self.temperature is None and (self.top_k or self.top_p != 1):
            raise UserError("top_k, top_p: they need a temperature; beam search does not sample")
        if self.rerank and self.temperature is not None:
            raise UserError("rerank: chooses among beams; sampled captions stay as they fell")
        if not 0 <= self.rerank_weight < float("inf"):
            raise UserError(f"rerank_weight: {self.rerank_weight} must be 0 or more")
        self.sampling  # noqa: B018 - refuses a bad temperature, top_k or top_p now, by name

    @property
    def sampling(self) -> SamplingConfig | None:
        if self.temperature is None:
            return None
        return SamplingConfig(self.temperature, self.top_k, self.top_p)

    def describe(self) -> str:
        """The settings that decide a caption, for a report's signature."""
        if self.temperature is None:
            chosen = f"|rerank:{self.rerank}|rerank-weight:{self.rerank_weight:g}" if self.rerank else ""
            beams = f"beam:{self.beam}|length-penalty:{self.length_penalty:g}|max-length:{self.max_length}"
            return beams + chosen
        draw = f"temperature:{self.temperature:g}|top-k:{self.top_k}|top-p:{self.top_p:g}|seed:{self.seed}"
        return f"{draw}|max-length:{self.max_length}"


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


DEFAULT_DECODING = DecodingConfig()
