"""How far a model's confidence can be trusted: fitted on dev splits, and judged there by folds that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from captioner.data.examples import Example
from captioner.data.readable import named, unreadable
from captioner.data.several import load_datasets
from captioner.metrics import Corpus
from captioner.network.confidence import FEATURES, Calibration, Confidence, Usual, caption_features
from captioner.network.decoding_config import DEFAULT_DECODING
from captioner.network.stored import BOX, KIND
from captioner.pictures.load import picture_pixels
from captioner.score_config import check_report
from captioner.training.odd_pictures import odd_pictures
from textgen.classification.reliability import expected_error, reliability
from textgen.errors import UserError
from textgen.storage.bundle import model_files, read_header, write_header

_FOLDS = 5
_BATCH = 32  # pictures seen at a time
_AS_GOOD_AS = 0.25  # a caption is right that is as near to the references as all but this share of people's
_ODD = 0.15  # odd pictures, a photo
_RIDGE = 1.0
_LEAST = 50  # photos to fit on


def calibrate(model: str | Path, data: Sequence[Path], report: Path | None = None) -> Calibration:
    """Fits the confidence of a model's captions on the dev splits of `data`, and keeps it in `model.json`.

    A caption is right that is as near to the references, by CIDEr, as three of four captions by people are, each
    against the others of its picture. Raises UserError when there are too few photos, or none has several references, for
    a model in the box, and when `report`, where somebody is going to write what is found, must not be written.
    """
    folder = BOX.find(model)
    BOX.refuse_own(folder)
    check_report(report, model_files(folder))
    captioner = Captioner.load(folder)
    found = load_datasets(data)
    check_report(report, found.inputs)
    dev = found.split("dev")
    if len(dev) < _LEAST:
        raise UserError(f"data: {len(dev)} dev pictures are too few to calibrate on; {_LEAST} are wanted")
    if bad := unreadable(dev, captioner.size):
        raise UserError(f"{named(bad)}; mend them, or take them out of the data")
    contexts = np.concatenate([_contexts(captioner, dev[i : i + _BATCH]) for i in range(0, len(dev), _BATCH)])
    said = [
        found[0].text
        for i in range(0, len(dev), _BATCH)
        for found in captioner.decode(contexts[i : i + _BATCH], DEFAULT_DECODING)
    ]
    scores, bar = _scores(said, dev)
    usual = Usual(contexts.mean(axis=(0, 1)), contexts.mean(axis=1).std(axis=0) + 1e-3)
    photos = np.concatenate(_features(captioner, contexts, usual))
    pixels = odd_pictures(max(60, round(_ODD * len(dev))), captioner.size, seed=0)
    odd = np.concatenate(
        [
            row
            for i in range(0, len(pixels), _BATCH)
            for row in _features(captioner, captioner.encode(pixels[i : i + _BATCH]), usual)
        ]
    )
    right = scores >= bar
    features = np.concatenate([photos, odd])
    labels = np.concatenate([right, np.zeros(len(odd), bool)])
    sure = _by_folds(features, labels, usual)
    of_photos, of_odd = sure[: len(photos)], sure[len(photos) :]
    threshold = float(np.clip(np.quantile(of_odd, 0.95), *np.quantile(of_photos, [0.02, 1 / 3])))
    fitted = _fit(features, labels, usual, threshold)
    header = read_header(folder, KIND)
    judged = _judged(of_photos, right, scores, of_odd, threshold)
    write_header(folder, {**header, "confidence": {**fitted.to_json(), "dev": judged.to_json()}})
    return judged


def _scores(said: Sequence[str], dev: Sequence[Example]) -> tuple[np.ndarray, float]:
    """The CIDEr of each caption, and the one from which on a caption counts as right; of each data set by itself."""
    scores, bars = np.zeros(len(dev)), np.zeros(len(dev))
    for source in {example.source for example in dev}:
        places = [place for place, example in enumerate(dev) if example.source == source]
        several = [place for place in places if len(dev[place].captions) > 1]
        if not several:
            raise UserError(
                "data: every picture has one reference only; people cannot be compared with each other"
            )
        spoken = Corpus.of(
            {dev[place].id: said[place] for place in places},
            {dev[place].id: dev[place].captions for place in places},
        )
        of = dict(zip(spoken.ids, spoken.cider.tolist(), strict=True))
        people = Corpus.of(
            {dev[place].id: dev[place].captions[0] for place in several},
            {dev[place].id: dev[place].captions[1:] for place in several},
        )
        for place in places:
            scores[place] = of[dev[place].id]
            bars[place] = np.quantile(people.cider, _AS_GOOD_AS)
    return scores - bars + bars.mean(), float(bars.mean())


def _contexts(captioner: Captioner, examples: Sequence[Example]) -> np.ndarray:
    return captioner.encode(np.stack([picture_pixels(example.path, captioner.size) for example in examples]))


def _features(captioner: Captioner, contexts: np.ndarray, usual: Usual) -> list[np.ndarray]:
    """(1, F) of the best caption of each picture."""
    rows: list[np.ndarray] = []
    for start in range(0, len(contexts), _BATCH):
        part = contexts[start : start + _BATCH]
        for beams, context in zip(captioner.beams(part, DEFAULT_DECODING), part, strict=True):
            rows.append(caption_features(beams, context, usual)[:1])
    return rows


def _by_folds(features: np.ndarray, labels: np.ndarray, usual: Usual) -> np.ndarray:
    """The confidence of each caption, by a fit on the other folds."""
    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    sure = np.zeros(len(labels))
    for number in range(_FOLDS):
        fitted = _fit(features[fold != number], labels[fold != number], usual, 0.5)
        sure[fold == number] = fitted.probability(features[fold == number])
    return sure


def _fit(features: np.ndarray, labels: np.ndarray, usual: Usual, threshold: float) -> Confidence:
    """Logistic regression with a ridge, by Newton's method (iteratively reweighted least squares)."""
    center, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = np.column_stack([(features - center) / scale, np.ones(len(features))])
    ridge = np.diag([_RIDGE] * len(FEATURES) + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - labels) + ridge @ weights
        hessian = (x * np.maximum(p * (1 - p), 1e-6)[:, None]).T @ x + ridge
        weights -= np.linalg.solve(hessian, gradient)
    return Confidence(usual, center, scale, weights[:-1], float(weights[-1]), threshold)


def _judged(
    sure: np.ndarray, right: np.ndarray, scores: np.ndarray, odd: np.ndarray, threshold: float
) -> Calibration:
    order = np.argsort(-sure, kind="stable")
    wrong = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    ranks = np.empty(len(sure))
    ranks[np.argsort(sure, kind="stable")] = np.arange(1, len(sure) + 1)
    rights = int(right.sum())
    auroc = (ranks[right].sum() - rights * (rights + 1) / 2) / max(1, rights * (len(right) - rights))
    bins = reliability(sure, right)
    kept = order[: round(len(order) * 2 / 3)]
    coverage = []
    for tenth in range(1, 11):
        surest = order[: max(1, round(len(order) * tenth / 10))]
        coverage.append(
            (tenth / 10, round(float(right[surest].mean()), 4), round(float(scores[surest].mean()), 2))
        )
    return Calibration(
        photos=len(sure),
        right=round(float(right.mean()), 4),
        auroc=round(float(auroc), 4),
        risk=round(float(wrong.mean()), 4),
        expected_error=round(expected_error(bins), 4),
        reliability=[(round(told, 4), round(share, 4), count) for told, share, count in bins],
        coverage=coverage,
        cider=round(float(scores.mean()), 2),
        cider_of_surest=round(float(scores[kept].mean()), 2),
        threshold=round(threshold, 3),
        unsure_photos=round(float((sure < threshold).mean()), 4),
        unsure_odd=round(float((odd < threshold).mean()), 4),
    )
