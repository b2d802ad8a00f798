"""How good a classifier is: accuracy, macro F1, which classes it takes for which, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from textgen.classification.classifier import Classification
from textgen.classification.reliability import Bin, expected_error, reliability


@dataclass(frozen=True)
class Judged:
    """Figures in percent, but for the counts and what concerns probabilities."""

    texts: int
    accuracy: float
    interval: tuple[float, float]
    """Of the accuracy, 95 %, by Wilson's formula."""
    macro_f1: float
    """Mean over the classes of the harmonic mean of precision and recall; 0 of a class that is never right."""
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    """A row a true class, a column what it was taken for."""
    nats: float | None = None
    """Mean negative log-probability of the true class."""
    expected_error: float | None = None
    """Mean distance of confidence and share of right answers, in ten bins."""
    bins: tuple[Bin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        return {**told, "bins": [one._asdict() for one in self.bins]}


def judge_labels(said: Sequence[str], true: Sequence[str], classes: Sequence[str]) -> Judged:
    """Figures of bare answers; `classes` are those of the model, to which those of the data are added."""
    names = tuple(dict.fromkeys([*classes, *sorted({*true, *said})]))
    places = {name: place for place, name in enumerate(names)}
    confusion = np.zeros((len(names), len(names)), dtype=int)
    for answer, label in zip(said, true, strict=True):
        confusion[places[label], places[answer]] += 1
    right = confusion.diagonal()
    sizes, answers = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * right / np.maximum(sizes + answers, 1)
    share, count = right.sum() / len(true), len(true)
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5 / (1 + z * z / count)
    return Judged(
        count,
        round(100 * float(share), 2),
        (round(100 * float(middle - half), 2), round(100 * float(middle + half), 2)),
        round(100 * float(f1[sizes + answers > 0].mean()), 2),
        names,
        tuple(tuple(map(int, row)) for row in confusion),
    )


def judge(found: Sequence[Classification], true: Sequence[str]) -> Judged:
    """Figures of answers with their probabilities."""
    plain = judge_labels([one.label for one in found], true, sorted(found[0].probabilities))
    sure = np.array([one.probability for one in found])
    right = np.array([one.label == label for one, label in zip(found, true, strict=True)])
    chances = np.array([one.probabilities.get(label, 0.0) for one, label in zip(found, true, strict=True)])
    bins = reliability(sure, right)
    return Judged(
        **{
            **{
                name: getattr(plain, name)
                for name in ("texts", "accuracy", "interval", "macro_f1", "classes", "confusion")
            },
            "nats": round(float(-np.log(chances.clip(1e-12)).mean()), 4),
            "expected_error": round(expected_error(bins), 4),
            "bins": tuple(bins),
        }
    )


def table(judged: Judged, baseline: Judged | None = None) -> str:
    """The figures as text, for a terminal."""
    rows = [f"{judged.texts:,} texts, {len(judged.classes)} classes"]
    for name, one in (("this model", judged), ("TF-IDF + logistic regression", baseline)):
        if one is not None:
            low, high = one.interval
            rows.append(
                f"{name:30} accuracy {one.accuracy:5.1f} % ({low:.1f} to {high:.1f}), macro F1 {one.macro_f1:5.1f} %"
            )
    if judged.nats is not None:
        rows.append(f"nats a text {judged.nats:.3f}, expected calibration error {judged.expected_error:.3f}")
    names = [name[:12] for name in judged.classes]
    width = max(7, *map(len, names))
    rows += ["", "true \\ taken for".ljust(width + 2) + " ".join(name.rjust(width) for name in names)]
    for name, row in zip(names, judged.confusion, strict=True):
        rows.append(name.ljust(max(width + 2, 16)) + " ".join(str(count).rjust(width) for count in row))
    if judged.bins:
        rows += ["", "confidence  right  texts"]
        rows += [f"{one.told:10.2f}  {one.right:5.2f}  {one.size:5}" for one in judged.bins]
    return "\n".join(rows)
