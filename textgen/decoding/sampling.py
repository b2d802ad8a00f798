"""Logits to next ids: what may come next, and which of it is chosen. Numpy only; randomness is an argument."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from textgen.errors import UserError

_BLOCK = 64  # uniforms drawn a row at a time
_PART = 128  # weights added up at a time


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
        for name in ("banned", "required", "not_final"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
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
    never, not_final = _by_token(constraints, logits.shape[1])
    with np.errstate(invalid="ignore"):
        allowed = logits + never
    best = allowed.max(axis=1)
    if not np.isfinite(best).all():
        if not (best < np.inf).all():
            raise UserError(
                "the model computed NaN or infinity; its weights are damaged or its training diverged"
            )
        raise UserError("banned: no token is left to choose from")
    length = history.shape[1]
    if constraints.repetition_penalty != 1 and length:
        rows, recent = np.arange(len(history))[:, None], history[:, -constraints.repetition_window :]
        seen = allowed[rows, recent]
        penalty = np.float32(constraints.repetition_penalty)
        allowed[rows, recent] = np.where(seen > 0, seen / penalty, seen * penalty)

    forbidden = []
    if 0 < constraints.no_repeat_ngram <= length:
        forbidden.append(_repeating(history, constraints.no_repeat_ngram))
    required = sorted(set(constraints.required))
    missing = _missing(history, required) if required else None
    if end is not None:
        early = np.full(len(history), length < constraints.min_length)
        if length and constraints.not_final:
            early |= not_final[history[:, -1]]
        if missing is not None:
            early |= missing.any(axis=1)
        rows = early.nonzero()[0]
        forbidden.append((rows, np.full(len(rows), end)))
    forbidden = [(rows, ids) for rows, ids in forbidden if len(rows)]
    before = [allowed[place] for place in forbidden]
    for place in forbidden:
        allowed[place] = -np.inf
    if missing is not None:
        _press(allowed, missing, required, steps_left - (end is not None))
    if forbidden and (stuck := allowed.max(axis=1) == -np.inf).any():
        for (rows, ids), values in zip(forbidden, before, strict=True):
            allowed[rows[stuck[rows]], ids[stuck[rows]]] = values[stuck[rows]]
    return allowed


@lru_cache(maxsize=64)
def _by_token(constraints: Constraints, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the logits (V,), and which tokens may not be the last ones (V,)."""
    never, not_final = np.zeros(vocab_size, np.float32), np.zeros(vocab_size, bool)
    never[list(constraints.banned)] = -np.inf
    not_final[list(constraints.not_final)] = True
    return never, not_final


def _repeating(history: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and ids that would make an n-gram of this size a second time."""
    count = history.shape[1] - size + 1
    same = np.ones((len(history), count), bool)
    for place in range(size - 1):
        same &= history[:, place : place + count] == history[:, count + place, None]
    rows, starts = np.nonzero(same)
    return rows, history[rows, starts + size - 1]


def _missing(history: np.ndarray, required: Sequence[int]) -> np.ndarray:
    """Which of the R required ids each row has not had: (N, R)."""
    return ~(history[:, :, None] == np.array(required)).any(axis=1)


def _press(logits: np.ndarray, missing: np.ndarray, required: Sequence[int], left: int) -> None:
    """Leaves nothing but required ids to rows that are missing as many as there are steps left."""
    ids = np.array(required, dtype=np.int64)
    for row in np.flatnonzero(missing.any(axis=1) & (missing.sum(axis=1) >= left)):
        wanted = ids[missing[row]]
        kept = logits[row, wanted]
        logits[row] = -np.inf
        # A required id that another rule forbids is let through: it was asked for by name.
        logits[row, wanted] = np.where(np.isfinite(kept), kept, 0.0)


def normalizer(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What to take from `logits` (N, V) for log-probabilities: first the largest (N, 1), then the rest (N, 1)."""
    best = logits.max(axis=-1, keepdims=True)
    return best, np.log(np.exp(logits - best).sum(axis=-1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, V) of `logits` (N, V)."""
    best, rest = normalizer(logits)
    return logits - best - rest


def log_probs_of(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities (N,) of `ids` (N,), one a row of `logits` (N, V)."""
    best, rest = normalizer(logits)
    return (logits[np.arange(len(ids)), ids] - best[:, 0] - rest[:, 0]).astype(np.float64)


def sample(logits: np.ndarray, uniforms: np.ndarray | None, config: SamplingConfig) -> np.ndarray:
    """Next ids (N,) from `logits` (N, V); -inf is never chosen.

    `uniforms` (N,) in [0, 1) decide, one a row, so a row does not depend on its neighbours; greedy needs none.
    """
    if config.greedy:
        return logits.argmax(axis=1)
    # The best weighs 1 at any temperature; beyond these it makes no difference, but for overflow.
    temperature = np.float32(min(max(config.temperature, 1e-20), 1e30))
    with np.errstate(over="ignore"):
        weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    order = None
    if 0 < config.top_k < logits.shape[1] or config.top_p < 1:
        order = np.argsort(-logits, axis=1, kind="stable")  # at a huge temperature all weights tie
        weights = np.take_along_axis(weights, order, axis=1).astype(np.float64)
        if config.top_k:
            weights[:, config.top_k :] = 0
        before = np.cumsum(weights, axis=1) - weights
        weights[before >= config.top_p * weights.sum(axis=1, keepdims=True)] = 0
        # top_p 0 would drop the first too.
        weights[:, 0] = 1
    if config.min_p:
        weights[weights < config.min_p] = 0
    chosen = np.array([_drawn(*row)[0] for row in zip(weights, uniforms, strict=True)])
    return chosen if order is None else order[np.arange(len(order)), chosen]


def _drawn(weights: np.ndarray, uniform: float) -> tuple[int, float]:
    """Which of `weights` (V,) holds this share of their sum, and how far into it, from 0 to 1."""
    if len(weights) > 4 * _PART:  # running sums of all are slow
        part, uniform = _drawn(np.add.reduceat(weights, np.arange(0, len(weights), _PART)), uniform)
        place, share = _drawn(weights[part * _PART : (part + 1) * _PART], uniform)
        return part * _PART + place, share
    running = weights.cumsum(dtype=np.float64)
    reached = uniform * running[-1]
    place = int(running.searchsorted(reached, "right"))
    # Rounding may make it the whole, which would be the next one's beginning.
    return place, min(1 - 1e-12, max(0.0, 1 - (running[place] - reached) / weights[place]))


def uniform_rows(seed: int | None, keys: Sequence[int]) -> Iterator[np.ndarray]:
    """Endless (N,) uniforms: row n is the sequence of `(seed, keys[n])`, whatever the other rows are."""
    seed = np.random.SeedSequence().entropy if seed is None else seed
    if seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
    rows = [np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, key)))) for key in keys]
    while True:
        block = np.stack([row.random(_BLOCK) for row in rows])
        yield from block.T
