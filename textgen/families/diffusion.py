"""Absorbing discrete diffusion of lines (Austin et al. 2021; masked: Sahoo et al. 2024): words are hidden one after the
other until none is left, and a network that reads in both directions learns to tell them from the rest.

A line has a fixed number of places; its end and what is behind it are tokens like any other. Numpy only; letters of the
shapes: N lines, T places, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from textgen.decoding.constraints import Constraints
from textgen.decoding.generate import Column
from textgen.decoding.likelihood import BOUND
from textgen.decoding.sampling import GREEDY, SamplingConfig, sample
from textgen.errors import UserError
from textgen.families.energy import ended
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

Denoise = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids (N, T), `MASK` where hidden, to logits (M, V) of what stands at the M places that are wanted (N, T), row by row."""
MASK = BOS  # which a line never holds: no token of its own is needed
_DRAWS = 64  # of what is hidden, for a line's bound
_FEW = 16  # the same, to compare lines
_WIDEST = 4  # words of a gap
_ROWS = 256  # lines read side by side


def filled(lines: Sequence[Sequence[int]], places: int) -> np.ndarray:
    """Lines with their end tokens as (N, T): PAD behind the end; one that is longer is cut, and has no end."""
    ids = np.full((len(lines), places), PAD)
    for row, line in enumerate(lines):
        ids[row, : min(len(line), places)] = line[:places]
    return ids


def line_of(ids: Sequence[int]) -> tuple[int, ...]:
    """A line of its places: what stands before its end."""
    return tuple(token for token in ended(ids) if token != EOS)


def hidden(
    ids: np.ndarray, counts: np.ndarray, draws: np.ndarray, free: np.ndarray | None = None
) -> np.ndarray:
    """Ids (N, T) of which `counts` (N,) places are hidden: those of the smallest `draws` (N, T), from 0 to 1, of all or of
    those that are `free` (N, T)."""
    ranks = (draws if free is None else np.where(free, draws, 2)).argsort(axis=1).argsort(axis=1)
    return np.where(ranks < counts[:, None], MASK, ids)


def spread(rows: int, places: int, rng: np.random.Generator) -> np.ndarray:
    """How many of so many places to hide in each row, (N,): drawn from 1 to all, evenly spread over the rows (Kingma et al.
    2021), which leaves less to chance."""
    shares = (rng.random() + np.arange(rows) / rows) % 1
    return 1 + (places * rng.permutation(shares)).astype(int)


def bound(
    denoise: Denoise,
    ids: np.ndarray,
    draws: int,
    seed: int,
    given: np.ndarray | None = None,
    alike: bool = False,
) -> np.ndarray:
    """An upper bound (N,) on the nats of lines `ids` (N, T), by a mean over `draws` of what is hidden.

    In continuous time it is the mean nats of telling the places one by one, over all orders (Sahoo et al. 2024): of k
    hidden places, k spread evenly over 1 to T, their nats times T / k. With `given` (N, T), which holds `MASK` elsewhere,
    of what is not given. With `alike` the same is hidden in every line: what comes of one depends on it alone, and lines are
    told apart with less noise; without, the noise of many lines levels out.
    """
    rng = np.random.default_rng(seed)
    free = np.ones(ids.shape, bool) if given is None else given == MASK
    places = free.sum(axis=1)
    total = np.zeros(len(ids))
    for draw in range(draws):
        shape = (1, ids.shape[1]) if alike else ids.shape
        count = 1 + (places * (draw + rng.random(shape[0])) / draws).astype(int)
        seen = hidden(ids, count, rng.random(shape), free)
        wanted = (seen == MASK) & free
        log_probs = log_softmax(denoise(seen, wanted))
        nats = np.zeros(ids.shape)
        nats[wanted] = -log_probs[np.arange(len(log_probs)), ids[wanted]]
        total += nats.sum(axis=1) * places / count
    return total / draws


def reveal(
    denoise: Denoise,
    ids: np.ndarray,
    steps: int,
    sampling: SamplingConfig,
    rngs: Sequence[np.random.Generator],
    banned: Sequence[int] = (UNK,),
    least: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Lines `ids` (N, T) as what is hidden comes back, in so many steps; what is known stays as it is.

    Each step draws which hidden places are told, so that all are at the end, and what stands there; row n draws from
    `rngs[n]` alone. Within the first `least` (N,) places no line ends. Yields (N, T), the last without `MASK`.
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
            logits = denoise(ids, told)
            logits[:, [MASK, *banned]] = -np.inf
            if least is not None:
                early = np.flatnonzero(places < least[rows])
                logits[early[:, None], [EOS, PAD]] = -np.inf
            ids[rows, places] = sample(logits, draws[rows, 1, places], sampling)
        yield ids.copy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities (M, V) of logits; `MASK` has none."""
    logits = logits.astype(np.float64)
    logits[..., MASK] = -math.inf
    top = logits.max(axis=-1, keepdims=True)
    found: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))
    return found


class DiffusionWriter:
    """Lines by diffusion: all places are hidden at first, but for those that are given."""

    likelihood = BOUND
    reads_prompts = True

    def __init__(self, denoise: Denoise, places: int, steps: int = 0, draws: int = _DRAWS):
        """`steps`: in which all is told; as many as places unless told. `draws`: for a line's bound."""
        self.denoise, self.places, self.draws = denoise, places, draws
        self.steps = steps or places

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        sampling: SamplingConfig,
        constraints: Constraints,
        end: int | None,
        max_length: int,
        seed: int | None,
        keys: Sequence[int],
    ) -> Iterator[Column]:
        """As `Writer.write`; all columns come at once, when the last place is told. The log-probability of a line is minus
        the bound of what was not given, all of it in its first column."""
        if constraints.repetition_penalty != 1:
            raise UserError(
                "repetition_penalty: this model does not write from left to right, and has none; leave it at 1"
            )
        if long := [len(prompt) for prompt in prompts if len(prompt) > self.places]:
            raise UserError(
                f"prompt: {long[0] - 1:,} tokens are too many; this model's lines have {self.places - 1} at most"
            )
        given = np.full((len(prompts), self.places), MASK)
        for row, prompt in enumerate(prompts):
            given[row, : len(prompt) - 1] = prompt[1:]
        least = np.array([len(prompt) - 1 + constraints.min_length for prompt in prompts])
        *_, ids = self.stages(given, sampling, self._rngs(seed, keys), least)
        log_probs = -bound(self.denoise, ids, _FEW, seed=0, given=given, alike=True)
        rows = [ended(row[len(prompt) - 1 :]) for row, prompt in zip(ids.tolist(), prompts, strict=True)]
        rows = [row[:max_length] for row in rows]
        for column in range(max(1, *map(len, rows))):
            told = np.array([row[column] if column < len(row) else PAD for row in rows])
            yield Column(told, log_probs if column == 0 else np.zeros(len(rows)))

    def stages(
        self,
        given: np.ndarray,
        sampling: SamplingConfig,
        rngs: Sequence[np.random.Generator],
        least: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Lines (N, T) as they appear from `given` (N, T), which holds `MASK` where nothing is given; as `reveal`."""
        return reveal(self.denoise, given, self.steps, sampling, rngs, least=least)

    @staticmethod
    def _rngs(seed: int | None, keys: Sequence[int]) -> list[np.random.Generator]:
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        return [np.random.default_rng((seed, key)) for key in keys]

    def filled_in(
        self, parts: Sequence[Sequence[int] | None], sampling: SamplingConfig, seed: int, keys: Sequence[int]
    ) -> list[tuple[int, ...]]:
        """A line, ids without its end, for each of `keys`: `parts` are what is given, None where there is a gap.

        A gap has one to `_WIDEST` words: how many is decided by the bound, a place, of greedy fillings of each width.
        """
        widths = self._widths(parts, sampling)
        given = self._given(parts, widths)[None].repeat(len(keys), axis=0)
        *_, ids = self._filled(given, sampling, self._rngs(seed, keys))
        return [line_of(row) for row in ids.tolist()]

    def _widths(self, parts: Sequence[Sequence[int] | None], sampling: SamplingConfig) -> tuple[int, ...]:
        gaps = sum(part is None for part in parts)
        known = sum(len(part) for part in parts if part is not None)
        options = [
            widths
            for widths in itertools.product(range(1, _WIDEST + 1), repeat=min(gaps, 3))
            if known + sum(widths) + max(0, gaps - 3) < self.places
        ]
        if not options:
            raise UserError(
                f"infill: {known} words and {gaps} gaps are too many; this model's lines have "
                f"{self.places - 1} words at most"
            )
        options = [(*widths, *[1] * (gaps - len(widths))) for widths in options]
        given = np.stack([self._given(parts, widths) for widths in options])
        rngs = [np.random.default_rng((0, row)) for row in range(len(given))]
        *_, ids = self._filled(given, GREEDY, rngs)
        lengths = np.array([len(line_of(row)) + 1 for row in ids.tolist()])
        return options[int(np.argmin(bound(self.denoise, ids, _FEW, seed=0, alike=True) / lengths))]

    def _filled(
        self, given: np.ndarray, sampling: SamplingConfig, rngs: Sequence[np.random.Generator]
    ) -> Iterator[np.ndarray]:
        """As `stages` of lines whose ends are given: no gap holds another."""
        return self.stages(given, sampling, rngs, np.full(len(given), self.places))

    def _given(self, parts: Sequence[Sequence[int] | None], widths: Sequence[int]) -> np.ndarray:
        """Ids (T,) of a line with gaps of these widths, ended."""
        left = iter(widths)
        line = [token for part in parts for token in ([MASK] * next(left) if part is None else part)]
        found: np.ndarray = filled([[*line, EOS]], self.places)[0]
        return found

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """An upper bound (lines,). Raises UserError for a line that is longer than the model's."""
        if long := [len(line) for line in lines if len(line) > self.places]:
            raise UserError(
                f"a line of {long[0] - 1:,} tokens is too long; this model's lines have {self.places - 1} at most"
            )
        ids = filled(lines, self.places)
        parts = [
            bound(self.denoise, ids[start : start + _ROWS], self.draws, seed=start)
            for start in range(0, len(ids), _ROWS)
        ]
        return np.concatenate(parts)

    def stream_nats(self, ids: np.ndarray, start: int, streams: int) -> np.ndarray:
        raise UserError("a model of lines has no nats of a stream")
