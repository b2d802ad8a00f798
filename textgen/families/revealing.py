"""Lines by diffusion: written from nothing or from a prompt, with gaps filled, or revised in their middle. Numpy only."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from textgen.decoding.generate import Column
from textgen.decoding.likelihood import BOUND
from textgen.decoding.settings import GREEDY, Constraints, SamplingConfig
from textgen.decoding.writing import LineWriter, Writing, drawn_seed
from textgen.errors import UserError
from textgen.families.diffusion import MASK, Denoise, Stage, bound, filled, line_of, reveal
from textgen.text.tokenizer import BOS, EOS, PAD

_DRAWS = 64  # of what is hidden, for a line's bound
_FEW = 16  # the same, to compare lines
_WIDEST = 4  # words of a gap
_GAPS = 3  # whose widths are chosen; further ones have one word


class DiffusionWriter(LineWriter):
    """All places are hidden at first, but for those that are given."""

    likelihood = BOUND
    reads_prompts = True

    def __init__(self, denoise: Denoise, places: int, draws: int = _DRAWS, rows: int = 256):
        """`draws`: for a line's bound; `rows`: lines that are read side by side for it."""
        self.denoise, self.places, self.draws, self.rows = denoise, places, draws, rows

    def write(self, prompts: Sequence[Sequence[int]], how: Writing) -> Iterator[Column]:
        """As `Writer.write`, in as many `steps` as there are places unless told; all columns come at once, when the last
        place is told. A token's log-probability is that of when it was told."""
        constraints = how.constraints
        self._check(constraints)
        if long := [len(prompt) for prompt in prompts if len(prompt) > self.places]:
            raise UserError(
                f"prompt: {long[0] - 1:,} tokens are too many; this model's lines have {self.places - 1} at most"
            )
        given = np.full((len(prompts), self.places), MASK)
        for row, prompt in enumerate(prompts):
            given[row, : len(prompt) - 1] = prompt[1:]
        least = np.array([len(prompt) - 1 + constraints.min_length for prompt in prompts])
        banned = [token for token in constraints.banned if token not in (PAD, BOS, EOS)]
        rngs = self._rngs(how.seed, how.keys)
        steps = how.steps or self.places
        *_, stage = reveal(self.denoise, given, steps, how.sampling, rngs, banned, least, ending=True)
        rows = [
            self._told(ids[len(prompt) - 1 :], log_probs[len(prompt) - 1 :])[: how.max_length]
            for ids, log_probs, prompt in zip(stage.ids.tolist(), stage.log_probs, prompts, strict=True)
        ]
        for column in range(max(map(len, rows))):
            told = [row[column] if column < len(row) else (PAD, 0.0) for row in rows]
            yield Column(np.array([token for token, _ in told]), np.array([value for _, value in told]))

    @staticmethod
    def _told(ids: Sequence[int], log_probs: np.ndarray) -> list[tuple[int, float]]:
        """A line's tokens with their log-probabilities; its end has those of all that is behind it, too."""
        line = line_of(ids)
        told = list(zip(line, log_probs.tolist(), strict=False))
        if len(line) < len(ids):
            told.append((EOS, float(log_probs[len(line) :].sum())))
        return told

    @staticmethod
    def _check(constraints: Constraints) -> None:
        for name, off in (
            ("repetition_penalty", 1),
            ("no_repeat_ngram", 0),
            ("required", ()),
            ("not_final", ()),
        ):
            if getattr(constraints, name) != off:
                raise UserError(f"{name}: this model does not write from left to right; leave it at {off}")

    def stages(self, temperature: float, seed: int, given: Sequence[int] | None = None) -> Iterator[Stage]:
        """A line as it appears; `given` (T,) holds `MASK` where nothing is given."""
        ids = np.full((1, self.places), MASK) if given is None else np.array([given])
        rngs = self._rngs(seed, [0])
        least = np.array([1])
        return reveal(
            self.denoise, ids, self.places, SamplingConfig(temperature), rngs, least=least, ending=True
        )

    def filled_in(
        self, parts: Sequence[Sequence[int] | None], sampling: SamplingConfig, seed: int, keys: Sequence[int]
    ) -> list[list[tuple[int, ...]]]:
        """What stands in each gap, a line for each of `keys`: `parts` are what is given, None where there is a gap.

        A gap has one to `_WIDEST` tokens: how many is decided by the bound, a token, of greedy fillings of each width.
        """
        widths = self._widths(parts)
        *_, stage = self._between(
            self._given(parts, widths)[None].repeat(len(keys), axis=0), sampling, seed, keys
        )
        starts, place, left = [], 0, iter(widths)
        for part in parts:
            starts += [place] if part is None else []
            place += next(left) if part is None else len(part)
        return [
            [tuple(row[start : start + width]) for start, width in zip(starts, widths, strict=True)]
            for row in stage.ids.tolist()
        ]

    def revised(
        self, line: Sequence[int], share: float, sampling: SamplingConfig, seed: int, keys: Sequence[int]
    ) -> list[tuple[int, ...]]:
        """A line, ids without its end, said otherwise for each of `keys`: a `share` of its tokens, drawn for each, is hidden
        and told anew."""
        if len(line) >= self.places:
            raise self._too_long(len(line))
        count = max(1, round(share * len(line)))
        given = np.repeat(filled([[*line, EOS]], self.places), len(keys), axis=0)
        for row, rng in zip(given, self._rngs(seed, [(1 << 32) + key for key in keys]), strict=True):
            row[rng.permutation(len(line))[:count]] = MASK
        *_, stage = self._between(given, sampling, seed, keys)
        return [line_of(row) for row in stage.ids.tolist()]

    def _between(
        self, given: np.ndarray, sampling: SamplingConfig, seed: int, keys: Sequence[int]
    ) -> Iterator[Stage]:
        """Lines whose ends are given: no gap holds another."""
        least = np.full(len(given), self.places)
        return reveal(self.denoise, given, self.places, sampling, self._rngs(seed, keys), least=least)

    def _widths(self, parts: Sequence[Sequence[int] | None]) -> tuple[int, ...]:
        gaps = sum(part is None for part in parts)
        known = sum(len(part) for part in parts if part is not None)
        chosen = min(gaps, _GAPS)
        options = [
            (*widths, *[1] * (gaps - chosen))
            for widths in itertools.product(range(1, _WIDEST + 1), repeat=chosen)
            if known + sum(widths) + gaps - chosen < self.places
        ]
        if not options:
            raise self._too_long(known + gaps)
        given = np.stack([self._given(parts, widths) for widths in options])
        *_, stage = self._between(given, GREEDY, 0, range(len(given)))
        lengths = known + 1 + np.array([sum(widths) for widths in options])
        return options[int(np.argmin(bound(self.denoise, stage.ids, _FEW, alike=True) / lengths))]

    def _given(self, parts: Sequence[Sequence[int] | None], widths: Sequence[int]) -> np.ndarray:
        """Ids (T,) of a line with gaps of these widths, ended."""
        left = iter(widths)
        line = [token for part in parts for token in ([MASK] * next(left) if part is None else part)]
        found: np.ndarray = filled([[*line, EOS]], self.places)[0]
        return found

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """An upper bound (lines,). Raises UserError for a line that is longer than the model's."""
        if long := [len(line) for line in lines if len(line) > self.places]:
            raise self._too_long(long[0] - 1)
        ids = filled(lines, self.places)
        parts = [
            bound(self.denoise, ids[start : start + self.rows], self.draws)
            for start in range(0, len(ids), self.rows)
        ]
        return np.concatenate(parts)

    def _too_long(self, count: int) -> UserError:
        return UserError(
            f"a line of {count:,} tokens is too long; this diffusion model's lines have {self.places - 1} at most"
        )

    @staticmethod
    def _rngs(seed: int | None, keys: Sequence[int]) -> list[np.random.Generator]:
        seed = drawn_seed(seed)
        return [np.random.default_rng((seed, key)) for key in keys]
