"""Models of lines side by side: how likely they find lines that people wrote, and how good and how diverse theirs are.

Of what a model writes two things are asked (Caccia et al. 2020, who show that one without the other says nothing): is it like
what people write, and is it all that people write. A 5-gram Kneser-Ney model of the training lines judges the first, one of the
model's own lines judges the second by lines that people wrote; both know one vocabulary, whatever the models'.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textgen.compare_config import CompareConfig
from textgen.engine.text_model import BOX
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.storage.box import size_of
from textgen.text.encoding import drawn_lines
from textgen.text.kneser_ney import LineNgrams
from textgen.text.tokenizer import EOS, CharTokenizer, ProseTokenizer, Tokenizer

_ORDER = 5  # words of an n-gram of the judges
_SHOWN = 20  # samples of each model
_RESAMPLES = 200  # of a bootstrap
_SELF_BLEU = 200  # samples, each against the others
_LONGEST = {"word": 60, "char": 400}  # tokens of a sample
_MOST_COPIED = 12  # words of a copied stretch that is looked for
_LEAST = 100  # lines of either kind


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
    `longest_copied`, the mean words of the longest stretch of a line that stands there, twelve at most. `real` is the same of
    what people wrote: held-out lines for quality, as many training lines for diversity. `said` is told what is being done.

    Raises UserError for a model that is not one of lines, and when there are too few lines.
    """
    for name, model in models.items():
        if not model.lines:
            raise UserError(f"{name}: not a model of lines; `textgen train --lines` makes one")
    if len(train) < _LEAST or len(held_out) < _LEAST:
        raise UserError(
            f"compare: {len(train)} lines of training and {len(held_out)} held out are too few; give {_LEAST} of each"
        )
    judges = _Judges(train, held_out, config.seed)
    rows = [_row(name, model, judges, config, said) for name, model in models.items()]
    notes = []
    if len({tuple(model.tokenizer.tokens) for model in models.values()}) > 1:
        notes.append("the models do not know the same words: their nats a token do not compare")
    return {
        "train": len(train),
        "held_out": len(held_out),
        "samples": config.samples,
        "seed": config.seed,
        "notes": notes,
        "real": judges.real(config.samples),
        "models": rows,
    }


class _Judges:
    """N-gram models of lines, and the texts that they are made of."""

    def __init__(self, train: Sequence[str], held_out: Sequence[str], seed: int):
        self.tokenizer: Tokenizer = ProseTokenizer.fit(train, 2, max_size=20_000)
        self.seed, self.train, self.held_out = seed, train, held_out
        self._held_out = self._ids(held_out)
        self._of_train = LineNgrams(self._ids(train), len(self.tokenizer), _ORDER)
        words = [_words(line) for line in train]
        self._known = {tuple(line) for line in words}
        self._stretches = [
            {tuple(line[i : i + size]) for line in words for i in range(len(line) - size + 1)}
            for size in range(1, _MOST_COPIED + 1)
        ]

    def _ids(self, lines: Sequence[str]) -> list[list[int]]:
        return [[*self.tokenizer.encode(" ".join(line.split())), EOS] for line in lines]

    def judge(self, lines: Sequence[str]) -> dict[str, Any]:
        """What is told of lines that a model wrote."""
        words = [_words(line) for line in lines]
        return {
            **self._figures(self._quality(lines), self._diversity(lines)),
            "self_bleu": _self_bleu(words),
            "copied": float(np.mean([tuple(line) in self._known for line in words])),
            "longest_copied": float(np.mean([self._longest(line) for line in words])),
            "words": float(np.mean([len(line) for line in words])),
        }

    def real(self, count: int) -> dict[str, Any]:
        """The same of what people wrote, but for what is copied."""
        draw = random.Random(self.seed)
        some = draw.sample(self.held_out, min(count, len(self.held_out)))
        train = draw.sample(self.train, min(count, len(self.train)))
        words = [_words(line) for line in some]
        return {
            **self._figures(self._quality(self.held_out), self._diversity(train)),
            "self_bleu": _self_bleu(words),
            "longest_copied": float(np.mean([self._longest(line) for line in words])),
            "words": float(np.mean([len(line) for line in words])),
        }

    def _quality(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = self._ids(lines)
        return self._of_train.nats(ids), _sizes(ids)

    def _diversity(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        model = LineNgrams(self._ids(lines), len(self.tokenizer), _ORDER)
        return model.nats(self._held_out), _sizes(self._held_out)

    def _figures(
        self, quality: tuple[np.ndarray, np.ndarray], diversity: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, Any]:
        both = {"quality": quality, "diversity": diversity}
        return {
            **{name: _mean(*found) for name, found in both.items()},
            "intervals": {name: _interval(*found, self.seed) for name, found in both.items()},
        }

    def _longest(self, line: Sequence[str]) -> int:
        """Words of the longest stretch of a line that stands in a training line."""
        for size in range(min(len(line), _MOST_COPIED), 0, -1):
            known = self._stretches[size - 1]
            if any(tuple(line[i : i + size]) in known for i in range(len(line) - size + 1)):
                return size
        return 0


def _row(
    name: str, model: TextGenerator, judges: _Judges, config: CompareConfig, said: Callable[[str], None]
) -> dict[str, Any]:
    said(f"{name}: the held-out lines")
    try:
        nats, tokens, unknown = model.nats_each(drawn_lines(judges.held_out, config.judged, config.seed))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    provenance = model.header["provenance"]
    row: dict[str, Any] = {
        "name": name,
        "family": model.header["config"].get("family", "autoregressive"),
        "hash": model.hash,
        "likelihood": model.writer.likelihood,
        "nats_per_token": _mean(nats, tokens),
        "interval": _interval(nats, tokens, config.seed),
        "unknown": float(unknown.sum() / tokens.sum()),
        "parameters": provenance.get("parameters"),
        "bytes": size_of(BOX.find(model.origin.model)) if model.origin else None,
        "minutes": provenance.get("minutes"),
        "temperatures": [],
    }
    unit = "char" if isinstance(model.tokenizer, CharTokenizer) else "word"
    for temperature in config.temperatures:
        said(f"{name}: {config.samples:,} lines at temperature {temperature:g}")
        began = time.perf_counter()
        found = model.generate(
            n=config.samples, length=_LONGEST[unit], temperature=temperature, seed=config.seed
        )
        seconds = time.perf_counter() - began
        texts = [" ".join(one.text.split()) for one in found]
        row["temperatures"].append(
            {
                "temperature": temperature,
                **judges.judge(texts),
                "samples_per_second": config.samples / seconds,
                "texts": texts[:_SHOWN],
            }
        )
    return row


def _words(line: str) -> list[str]:
    return line.split()


def _sizes(ids: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([len(line) for line in ids])


def _self_bleu(lines: Sequence[list[str]]) -> float:
    """Mean BLEU-4 of a line against the others (Zhu et al. 2018), x100; nltk's."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    some = list(lines[:_SELF_BLEU])
    smooth = SmoothingFunction().method1
    found = [
        sentence_bleu(some[:place] + some[place + 1 :], line, smoothing_function=smooth)
        for place, line in enumerate(some)
        if line
    ]
    return float(100 * np.mean(found)) if found else 0.0


def _mean(nats: np.ndarray, counts: np.ndarray) -> float:
    return float(nats.sum() / counts.sum())


def _interval(nats: np.ndarray, counts: np.ndarray, seed: int) -> list[float]:
    """95 % of the mean a token, by a bootstrap over lines."""
    rng = np.random.default_rng(seed)
    places = rng.integers(len(nats), size=(_RESAMPLES, len(nats)))
    means = nats[places].sum(axis=1) / counts[places].sum(axis=1)
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]
