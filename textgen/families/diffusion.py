"""Absorbing discrete diffusion of lines (Austin et al. 2021; masked: Sahoo et al. 2024): words are hidden one after the
other until none is left, and a network that reads in both directions learns to tell them from the rest.

A line has a fixed number of places; its end and what is behind it are tokens like any other. Numpy only; letters of the
shapes: N lines, T places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from textgen.decoding.sampling import log_softmax, normalizer, sample
from textgen.decoding.settings import SamplingConfig
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

Denoise = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids (N, T), `MASK` where hidden, to logits (M, V) of what stands at the M places that are wanted (N, T), row by row."""
MASK = BOS  # which a line never holds: no token of its own is needed


def filled(lines: Sequence[Sequence[int]], places: int) -> np.ndarray:
    """Lines with their end tokens as (N, T): PAD behind the end; one that is longer is cut, and has no end."""
    ids = np.full((len(lines), places), PAD)
    for row, line in enumerate(lines):
        ids[row, : min(len(line), places)] = line[:places]
    return ids


def line_of(ids: Sequence[int]) -> tuple[int, ...]:
    """A line of its places: what stands before its end, or before what only stands behind an end."""
    ends = [place for place, token in enumerate(ids) if token in (EOS, PAD)]
    return tuple(ids[: ends[0]] if ends else ids)


def hidden(ids: np.ndarray, counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Ids (N, T) of which `counts` (N,) places are hidden: those of the smallest `draws` (N, T)."""
    ranks = draws.argsort(axis=1).argsort(axis=1)
    return np.where(ranks < counts[:, None], MASK, ids)


def spread(rows: int, places: int, rng: np.random.Generator) -> np.ndarray:
    """How many of so many places to hide in each row, (N,): drawn from 1 to all, evenly spread over the rows (Kingma et al.
    2021), which leaves less to chance."""
    shares = (rng.random() + np.arange(rows) / rows) % 1
    return 1 + (places * rng.permutation(shares)).astype(int)


def bound(denoise: Denoise, ids: np.ndarray, draws: int, alike: bool = False) -> np.ndarray:
    """An upper bound (N,) on the nats of lines `ids` (N, T), by a mean over `draws` of what is hidden.

    In continuous time it is the mean nats of telling the places one by one, over all orders (Sahoo et al. 2024): of k
    hidden places, k spread evenly over 1 to T, their nats times T / k. What is hidden follows from the line, and depends on no
    other; with `alike` it is the same in every line, which tells lines apart with less noise.
    """
    places = ids.shape[1]
    rngs = [np.random.default_rng(0 if alike else row) for row in ids.tolist()]
    uniforms = np.stack([rng.random((draws, places + 1)) for rng in rngs])  # (N, draws, T + 1)
    total = np.zeros(len(ids))
    for draw in range(draws):
        counts = 1 + (places * (draw + uniforms[:, draw, 0]) / draws).astype(int)
        wanted = hidden(ids, counts, uniforms[:, draw, 1:]) == MASK
        log_probs = _log_probs(denoise(np.where(wanted, MASK, ids), wanted))
        nats = np.zeros(ids.shape)
        nats[wanted] = -log_probs[np.arange(len(log_probs)), ids[wanted]]
        total += nats.sum(axis=1) * places / counts
    return total / draws


class Stage(NamedTuple):
    """Lines as far as they have been told."""

    ids: np.ndarray  # (N, T), `MASK` where hidden
    log_probs: (
        np.ndarray
    )  # (N, T): of each token when it was told, given what was; 0 of what was given or is hidden


def reveal(
    denoise: Denoise,
    ids: np.ndarray,
    steps: int,
    sampling: SamplingConfig,
    rngs: Sequence[np.random.Generator],
    banned: Sequence[int] = (UNK,),
    least: np.ndarray | None = None,
    ending: bool = False,
) -> Iterator[Stage]:
    """Lines `ids` (N, T) as what is hidden comes back, in so many steps; what is known stays as it is.

    Each step draws which hidden places are told, so that all are at the end, and what stands there; row n draws from
    `rngs[n]` alone. Greedy, nothing is drawn: the places of which the network is surest come first. Within the first
    `least` (N,) places no line ends. With `ending` nothing is asked of what stands behind an end that was told: every line
    that was learnt from has PAD there, and asking takes a third of the time.
    """
    if steps < 1:
        raise UserError(f"steps: {steps} must be 1 or more")
    ids, total = ids.copy(), np.zeros(ids.shape)
    for step in range(steps):
        still = ids == MASK
        if not still.any():
            break
        left = steps - step
        draws = np.stack([rng.random((2, ids.shape[1])) for rng in rngs])  # (N, 2, T)
        # Of those hidden at a time t, (t - s) / t are told on the way to s.
        told = still if sampling.greedy or left == 1 else still & (draws[:, 0] < 1 / left)
        rows, places = np.nonzero(told)
        if len(rows):
            asked = told.any(axis=1)  # of the others nothing is told in this step
            logits = denoise(ids[asked], told[asked])
            log_probs = _log_probs(logits)
            logits[:, [MASK, *banned]] = -np.inf
            if least is not None:
                early = np.flatnonzero(places < least[rows])
                logits[early[:, None], [EOS, PAD]] = -np.inf
            if sampling.greedy and left > 1:
                kept = _surest(rows, places, logits.max(axis=1) - _totals(logits), still, left)
                rows, places, logits, log_probs = rows[kept], places[kept], logits[kept], log_probs[kept]
            chosen = sample(logits, draws[rows, 1, places], sampling)
            ids[rows, places] = chosen
            total[rows, places] = log_probs[np.arange(len(chosen)), chosen]
            if ending:
                ids[(ids == MASK) & (np.cumsum(ids == EOS, axis=1) > 0)] = PAD
        yield Stage(ids.copy(), total.copy())


def _surest(
    rows: np.ndarray, places: np.ndarray, sure: np.ndarray, still: np.ndarray, left: int
) -> np.ndarray:
    """Which of M places (M,), in `rows` (M,), are told in this of `left` steps: each row's surest share."""
    table = np.full(still.shape, -np.inf)
    table[rows, places] = sure
    ranks = (-table).argsort(axis=1, kind="stable").argsort(axis=1)
    share = -(-still.sum(axis=1) // left)
    kept: np.ndarray = ranks[rows, places] < share[rows]
    return kept


def _log_probs(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities (M, V) of logits; `MASK` has none."""
    logits = logits.astype(np.float64)
    logits[:, MASK] = -np.inf
    return log_softmax(logits)


def _totals(logits: np.ndarray) -> np.ndarray:
    top, rest = normalizer(logits)
    found: np.ndarray = (top + rest)[:, 0]
    return found
