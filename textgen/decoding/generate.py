"""Generation, written once for text and captions: a stream of columns of ids, one a row and step.

It knows a model only as a `StepModel`. Letters: N rows, B contexts (pictures or prompts), V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import chain
from typing import NamedTuple, Required, TypedDict, Unpack

import numpy as np

from textgen.decoding.constraints import check_fits, constrain
from textgen.decoding.sampling import log_probs_of, sample, uniform_rows
from textgen.decoding.settings import GREEDY, Constraints, SamplingConfig
from textgen.engine.protocol import Choice, State, StepModel, WritingItself
from textgen.text.tokenizer import PAD

_log = logging.getLogger(__name__)
_BLOCK = 64  # columns that an engine writes at a time, at most


@dataclass(frozen=True)
class Generated:
    """One generated text: its ids without the end token, and how it came to stop."""

    ids: tuple[int, ...]
    log_prob: float
    """Sum of the model's own log-probabilities, the end token's included when it was reached."""
    finished: bool
    """False: cut at the length limit."""


class Column(NamedTuple):
    """One step of a stream."""

    ids: np.ndarray  # (N,); PAD in rows that have ended
    log_probs: np.ndarray  # (N,); 0 in rows that have ended


def stream(
    model: StepModel,
    prompts: Sequence[Sequence[int]] | np.ndarray,
    *,
    context: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    sampling: SamplingConfig = GREEDY,
    constraints: Constraints = Constraints(),
    end: int | None,
    max_length: int,
    seed: int | None = None,
    keys: Sequence[int] | None = None,
) -> Iterator[Column]:
    """Reads `prompts`, N rows of one or more ids, on, a column of N ids at a time.

    `context` (B, L, D), with `lengths` (B,) where they differ, is shared evenly by the rows, whose prompts are then of one
    length. Row n draws from `(seed, keys[n])` (n itself unless told),
    so the same key gives the same text in any batch. Stops when every row has produced `end`, or after
    `max_length` columns.
    """
    check_fits(constraints, end, max_length)
    rows = len(prompts)
    active, open_ = np.arange(rows), np.ones(rows, dtype=bool)
    share = 1 if context is None else rows // len(context)
    draws = uniform_rows(seed, range(rows) if keys is None else keys)
    read = _prefill(model, prompts, context, lengths)
    steps = _Steps(model, *read, sampling, constraints, end, max_length, draws)
    for length in range(1, max_length + 1):
        chosen, log_probs = steps.next()
        column = Column(chosen.copy(), log_probs)
        if len(active) < rows or not open_.all():
            found, column = column, Column(np.full(rows, PAD), np.zeros(rows))
            for part, whole in zip(found, column, strict=True):
                whole[active[open_]] = part[open_]
        yield column
        if length == max_length:
            return
        if end is not None and (chosen == end).any():
            open_ = open_ & (chosen != end)
            # Rows of a context stay until the last of them ends: how many they are decides the last bit of each.
            going = open_.reshape(-1, share).any(axis=1).repeat(share).nonzero()[0]
            if not len(going):
                return
            if len(going) < len(active):
                active, open_ = active[going], open_[going]
                steps.keep(going)


class _Steps:
    """A model's tokens, a column at a time: blocks of them by the engine itself where it can, else step by step."""

    def __init__(
        self,
        model: StepModel,
        logits: np.ndarray,
        state: State,
        sampling: SamplingConfig,
        constraints: Constraints,
        end: int | None,
        max_length: int,
        draws: Iterator[np.ndarray],
    ):
        """`logits` (N, V) and `state` are those after the prompts, `draws` the uniforms of all N rows, a column each."""
        self._model, self._logits, self._state = model, logits, state
        self._sampling, self._constraints, self._end = sampling, constraints, end
        self._draws = draws
        self._rows = np.arange(len(logits))
        """Which of all rows go on."""
        self._history = np.empty((len(logits), max_length), dtype=np.int64)
        self._length = 0
        # The first column is always a step, so that one token before the end is no rule for the others.
        others = replace(
            constraints, banned=(), repetition_window=0, min_length=max(0, constraints.min_length - 1)
        )
        self._writer = model if others == Constraints() and isinstance(model, WritingItself) else None
        if self._writer is None:
            _log.debug("text is stepped: rules that no graph keeps, or an engine without a loop")
        self._block: list[tuple[np.ndarray, np.ndarray]] = []
        """What was written ahead, the next column last; the state is the one after it."""

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """The next column of ids and their log-probabilities, of the rows that go on."""
        if self._length and not self._block and self._writer:
            self._write(self._writer)
        chosen, log_probs = self._block.pop() if self._block else self._step()
        self._history[:, self._length] = chosen
        self._length += 1
        return chosen, log_probs

    def keep(self, going: np.ndarray) -> None:
        """Only the rows `going` (M,) of those so far go on."""
        self._rows, self._history = self._rows[going], self._history[going]
        self._block = [(ids[going], log_probs[going]) for ids, log_probs in self._block]
        self._state = self._model.select(self._state, going)

    def _step(self) -> tuple[np.ndarray, np.ndarray]:
        length = self._length
        if length:
            self._logits, self._state = self._model.step(self._history[:, length - 1], self._state)
        steps_left = self._history.shape[1] - length
        allowed = constrain(self._logits, self._history[:, :length], self._constraints, self._end, steps_left)
        chosen = sample(allowed, next(self._draws)[self._rows], self._sampling)
        return chosen, log_probs_of(self._logits, chosen)

    def _write(self, writer: WritingItself) -> None:
        """Fills the block, by the engine itself; nothing where it cannot."""
        # Short at first: somebody may wait for the first words, or want no more of them.
        count = min(self._history.shape[1] - self._length, _BLOCK, 8 * self._length)
        drawn = [next(self._draws) for _ in range(count)]
        choice = Choice(self._constraints.banned, *astuple(self._sampling))
        last, uniforms = self._history[:, self._length - 1], np.stack(drawn)[:, self._rows]
        written = writer.write(last, self._state, uniforms, choice, self._end)
        if written is None:
            _log.debug("text is stepped: no graph that writes, or a step went wrong")
            self._writer, self._draws = None, chain(drawn, self._draws)
            return
        self._state = written.state
        self._block = list(zip(written.ids, written.log_probs, strict=True))[::-1]


def _prefill(
    model: StepModel,
    prompts: Sequence[Sequence[int]] | np.ndarray,
    context: np.ndarray | None,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, State]:
    """Logits and state after the prompts; those of one length are read in one call."""
    sizes = np.array([len(prompt) for prompt in prompts])
    if context is not None or (sizes == sizes[0]).all():
        return model.prefill(np.asarray(prompts), model.start(context, len(prompts), lengths))
    order = np.argsort(sizes, kind="stable")
    read = []
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        read.append(
            model.prefill(np.array([prompts[row] for row in rows.tolist()]), model.start(None, len(rows)))
        )
    back = np.argsort(order)
    return np.concatenate([logits for logits, _ in read])[back], model.select(
        model.join([state for _, state in read]), back
    )


class Options(TypedDict, total=False):
    """What `stream` takes by name."""

    context: np.ndarray | None
    lengths: np.ndarray | None
    sampling: SamplingConfig
    constraints: Constraints
    end: Required[int | None]
    max_length: Required[int]
    seed: int | None
    keys: Sequence[int] | None


def generate(
    model: StepModel, prompts: Sequence[Sequence[int]] | np.ndarray, **options: Unpack[Options]
) -> list[Generated]:
    """The whole of `stream`, a sequence a row; takes the same options."""
    columns = list(stream(model, prompts, **options))
    ids = np.stack([column.ids for column in columns], axis=1)
    log_probs = np.stack([column.log_probs for column in columns], axis=1).sum(axis=1)
    return [
        _sequence(row, log_prob, options["end"])
        for row, log_prob in zip(ids.tolist(), log_probs, strict=True)
    ]


def _sequence(ids: list[int], log_prob: float, end: int | None) -> Generated:
    if end is None or end not in ids:
        return Generated(tuple(ids), float(log_prob), False)
    return Generated(tuple(ids[: ids.index(end)]), float(log_prob), True)
