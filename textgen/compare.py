"""Models of lines side by side: how likely they find lines that people wrote, and how good and how diverse theirs are.

Of what a model writes two things are asked (Caccia et al. 2020, who show that one without the other says nothing): is it like
what people write, and is it all that people write. A 5-gram Kneser-Ney model of the training lines judges the first, one of the
model's own lines judges the second by lines that people wrote; both know one vocabulary, whatever the models'.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from tyro.conf import arg

from textgen.errors import UserError
from textgen.generator import GenerationConfig, TextGenerator
from textgen.text.kneser_ney import LineNgrams
from textgen.text.tokenizer import EOS, ProseTokenizer, Tokenizer

_ORDER = 5  # words of an n-gram of the judges
_SHOWN = 20  # samples of each model
_RESAMPLES = 200  # of a bootstrap
_SELF_BLEU = 200  # samples, each against the others
_LONGEST = 60  # words of a sample
_MOST_COPIED = 12  # words of a copied stretch that is looked for
_NAMES = ("quality", "diversity")


@dataclass(frozen=True)
class CompareConfig:
    """What is compared."""

    samples: int = 1000
    """Lines of each model at each temperature."""
    temperatures: Annotated[tuple[float, ...], arg(metavar="T...")] = (0.6, 0.8, 1.0, 1.2)
    """At which they are written; the last table is of 1, where it is among them."""
    judged: int = 1000
    """Held-out lines whose nats are told, spread over all of them."""
    seed: int = 0
    """Of the samples; the same for every model."""

    def __post_init__(self) -> None:
        if not self.temperatures:
            raise UserError("temperatures: give one or more")
        for temperature in self.temperatures:
            GenerationConfig(_LONGEST, temperature)
        for name, least in (("samples", 20), ("judged", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name}: {getattr(self, name)} must be {least} or more")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")


def compare(
    models: dict[str, TextGenerator],
    train: Sequence[str],
    held_out: Sequence[str],
    config: CompareConfig = CompareConfig(),
    said: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Figures of `models`, by name, on lines to train on and lines that none of them was trained on.

    `nats_per_token` is of the held-out lines, exact, an upper bound or an estimate as `likelihood` says; then for each
    temperature `quality`, nats a word of its lines under the training lines' n-grams, and `diversity`, nats a
    word of the held-out lines under the n-grams of its lines (lower is better; no lower than the `real` text's is quality),
    each with a 95 % interval; `self_bleu`, `copied`, the share of lines that stand in the training text, and
    `longest_copied`, the mean words of the longest stretch of a line that stands there. `said` is told what is being done.

    Raises UserError for a model that is not one of lines, and when there are too few lines.
    """
    for name, model in models.items():
        if not model.lines:
            raise UserError(f"{name}: not a model of lines; `textgen train --lines` makes one")
    if len(train) < 100 or len(held_out) < 100:
        raise UserError(
            f"compare: {len(train)} lines of training and {len(held_out)} held out are too few; give 100 of each"
        )
    judges = _Judges(train, held_out, config.seed)
    rows = [_row(name, model, judges, config, said) for name, model in models.items()]
    real = judges.judge(judges.written_by_people(config.samples))
    return {
        "train": len(train),
        "held_out": len(held_out),
        "samples": config.samples,
        "seed": config.seed,
        "real": {name: value for name, value in real.items() if name != "copied"},
        "models": rows,
    }


class _Judges:
    """N-gram models of lines, and the texts that they are made of."""

    def __init__(self, train: Sequence[str], held_out: Sequence[str], seed: int):
        self.tokenizer: Tokenizer = ProseTokenizer.fit(train, 2, max_size=20_000)
        self.seed = seed
        self.lines = held_out
        self.train, self.held_out = self.ids(train), self.ids(held_out)
        self.of_train = LineNgrams(self.train, len(self.tokenizer), _ORDER)
        self._known = {tuple(line) for line in self.train}
        self._stretches = [
            {tuple(line[i : i + size]) for line in self.train for i in range(len(line) - size)}
            for size in range(1, _MOST_COPIED + 1)
        ]

    def ids(self, lines: Sequence[str]) -> list[list[int]]:
        return [[*self.tokenizer.encode(" ".join(line.split())), EOS] for line in lines]

    def written_by_people(self, count: int) -> list[list[int]]:
        """As many lines as a model writes, of those that it was not trained on: what a model should be like."""
        return random.Random(self.seed).sample(self.held_out, min(count, len(self.held_out) // 2))

    def judge(self, lines: list[list[int]]) -> dict[str, Any]:
        """What is told of lines, whoever wrote them."""
        quality = self.of_train.nats(lines)
        sizes = np.array([len(line) for line in lines])
        # Of what people wrote, those that the lines themselves are not among.
        own = {id(line) for line in lines}
        others = [line for line in self.held_out if id(line) not in own]
        diversity = LineNgrams(lines, len(self.tokenizer), _ORDER).nats(others)
        other_sizes = np.array([len(line) for line in others])
        figures = dict(zip(_NAMES, (_mean(quality, sizes), _mean(diversity, other_sizes)), strict=True))
        intervals = {
            name: _interval(nats, counts, self.seed)
            for name, nats, counts in zip(_NAMES, (quality, diversity), (sizes, other_sizes), strict=True)
        }
        return {
            **figures,
            "intervals": intervals,
            "self_bleu": self._self_bleu(lines),
            "copied": float(np.mean([tuple(line) in self._known for line in lines])),
            "longest_copied": float(np.mean([self._longest(line[:-1]) for line in lines])),
            "words": float(sizes.mean()) - 1,
        }

    def _longest(self, line: Sequence[int]) -> int:
        """Words of the longest stretch of a line that stands in a training line."""
        for size in range(min(len(line), _MOST_COPIED), 0, -1):
            known = self._stretches[size - 1]
            if any(tuple(line[i : i + size]) in known for i in range(len(line) - size + 1)):
                return size
        return 0

    def _self_bleu(self, lines: list[list[int]]) -> float:
        """Mean BLEU-4 of a line against the others (Zhu et al. 2018), x100; nltk's."""
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

        some = [line[:-1] for line in lines[:_SELF_BLEU]]
        smooth = SmoothingFunction().method1
        found = [
            sentence_bleu(some[:place] + some[place + 1 :], line, smoothing_function=smooth)
            for place, line in enumerate(some)
            if line
        ]
        return float(100 * np.mean(found)) if found else 0.0


def _row(
    name: str, model: TextGenerator, judges: _Judges, config: CompareConfig, said: Callable[[str], None]
) -> dict[str, Any]:
    said(f"{name}: the held-out lines")
    step = -(-len(judges.lines) // config.judged)
    nats, tokens = model.nats_each(judges.lines[::step])
    provenance = model.header["provenance"]
    row: dict[str, Any] = {
        "name": name,
        "family": model.header["config"].get("family", "autoregressive"),
        "hash": model.hash,
        "likelihood": model.writer.likelihood,
        "nats_per_token": _mean(nats, tokens),
        "interval": _interval(nats, tokens, config.seed),
        "parameters": provenance.get("parameters"),
        "minutes": provenance.get("minutes"),
        "temperatures": [],
    }
    for temperature in config.temperatures:
        said(f"{name}: {config.samples:,} lines at temperature {temperature:g}")
        began = time.perf_counter()
        texts = [
            text.text
            for text in model.generate(
                n=config.samples, length=_LONGEST, temperature=temperature, seed=config.seed
            )
        ]
        seconds = time.perf_counter() - began
        row["temperatures"].append(
            {
                "temperature": temperature,
                **judges.judge(judges.ids(texts)),
                "samples_per_second": config.samples / seconds,
                "texts": texts[:_SHOWN],
            }
        )
    return row


def _mean(nats: np.ndarray, counts: np.ndarray) -> float:
    return float(nats.sum() / counts.sum())


def _interval(nats: np.ndarray, counts: np.ndarray, seed: int) -> list[float]:
    """95 % of the mean a token, by a bootstrap over lines."""
    rng = np.random.default_rng(seed)
    places = rng.integers(len(nats), size=(_RESAMPLES, len(nats)))
    means = nats[places].sum(axis=1) / counts[places].sum(axis=1)
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]
