"""Calibration: what is fitted ranks right before wrong, is judged on what it was not fitted on, and is kept in the model."""

import html
import json
import shutil

import numpy as np
import pytest

from captioner import Captioner
from captioner.calibrate import _by_folds, _fit, _judged, calibrate
from captioner.cli import main
from captioner.network.confidence import FEATURES, Usual
from captioner.training.odd_pictures import odd_pictures
from tests.conftest import draw
from tests.helpers.command_lines import run_command
from textgen.errors import UserError

USUAL = Usual(np.zeros(3), np.ones(3))


def drawn(count, seed=0):
    """Features of which the first tells right from wrong, by a known probability."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(FEATURES)))
    probability = 1 / (1 + np.exp(-1.5 * features[:, 0]))
    return features, rng.random(count) < probability, probability


def test_the_fit_finds_the_probabilities_that_labels_were_drawn_by():
    features, labels, probability = drawn(20_000)
    fitted = _fit(features, labels, USUAL, 0.5)
    assert np.abs(fitted.probability(features) - probability).mean() < 0.02


def test_folds_are_judged_by_fits_on_the_others():
    """Of labels that features say nothing of, a fit on all learns a little by heart; folds do not."""
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(60, len(FEATURES))), rng.random(60) < 0.5
    own = _fit(features, labels, USUAL, 0.5).probability(features)
    others = _by_folds(features, labels, USUAL)
    assert np.corrcoef(own, labels)[0, 1] > np.corrcoef(others, labels)[0, 1] + 0.1


def test_the_figures_are_their_definitions():
    sure = np.array([0.9, 0.8, 0.3, 0.2, 0.85, 0.1])
    right = np.array([True, True, False, True, False, False])
    scores = np.array([100.0, 90, 10, 60, 20, 0])
    found = _judged(sure, right, scores, np.array([0.05, 0.4]), 0.25)
    pairs = [(a, b) for a in sure[right] for b in sure[~right]]
    assert found.auroc == pytest.approx(np.mean([a > b for a, b in pairs]), abs=1e-4)
    ordered = right[np.argsort(-sure)]
    assert found.risk == pytest.approx(np.mean([1 - ordered[: k + 1].mean() for k in range(6)]), abs=1e-4)
    assert found.cider == pytest.approx(scores.mean(), abs=0.01)
    assert found.cider_of_surest == pytest.approx(scores[[0, 4, 1, 2]].mean(), abs=0.01)
    shares, rights, ciders = zip(*found.coverage, strict=True)
    assert shares == tuple(tenth / 10 for tenth in range(1, 11))
    assert rights[0] == 1.0 and ciders[0] == 100  # the surest one
    assert rights[4] == pytest.approx(2 / 3, abs=1e-4) and ciders[4] == 70  # three of six
    assert rights[-1] == 0.5 and ciders[-1] == found.cider
    assert found.unsure_photos == pytest.approx(2 / 6, abs=1e-4) and found.unsure_odd == 0.5
    assert sum(count for _, _, count in found.reliability) == 6


def test_odd_pictures_are_all_kinds_and_the_same_each_time():
    first, again = odd_pictures(12, 64, seed=3), odd_pictures(12, 64, seed=3)
    assert first.shape == (12, 64, 64, 3) and first.dtype == np.uint8 and np.array_equal(first, again)
    assert len({picture.tobytes() for picture in first}) > 10


@pytest.fixture(scope="module")
def calibrated(tiny_model, shapes, tmp_path_factory):
    """The tiny model, calibrated on its own dev pictures many times over: eight are too few."""
    root = tmp_path_factory.mktemp("calibrated")
    folder = shutil.copytree(tiny_model, root / "model", ignore=shutil.ignore_patterns("training"))
    (root / "data").mkdir()
    lines = ["image,caption,split", "t.png,a red circle,train"]
    draw("red", "circle").save(root / "data" / "t.png")
    rng = np.random.default_rng(0)
    for n in range(60):
        colour, shape = rng.choice(["red", "green", "blue"]), rng.choice(["circle", "square"])
        draw(colour, shape, offset=int(rng.integers(-9, 9))).save(root / "data" / f"{n}.png")
        lines += [
            f"{n}.png,A {colour} {shape} on grey paper .,dev",
            f"{n}.png,There is a {colour} {shape} .,dev",
        ]
    (root / "data" / "captions.csv").write_text("\n".join(lines) + "\n")
    before = json.loads((folder / "model.json").read_text())
    return folder, root / "data", before, calibrate(folder, [root / "data"])


def test_the_model_says_how_sure_it_is_and_is_otherwise_as_before(calibrated, tiny_model):
    folder, data, before, found = calibrated
    header = json.loads((folder / "model.json").read_text())
    assert {**header, "confidence": None} == {**before, "confidence": None}
    assert header["confidence"]["dev"]["photos"] == found.photos == 60
    old, new = Captioner.load(tiny_model, "torch"), Captioner.load(folder, "torch")
    for path in sorted(data.glob("*.png"))[:5]:
        was, now = old.caption(path, n=3), new.caption(path, n=3)
        assert [caption.text for caption in was] == [caption.text for caption in now]
        assert all(caption.confidence is None and not caption.unsure for caption in was)
        assert all(0 <= caption.confidence <= 1 for caption in now)
        assert all(caption.unsure == (caption.confidence < found.threshold) for caption in now)
        alone = new.caption(path)[0]
        assert alone.confidence == pytest.approx(now[0].confidence)
        assert new.caption(path, temperature=1.0, seed=1)[0].confidence is None


def test_the_command_line_prints_it(calibrated, capsys):
    folder, data, *_ = calibrated
    status, out, _ = run_command(main, capsys, "caption", data / "1.png", "--model", folder, "--confidence")
    assert status == 0 and 0 <= float(out.split()[0]) <= 1
    document = json.loads(
        run_command(main, capsys, "caption", data / "1.png", "--model", folder, "--json")[1]
    )
    caption = document["photos"][0]["captions"][0]
    assert 0 <= caption["confidence"] <= 1 and isinstance(caption["unsure"], bool)


def test_its_page_is_one_file_with_both_plots(calibrated, tmp_path, capsys):
    folder, data, *_ = calibrated
    page = tmp_path / "sure.html"
    status, out, _ = run_command(main, capsys, "calibrate", folder, data, "--report", page)
    text = page.read_text("utf-8")
    assert status == 0 and text.count("<svg") == 2 and "http" not in text.split("</head>")[1]
    for line in out.splitlines()[:6]:
        assert html.escape(line) in text
    status, out, err = run_command(main, capsys, "calibrate", folder, data, "--report", tmp_path / "sure.png")
    assert (status, out) == (2, "") and "--report" in err and err.count("\n") == 1


def test_a_model_without_it_and_sampling_are_told(tiny_model, calibrated, capsys):
    folder, data, *_ = calibrated
    for options, said in (
        (["--model", tiny_model], "was not calibrated"),
        (["--model", folder, "--temperature", 1], "sampled captions have none"),
    ):
        status, out, err = run_command(main, capsys, "caption", data / "1.png", "--confidence", *options)
        assert (status, out) == (2, "") and said in err and err.count("\n") == 1


def test_too_few_photos_are_refused(tiny_model, shapes):
    with pytest.raises(UserError, match="8 dev pictures are too few"):
        calibrate(tiny_model, [shapes])
