"""How sure a caption is: from what the beams say and how usual the picture is; stored, read, and refused when damaged."""

import json
from collections import Counter

import numpy as np
import pytest

from captioner.network.confidence import FEATURES, Confidence, Usual, caption_features, overlap
from textgen.decoding.generate import Generated
from textgen.errors import UserError

L, D = 4, 6
USUAL = Usual(np.zeros(D), np.ones(D))
RNG = np.random.default_rng(0)
CONTEXT = RNG.normal(size=(L, D))
BEAMS = [Generated((5, 6, 7), -3.0, True), Generated((5, 6, 8), -4.0, True), Generated((9, 9, 9), -8.0, True)]


def confidence(**changes):
    weights = np.array([1.0, 0.5, 2.0, 0.0, -3.0, 0.0])
    values = {"usual": USUAL, "center": np.zeros(6), "scale": np.ones(6), "weights": weights, "bias": 0.5}
    return Confidence(**{**values, "threshold": 0.3, **changes})


def test_the_features_of_a_caption_are_what_they_are_called():
    features = dict(zip(FEATURES, caption_features(BEAMS, CONTEXT, USUAL)[0], strict=True))
    assert features["log-probability a token"] == -3 / 4  # the end counts
    assert features["lead over the next beam"] == pytest.approx(-3 / 4 + 1)
    assert features["agreement with the other beams"] == pytest.approx((2 / 3 + 0) / 2)
    assert features["tokens"] == 3


def test_a_picture_unlike_the_usual_ones_is_stranger():
    near, far = (
        dict(zip(FEATURES, caption_features(BEAMS, c, USUAL)[0], strict=True)) for c in (CONTEXT, CONTEXT + 9)
    )
    assert far["strangeness of the picture"] > near["strangeness of the picture"] + 1
    flat = caption_features(BEAMS, np.ones((L, D)), USUAL)[0][FEATURES.index("variety of the picture")]
    assert flat < near["variety of the picture"] - 3
    assert confidence().of(BEAMS, CONTEXT)[0] > confidence().of(BEAMS, CONTEXT + 9)[0]


def test_every_beam_has_its_own_and_all_are_probabilities():
    for beams in (BEAMS, BEAMS[:1], [Generated((), -1e9, False)]):
        found = confidence().of(beams, CONTEXT * 1e6)
        assert len(found) == len(beams) and all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize(
    ("one", "other", "share"), [((1, 2), (2, 1), 1), ((1, 1), (1, 2), 0.5), ((1,), (2,), 0), ((), (), 0)]
)
def test_overlap_counts_the_words_in_common(one, other, share):
    first, second = Counter(one), Counter(other)
    assert overlap(first, second) == share == overlap(second, first)


def test_what_is_stored_is_read_and_says_the_same():
    told = json.loads(json.dumps(confidence(threshold=0.25).to_json()))
    read = Confidence.from_json(told, D)
    assert read.of(BEAMS, CONTEXT) == pytest.approx(confidence().of(BEAMS, CONTEXT), rel=1e-4)
    assert read.threshold == 0.25 and Confidence.from_json(None, D) is None


DAMAGES = {
    "a feature less": lambda told: told["features"].pop(),
    "other features": lambda told: told["features"].reverse(),
    "a weight less": lambda told: told["weights"].pop(),
    "a weight that is no number": lambda told: told["weights"].__setitem__(0, "x"),
    "NaN": lambda told: told["weights"].__setitem__(0, float("nan")),
    "no bias": lambda told: told.pop("bias"),
    "a scale of 0": lambda told: told["scale"].__setitem__(0, 0),
    "another width": lambda told: told["usual"]["mean"].append(0.0),
    "a list for all": lambda told: told.__setitem__("usual", []),
    "a threshold above 1": lambda told: told.__setitem__("threshold", 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_one_line(damage):
    told = confidence().to_json()
    DAMAGES[damage](told)
    with pytest.raises(UserError, match=r"confidence: .*calibrate the model anew") as caught:
        Confidence.from_json(told, D)
    assert "\n" not in str(caught.value)
