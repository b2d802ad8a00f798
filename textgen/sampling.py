"""Logits to next ids: what may come next, and which of it is chosen. Numpy only; randomness is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from textgen.errors import UserError

_BLOCK = 64  # uniforms drawn a row at a time


@dataclass(frozen=True)
class SamplingConfig:
    """How one of the possible tokens is chosen."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most likely token, whatever else is set."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the fewest tokens whose probabilities reach p (Holtzman et al. 2020); at least one."""
    min_p: float = 0.0
    """Drop tokens less likely than this share of the most likely one."""

    def __post_init__(self) -> None:
        if math.isnan(self.temperature) or self.temperature < 0 or math.isinf(self.temperature):
            raise UserError(f"temperature: {self.temperature} must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise UserError(f"top_k: {self.top_k} must be 0 (all) or more")
        for name in ("top_p", "min_p"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


GREEDY = SamplingConfig(temperature=0)


@dataclass(frozen=True)
class Constraints:
    """What may come next, for sampling and beams alike."""

    banned: tuple[int, ...] = ()
    """Ids never produced."""
    required: tuple[int, ...] = ()
    """Ids that must appear before the end; pressed in at the last moment if they never come."""
    not_final: tuple[int, ...] = ()
    """Ids after which the text may not end, such as `a` or `with`."""
    min_length: int = 0
    """Tokens before the end is allowed."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens produced before (Keskar et al. 2019); 1 is off."""
    repetition_window: int = 0
    """How many tokens back that looks; 0 looks at all. Of characters, all have soon been produced."""
    no_repeat_ngram: int = 0
    """No n-gram of this many tokens twice; 0 is off."""

    def __post_init__(self) -> None:
        # Further out the products overflow and leave a row without a candidate.
        if not 0.01 <= self.repetition_penalty <= 100:
            raise UserError(f"repetition_penalty: {self.repetition_penalty} is outside 0.01 to 100")
        for name, zero in (("no_repeat_ngram", "off"), ("repetition_window", "all")):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: {getattr(self, name)} must be 0 ({zero}) or more")
        if clash := set(self.required) & set(self.banned):
            raise UserError(f"required: {sorted(clash)[0]} is banned too")


def constrain(
    logits: np.ndarray, history: np.ndarray, constraints: Constraints, end: int | None, steps_left: int
) -> np.ndarray:
    """A copy of `logits` (N, V) with what may not come next at -inf; never a row without a candidate.

    `history` (N, t) are the tokens so far, prompt left out; `end` is the end token's id, if there is one;
    `steps_left` counts this step. NaN or +inf logits raise UserError: the model is broken, not the request.
    """
    if not (logits < np.inf).all():
        raise UserError(
            "the model computed NaN or infinity; its weights are damaged or its training diverged"
        )
    logits = logits.astype(np.float32, copy=True)
    length = history.shape[1]
    rows = np.arange(len(logits))[:, None]
    if constraints.banned:
        logits[:, list(constraints.banned)] = -np.inf
    if constraints.repetition_penalty != 1 and length:
        recent = history[:, -constraints.repetition_window :]
        seen = logits[rows, recent]
        penalty = np.float32(constraints.repetition_penalty)
        logits[rows, recent] = np.where(seen > 0, seen / penalty, seen * penalty)
    allowed = logits.copy()
    size = constraints.no_repeat_ngram
    if size and length >= size:
        windows = sliding_window_view(history, size, axis=1)  # (N, t - n + 1, n)
        repeated = (windows[:, :, :-1] == history[:, None, length - size + 1 :]).all(axis=2)
        row, start = np.nonzero(repeated)
        logits[row, windows[row, start, -1]] = -np.inf
    if end is not None:
        if length < constraints.min_length:
            logits[:, end] = -np.inf
        elif length and constraints.not_final:
            logits[np.isin(history[:, -1], constraints.not_final), end] = -np.inf
    if constraints.required:
        _require(logits, history, constraints.required, end, steps_left)
    stuck = ~np.isfinite(logits).any(axis=1)
    logits[stuck] = allowed[stuck]
    if not np.isfinite(logits).any(axis=1).all():
        raise UserError("banned: no token is left to choose from")
    return logits


def _require(
    logits: np.ndarray, history: np.ndarray, required: Sequence[int], end: int | None, left: int
) -> None:
    ids = np.array(sorted(set(required)))
    missing = ~(history[:, :, None] == ids).any(axis=1)  # (N, R)
    if end is not None:
        logits[missing.any(axis=1), end] = -np.inf
    for row in np.nonzero(missing.sum(axis=1) >= left - (end is not None))[0]:
        wanted = ids[missing[row]]
        if len(wanted):
            kept = logits[row, wanted]
            logits[row] = -np.inf
            # A required id that another rule forbids is let through: it was asked for by name.
            logits[row, wanted] = np.where(np.isfinite(kept), kept, 0.0)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, V) of `logits` (N, V)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def sample(logits: np.ndarray, uniforms: np.ndarray | None, config: SamplingConfig) -> np.ndarray:
    """Next ids (N,) from `logits` (N, V); -inf is never chosen.

    `uniforms` (N,) in [0, 1) decide, one a row, so a row does not depend on its neighbours; greedy needs none.
    """
    if config.greedy:
        return logits.argmax(axis=1)
    best = logits.max(axis=1, keepdims=True).astype(np.float64)
    with np.errstate(over="ignore"):
        weights = np.exp((logits - best) / config.temperature)  # the best is 1: finite at any temperature
    order = None
    if 0 < config.top_k < logits.shape[1] or config.top_p < 1:
        order = np.argsort(-logits, axis=1, kind="stable")  # at a huge temperature all weights tie
        weights = np.take_along_axis(weights, order, axis=1)
        if config.top_k:
            weights[:, config.top_k :] = 0
        before = np.cumsum(weights, axis=1) - weights
        weights[before >= config.top_p * weights.sum(axis=1, keepdims=True)] = 0
        # top_p 0 would drop the first too.
        weights[:, 0] = 1
    weights[weights < config.min_p] = 0
    cumulative = np.cumsum(weights, axis=1)
    chosen = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    return chosen if order is None else order[np.arange(len(order)), chosen]


def uniform_rows(seed: int | None, keys: Sequence[int]) -> Iterator[np.ndarray]:
    """Endless (N,) uniforms: row n is the sequence of `(seed, keys[n])`, whatever the other rows are."""
    seed = np.random.SeedSequence().entropy if seed is None else seed
    if seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
    rows = [np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, key)))) for key in keys]
    while True:
        block = np.stack([row.random(_BLOCK) for row in rows])
        yield from block.T
