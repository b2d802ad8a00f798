"""Beam search: the likeliest sequences instead of drawn ones. B prompts or contexts, W beams, V vocabulary."""

from __future__ import annotations

import numpy as np

from textgen.decoding.constraints import Constraints, check_fits, constrain
from textgen.decoding.generate import Generated
from textgen.decoding.sampling import normalizer
from textgen.engine.protocol import StepModel
from textgen.errors import UserError

_GROUPS = 64


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
    batch, width = len(prompts), max(beam_size, n_best)
    logits, state = model.prefill(prompts, model.start(context, batch, lengths))
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
