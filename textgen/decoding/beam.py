"""Beam search: the likeliest sequences instead of drawn ones. B prompts or contexts, W beams, V vocabulary."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from textgen.decoding.constraints import check_fits, constrain
from textgen.decoding.generate import Generated
from textgen.decoding.sampling import normalizer
from textgen.decoding.settings import Constraints
from textgen.engine.protocol import Continuations, Rules, Searching, State, StepModel
from textgen.errors import UserError

_GROUPS = 64
_log = logging.getLogger(__name__)


def beam_search(
    model: StepModel,
    prompts: np.ndarray,
    *,
    context: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    beam_size: int,
    n_best: int = 1,
    constraints: Constraints = Constraints(),
    end: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> list[list[Generated]]:
    """The `n_best` sequences of each of `prompts` (B, T >= 1), best first.

    `context` (B, L, D), where there is one, with `lengths` (B,) where they differ.

    A sequence's score is its log-probability over its length, the end token counted, to the power
    `length_penalty` (Wu et al. 2016; 0 compares sums). An end among the W best continuations finishes a
    beam; a prompt is done when W have finished, so one beam is greedy decoding. Where fewer than `n_best`
    finish within `max_length`, the best unfinished ones follow, marked as such.
    """
    check_fits(constraints, end, max_length)
    if beam_size < 1:
        raise UserError(f"beam: {beam_size} must be 1 or more")
    if constraints.repetition_penalty != 1:
        # Beams compare the model's log-probabilities; penalised ones would no longer be that.
        raise UserError("repetition_penalty: only sampling takes it; beam search has no_repeat_ngram")
    width = max(beam_size, n_best)
    state = model.start(context, len(prompts), lengths)
    search = (model, prompts, state, width, constraints, end, max_length)
    steps = _recorded(*search) or _Stepped(*search)
    every = [_Beams(width, length_penalty) for _ in prompts]
    active = every
    for _ in range(max_length):
        for beams, found in zip(active, steps.found(active), strict=True):
            beams.take(*found, end)
        going = [beams.open for beams in active]
        if not any(going):
            break
        steps.keep(going)
        active = [beams for beams in active if beams.open]
    return [beams.best(n_best) for beams in every]


class _Beams:
    """The beams of one prompt: what goes on, and what has ended."""

    def __init__(self, width: int, length_penalty: float):
        self.width, self._length_penalty = width, length_penalty
        # Before the first token there is one beam; the others start at -inf and are filled by its continuations.
        self.scores = [0.0] + [-math.inf] * (width - 1)
        self.ids: list[tuple[int, ...]] = [()] * width
        self.owners = [0] * width
        """Which beam each was before its last token."""
        self.open = True
        """Whether another token may bring something."""
        self._ended: list[tuple[float, Generated]] = []

    def take(self, beams: Sequence[int], tokens: Sequence[int], totals: Sequence[float], end: int) -> None:
        """The best continuations of all beams, best first: the first W that end have ended, W others go on."""
        going, ending = [], []
        for place, (beam, token, total) in enumerate(zip(beams, tokens, totals, strict=True)):
            if token != end:
                going.append((beam, token, total))
                continue
            ending.append((beam, token, -math.inf))  # pushed out, unless there are no others
            if place < self.width and total > -math.inf:
                ids = self.ids[beam]
                done = Generated(ids, total, True)
                self._ended.append((total / (len(ids) + 1) ** self._length_penalty, done))
        chosen = (going + ending)[: self.width]
        self.ids = [(*self.ids[beam], token) for beam, token, _ in chosen]
        self.owners = [beam for beam, _, _ in chosen]
        self.scores = [total for _, _, total in chosen]
        self.open = len(self._ended) < self.width and max(self.scores) > -math.inf

    def best(self, count: int) -> list[Generated]:
        """The best that ended, then, where they are fewer than `count`, the best that did not."""
        found = [done for _, done in sorted(self._ended, key=lambda item: -item[0])]
        cut = sorted(zip(self.scores, self.ids, strict=True), key=lambda item: -item[0])
        return [*found, *(Generated(ids, score, False) for score, ids in cut if score > -math.inf)][:count]


Found = tuple[Sequence[int], Sequence[int], Sequence[float]]
"""The likeliest continuations of a prompt's beams, best first: beams, tokens and totals."""


class _Steps(Protocol):
    """How a search gets on."""

    def found(self, active: Sequence[_Beams]) -> Iterable[Found]:
        """The continuations of each of the prompts that are active."""

    def keep(self, going: Sequence[bool]) -> None:
        """Which of them go on, with the beams that they have now."""


class _Stepped:
    """One step of the model after the other, chosen from in numpy: what every model can."""

    def __init__(
        self,
        model: StepModel,
        prompts: np.ndarray,
        state: State,
        width: int,
        constraints: Constraints,
        end: int,
        max_length: int,
    ):
        self._model, self._width = model, width
        self._constraints, self._end, self._max_length = constraints, end, max_length
        logits, state = model.prefill(prompts, state)
        self._state = model.select(state, np.repeat(np.arange(len(prompts)), width))
        self._logits = np.repeat(logits, width, axis=0)
        self._rows: np.ndarray | None = None
        """Which of the prompts of the step before go on; None before the first."""

    def found(self, active: Sequence[_Beams]) -> Iterable[Found]:
        if self._rows is not None:
            owners = np.array([beams.owners for beams in active])
            rows = (owners + self._rows[:, None] * self._width).ravel()
            last = np.array([ids[-1] for beams in active for ids in beams.ids])
            self._logits, self._state = self._model.step(last, self._model.select(self._state, rows))
        history = np.array([beams.ids for beams in active], dtype=np.int64)
        history = history.reshape(len(active) * self._width, -1)
        logits, steps_left = self._logits, self._max_length - history.shape[1]
        allowed = constrain(logits, history, self._constraints, self._end, steps_left)
        if self._constraints.required:  # what was pressed in has the model's own probability
            allowed = np.where(allowed > -np.inf, logits, -np.inf)
        scores = np.array([beams.scores for beams in active])
        best = _best_continuations(scores, allowed, normalizer(logits), 2 * self._width)
        return zip(*(array.tolist() for array in best), strict=True)

    def keep(self, going: Sequence[bool]) -> None:
        self._rows = np.flatnonzero(going)


class _Recorded:
    """What an engine found in one call of all steps."""

    def __init__(self, found: Continuations):
        # As lists, once: a look into an array costs as much as a step's choice.
        self._steps = zip(*(array.tolist() for array in found), strict=True)
        self._rows = list(range(found.beams.shape[1]))

    def found(self, active: Sequence[_Beams]) -> Iterable[Found]:
        beams, tokens, totals = next(self._steps)
        return ((beams[row], tokens[row], totals[row]) for row in self._rows)

    def keep(self, going: Sequence[bool]) -> None:
        self._rows = [row for row, goes in zip(self._rows, going, strict=True) if goes]


def _recorded(
    model: StepModel,
    prompts: np.ndarray,
    state: State,
    width: int,
    constraints: Constraints,
    end: int,
    max_length: int,
) -> _Recorded | None:
    """All steps by the engine itself; None where it cannot."""
    if constraints.required or not isinstance(model, Searching):
        _log.debug(
            "beam search is stepped: %s",
            "required tokens" if constraints.required else "this engine has no loop",
        )
        return None
    if prompts.shape[1] > 1:
        _, state = model.prefill(prompts[:, :-1], state)
    rules = Rules(
        constraints.banned, constraints.not_final, constraints.min_length, constraints.no_repeat_ngram
    )
    found = model.search(prompts[:, -1], state, width, rules, end, max_length)
    if found is None:
        _log.debug(
            "beam search is stepped: no graph for it, rules that the graph cannot keep, or a step went wrong"
        )
        return None
    return _Recorded(found)


def _best_continuations(
    scores: np.ndarray, logits: np.ndarray, taken: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `count` best tokens after W beams a context, by `scores` (B, W) and log-probabilities: `logits` (B * W, V)
    less what is `taken` from them, as `normalizer` gives it. Beam, token and total, each (B, count); ties go to the first beam and the lower id.
    """
    (batch, width), size = scores.shape, logits.shape[1]
    best, rest = taken
    count = min(count, width * size)
    # A beam that is not there yet loses to all others, and fills up where there are none.
    offsets = np.maximum(scores.reshape(-1, 1), -1e9) - best - rest
    least = np.full((batch * width, 1), -np.inf)
    if group_size := size // _GROUPS:
        # Full sorts are slow. The best of some groups of tokens tell what the best of all are not below.
        groups = logits[:, : group_size * _GROUPS].reshape(-1, group_size, _GROUPS).max(axis=1) + offsets
        groups = groups.reshape(batch, -1)
        least = np.partition(groups, -count, axis=1)[:, -count].repeat(width)[:, None] - offsets
        least -= 1e-4 * (1 + np.abs(best))  # what rounding may cost
    rows, tokens = np.divmod(np.flatnonzero(logits >= least.astype(np.float32)), size)
    totals = scores.ravel()[rows] + (logits[rows, tokens] - best[rows, 0] - rest[rows, 0])
    contexts = rows // width
    order = np.lexsort((-totals, contexts))  # stable
    first = np.searchsorted(contexts, np.arange(batch))
    order = order[first[:, None] + np.arange(count)]
    return rows[order] % width, tokens[order], totals[order]
