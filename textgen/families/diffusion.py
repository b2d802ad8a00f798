"""Absorbing discrete diffusion of lines (Austin et al. 2021; masked: Sahoo et al. 2024): words are hidden one after the
other until none is left, and a network that reads in both directions learns to tell them from the rest.

A line has a fixed number of places; its end and what is behind it are tokens like any other. Numpy only; letters of the
shapes: N lines, T places, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from textgen.decoding.sampling import SamplingConfig, sample
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

Denoise = Callable[[np.ndarray], np.ndarray]
"""Ids (N, T), `MASK` where hidden, to logits (N, T, V) of what stands there."""
MASK = BOS  # which a line never holds: no token of its own is needed


def filled(lines: Sequence[Sequence[int]], places: int) -> np.ndarray:
    """Lines with their end tokens as (N, T): PAD behind the end; one that is longer is cut, and has no end."""
    ids = np.full((len(lines), places), PAD)
    for row, line in enumerate(lines):
        ids[row, : min(len(line), places)] = line[:places]
    return ids


def line_of(ids: Sequence[int]) -> tuple[int, ...]:
    """A line of its places: what stands before its end."""
    found = list(ids)
    return tuple(found[: found.index(EOS)] if EOS in found else [token for token in found if token != PAD])


def hidden(ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N, T) with a share of each line hidden, and the shares (N,).

    A share is drawn for each line, evenly spread over a batch (Kingma et al. 2021): that leaves less to chance.
    """
    rows = len(ids)
    shares = (rng.random() + np.arange(rows) / rows) % 1
    shares = np.clip(rng.permutation(shares), 1e-3, 1)
    return np.where(rng.random(ids.shape) < shares[:, None], MASK, ids), shares


def bound(denoise: Denoise, ids: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """An upper bound (N,) on the nats of lines `ids` (N, T), by a mean over `draws` of what is hidden.

    In continuous time it is the mean nats of telling the places one by one, over all orders (Sahoo et al. 2024): of k
    hidden places, k spread evenly over 1 to T, their nats times T / k.
    """
    rng = np.random.default_rng(seed)
    places = ids.shape[1]
    total = np.zeros(len(ids))
    for draw in range(draws):
        count = 1 + (places * (draw + rng.random(len(ids))) / draws).astype(int)
        ranks = rng.random(ids.shape).argsort(axis=1).argsort(axis=1)
        seen = np.where(ranks < count[:, None], MASK, ids)
        nats = -np.take_along_axis(log_softmax(denoise(seen)), ids[..., None], axis=-1)[..., 0]
        total += np.where(seen == MASK, nats, 0).sum(axis=1) * places / count
    return total / draws


def reveal(
    denoise: Denoise,
    ids: np.ndarray,
    steps: int,
    sampling: SamplingConfig,
    rngs: Sequence[np.random.Generator],
    banned: Sequence[int] = (UNK,),
) -> Iterator[np.ndarray]:
    """Lines `ids` (N, T) as what is hidden comes back, in so many steps; what is known stays as it is.

    Each step draws which hidden places are told, so that all are at the end, and what stands there; row n draws from
    `rngs[n]` alone. Yields (N, T), the last without `MASK`.
    """
    if steps < 1:
        raise UserError(f"steps: {steps} must be 1 or more")
    ids = ids.copy()
    for step in range(steps):
        still = ids == MASK
        if not still.any():
            break
        # Of those hidden at a time t, (t - s) / t are told on the way to s.
        chance = 1.0 if step + 1 == steps else 1 / (steps - step)
        draws = np.stack([rng.random((2, ids.shape[1])) for rng in rngs])  # (N, 2, T)
        told = still & (draws[:, 0] < chance)
        rows, places = np.nonzero(told)
        if len(rows):
            logits = denoise(ids)[rows, places]
            logits[:, [MASK, *banned]] = -np.inf
            ids[rows, places] = sample(logits, draws[rows, 1, places], sampling)
        yield ids.copy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities along the last axis; `MASK` has none."""
    logits = logits.astype(np.float64)
    logits[..., MASK] = -math.inf
    top = logits.max(axis=-1, keepdims=True)
    found: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    return found
