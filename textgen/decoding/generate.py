"""Generation, written once for text and captions: a stream of columns of ids, and beam search.

Both know a model only as a `StepModel`. Letters: N rows, B contexts (pictures or prompts), W beams, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textgen.decoding.sampling import (
    GREEDY,
    Constraints,
    SamplingConfig,
    constrain,
    log_probs_of,
    normalizer,
    sample,
    uniform_rows,
)
from textgen.engine.protocol import State, StepModel
from textgen.errors import UserError
from textgen.text.tokenizer import PAD

_GROUPS = 64


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
    sampling: SamplingConfig = GREEDY,
    constraints: Constraints = Constraints(),
    end: int | None,
    max_length: int,
    seed: int | None = None,
    keys: Sequence[int] | None = None,
) -> Iterator[Column]:
    """Reads `prompts`, N rows of one or more ids, on, a column of N ids at a time.

    `context` (B, L, D) is shared evenly by the rows, whose prompts are then of one length. Row n draws from `(seed, keys[n])` (n itself unless told),
    so the same key gives the same text in any batch. Stops when every row has produced `end`, or after
    `max_length` columns.
    """
    _check(constraints, end, max_length)
    rows = len(prompts)
    active, open_ = np.arange(rows), np.ones(rows, dtype=bool)
    share = 1 if context is None else rows // len(context)
    draws = uniform_rows(seed, range(rows) if keys is None else keys)
    history = np.empty((rows, max_length), dtype=np.int64)
    logits, state = _prefill(model, prompts, context)
    for length in range(max_length):
        steps_left = max_length - length
        allowed = constrain(logits, history[:, :length], constraints, end, steps_left)
        chosen = sample(allowed, next(draws)[active], sampling)
        column = Column(chosen.copy(), log_probs_of(logits, chosen))
        if len(active) < rows or not open_.all():
            found, column = column, Column(np.full(rows, PAD), np.zeros(rows))
            for part, whole in zip(found, column, strict=True):
                whole[active[open_]] = part[open_]
        yield column
        history[:, length] = chosen
        if steps_left == 1:
            return
        if end is not None and (chosen == end).any():
            open_ = open_ & (chosen != end)
            # Rows of a context stay until the last of them ends: how many they are decides the last bit of each.
            going = open_.reshape(-1, share).any(axis=1).repeat(share).nonzero()[0]
            if not len(going):
                return
            if len(going) < len(active):
                active, open_, history, chosen = active[going], open_[going], history[going], chosen[going]
                state = model.select(state, going)
        logits, state = model.step(chosen, state)


def _prefill(
    model: StepModel, prompts: Sequence[Sequence[int]] | np.ndarray, context: np.ndarray | None
) -> tuple[np.ndarray, State]:
    """Logits and state after the prompts; those of one length are read in one call."""
    lengths = np.array([len(prompt) for prompt in prompts])
    if context is not None or (lengths == lengths[0]).all():
        return model.prefill(np.asarray(prompts), model.start(context, len(prompts)))
    order = np.argsort(lengths, kind="stable")
    read = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        read.append(model.prefill(np.array([prompts[row] for row in rows]), model.start(None, len(rows))))
    back = np.argsort(order)
    return np.concatenate([logits for logits, _ in read])[back], model.select(
        model.join([state for _, state in read]), back
    )


def generate(model: StepModel, prompts: Sequence[Sequence[int]] | np.ndarray, **options) -> list[Generated]:
    """The whole of `stream`, a sequence a row; takes the same options."""
    columns = list(stream(model, prompts, **options))
    ids = np.stack([column.ids for column in columns], axis=1)
    log_probs = np.stack([column.log_probs for column in columns], axis=1).sum(axis=1)
    return [
        _sequence(row, log_prob, options["end"])
        for row, log_prob in zip(ids.tolist(), log_probs, strict=True)
    ]


def _sequence(ids: list[int], log_prob: float, end: int | None) -> Generated:
    finished = end in ids
    return Generated(tuple(ids[: ids.index(end)] if finished else ids), float(log_prob), finished)


def beam_search(
    model: StepModel,
    prompts: np.ndarray,
    *,
    context: np.ndarray | None = None,
    beam_size: int,
    n_best: int = 1,
    constraints: Constraints = Constraints(),
    end: int,
    max_length: int,
    length_penalty: float = 1.0,
) -> list[list[Generated]]:
    """The `n_best` sequences of each of `prompts` (B, T >= 1), best first.

    A sequence's score is its log-probability over its length, the end token counted, to the power
    `length_penalty` (Wu et al. 2016; 0 compares sums). An end among the W best continuations finishes a
    beam; a prompt is done when W have finished, so one beam is greedy decoding. Where fewer than `n_best`
    finish within `max_length`, the best unfinished ones follow, marked as such.
    """
    _check(constraints, end, max_length)
    if beam_size < 1:
        raise UserError(f"beam: {beam_size} must be 1 or more")
    if constraints.repetition_penalty != 1:
        # Beams compare the model's log-probabilities; penalised ones would no longer be that.
        raise UserError("repetition_penalty: only sampling takes it; beam search has no_repeat_ngram")
    batch, width = len(prompts), max(beam_size, n_best)
    logits, state = model.prefill(prompts, model.start(context, batch))
    # Before the first token a prompt has one beam; the others start at -inf and are filled by its continuations.
    state = model.select(state, np.repeat(np.arange(batch), width))
    logits = np.repeat(logits, width, axis=0)
    scores = np.full((batch, width), -np.inf)
    scores[:, 0] = 0
    active = np.arange(batch)
    history = np.zeros((batch * width, 0), dtype=np.int64)
    ended: list[list[tuple[float, Generated]]] = [[] for _ in range(batch)]

    for steps_left in range(max_length, 0, -1):
        allowed = constrain(logits, history, constraints, end, steps_left)
        if constraints.required:  # what was pressed in has the model's own probability
            allowed = np.where(allowed > -np.inf, logits, -np.inf)
        beams, tokens, totals = _best_continuations(scores, allowed, normalizer(logits), 2 * width)
        length = history.shape[1] + 1
        is_end = tokens == end
        for b, place in zip(*np.nonzero(is_end[:, :width] & np.isfinite(totals[:, :width])), strict=True):
            ids = tuple(history[b * width + beams[b, place]].tolist())
            done = Generated(ids, float(totals[b, place]), True)
            ended[active[b]].append((done.log_prob / length**length_penalty, done))
        # The W best that go on; a stable sort keeps the order of scores.
        going = (np.arange(len(active))[:, None], np.argsort(is_end, axis=1, kind="stable")[:, :width])
        beams, tokens, scores = beams[going], tokens[going], totals[going]
        # Beams pushed out by an empty candidate list stay at -inf.
        scores = np.where(tokens == end, -np.inf, scores)
        rows = (np.arange(len(active))[:, None] * width + beams).ravel()
        history = np.concatenate([history[rows], tokens.reshape(-1, 1)], axis=1)
        open_ = np.array([len(ended[b]) < width for b in active]) & np.isfinite(scores).any(axis=1)
        if steps_left == 1 or not open_.any():
            break
        if not open_.all():
            keep = np.repeat(open_, width)
            active, scores, rows, history = active[open_], scores[open_], rows[keep], history[keep]
        logits, state = model.step(history[:, -1], model.select(state, rows))

    for b, row_scores, row_ids in zip(active, scores, history.reshape(len(active), width, -1), strict=True):
        ended[b].sort(key=lambda item: -item[0])
        for place in np.argsort(-row_scores, kind="stable")[: max(0, n_best - len(ended[b]))]:
            if np.isfinite(row_scores[place]):
                cut = Generated(tuple(row_ids[place].tolist()), float(row_scores[place]), False)
                ended[b].append((-np.inf, cut))
    return [[done for _, done in sorted(found, key=lambda item: -item[0])[:n_best]] for found in ended]


def _check(constraints: Constraints, end: int | None, max_length: int) -> None:
    if max_length < 1:
        raise UserError(f"max_length: {max_length} must be 1 or more")
    needed = len(set(constraints.required)) + (end is not None)
    if constraints.required and needed > max_length:
        raise UserError(f"required: {needed} tokens with the end do not fit into {max_length}")


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
