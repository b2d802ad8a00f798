"""How sure a caption is: the calibrated probability that it is right about its picture.

From what a beam search has computed anyway - how likely the words are, how far the beams agree - and from how usual the
picture's features are: of noise, a page of text or a black picture every beam may say the same, and be wrong.
Letters: N captions, F features, L cells, D features of a cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from textgen.decoding.generate import Generated
from textgen.errors import UserError

FEATURES = (
    "log-probability a token",
    "lead over the next beam",
    "agreement with the other beams",
    "tokens",
    "strangeness of the picture",
    "variety of the picture",
)
_OTHERS = 2  # beams that a caption is compared with: as many as the default search has beside the best


@dataclass(frozen=True)
class Usual:
    """What the features of ordinary pictures are, over the cells of each and over many."""

    mean: np.ndarray  # (D,) of a picture's mean
    deviation: np.ndarray  # (D,)

    def strangeness(self, context: np.ndarray) -> float:
        """How far the mean of `context` (L, D) is from the usual one, in deviations, a feature."""
        apart = (context.mean(axis=0) - self.mean) / self.deviation
        return float(np.log1p(np.mean(np.minimum(np.abs(apart), 50))))


@dataclass(frozen=True)
class Confidence:
    """A logistic regression on `FEATURES`, fitted on a dev split."""

    usual: Usual
    center: np.ndarray  # (F,)
    scale: np.ndarray  # (F,)
    weights: np.ndarray  # (F,)
    bias: float
    threshold: float
    """Below it a caption is to be shown as not sure."""

    def of(self, found: Sequence[Generated], context: np.ndarray) -> list[float]:
        """Of each of a picture's beams, best first; `context` is (L, D)."""
        return self.probability(caption_features(found, context, self.usual)).tolist()

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(N,) of `features` (N, F)."""
        logits = (features - self.center) / self.scale @ self.weights + self.bias
        probability: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        return probability

    def to_json(self) -> dict[str, Any]:
        """For `model.json`."""
        return {
            "features": list(FEATURES),
            "center": _rounded(self.center),
            "scale": _rounded(self.scale),
            "weights": _rounded(self.weights),
            "bias": round(self.bias, 5),
            "threshold": round(self.threshold, 3),
            "usual": {"mean": _rounded(self.usual.mean), "deviation": _rounded(self.usual.deviation)},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any] | None, context_size: int) -> Confidence | None:
        """What `to_json` made; None of a model that was never calibrated. Raises UserError for what is damaged."""
        if told is None:
            return None
        try:
            if list(told["features"]) != list(FEATURES):
                raise UserError("confidence: of other features; calibrate the model anew")
            center, scale, weights = (
                _read(told[name], len(FEATURES)) for name in ("center", "scale", "weights")
            )
            mean, deviation = (_read(told["usual"][name], context_size) for name in ("mean", "deviation"))
            bias, threshold = float(told["bias"]), float(told["threshold"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"confidence: damaged ({error}); calibrate the model anew") from error
        if not ((scale > 0).all() and (deviation > 0).all() and 0 <= threshold <= 1 and np.isfinite(bias)):
            raise UserError("confidence: damaged; calibrate the model anew")
        return cls(Usual(mean, deviation), center, scale, weights, bias, threshold)


@dataclass(frozen=True)
class Calibration:
    """How far a confidence can be trusted; the figures are of photos that the fit had not seen."""

    photos: int
    right: float
    """Share of the captions that are right."""
    auroc: float
    """How often a right caption is surer than a wrong one."""
    risk: float
    """Area under the risk-coverage curve: the mean share of wrong captions among the surest, over all shares kept."""
    expected_error: float
    """Mean distance of confidence and share of right captions, in ten bins (expected calibration error)."""
    reliability: Sequence[tuple[float, float, int]]
    """Of each bin that has any: mean confidence, share of right captions, captions."""
    coverage: Sequence[tuple[float, float, float]]
    """Of the surest tenth, two tenths and so on to all: share kept, share of right captions, mean CIDEr."""
    cider: float
    """Mean CIDEr of all captions."""
    cider_of_surest: float
    """Of the surest two thirds, with the same document frequencies."""
    threshold: float
    unsure_photos: float
    """Share of the photos below the threshold."""
    unsure_odd: float
    """Share of the odd pictures below it: noise, flat colours, gradients, pages, screens, drawings."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def caption_features(found: Sequence[Generated], context: np.ndarray, usual: Usual) -> np.ndarray:
    """(N, F) of the beams `found` of a picture, best first, whose context is (L, D)."""
    scores = [caption.log_prob / (len(caption.ids) + 1) for caption in found]
    strangeness = usual.strangeness(context)
    variety = float(np.log(1e-3 + (context.std(axis=0) / usual.deviation).mean()))
    words = [Counter(caption.ids) for caption in found]
    rows = []
    for place, caption in enumerate(found):
        others = [other for other in range(min(len(found), _OTHERS + 1)) if other != place][:_OTHERS]
        agreement = [overlap(words[place], words[other]) for other in others]
        next_score = scores[place + 1] if place + 1 < len(found) else scores[-1]
        rows.append(
            [
                scores[place],
                scores[place] - next_score,
                sum(agreement) / len(agreement) if others else 1.0,
                float(len(caption.ids)),
                strangeness,
                variety,
            ]
        )
    return np.array(rows, dtype=np.float64)


def overlap(one: Counter[int], other: Counter[int]) -> float:
    """Share of words that two captions have in common, counted as often as both have them: 1 is the same words."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def _read(values: Any, size: int) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise ValueError(f"{size} finite numbers are wanted")
    return array
