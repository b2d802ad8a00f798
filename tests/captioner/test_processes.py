"""Several processes teach a captioner what one does, in every phase."""

import json

import pytest

from tests.helpers.torchrun import run
from tests.textgen.training.test_processes import log_of, same

pytestmark = pytest.mark.slow  # starts processes that train


def flags(settings):
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_two_processes_learn_what_one_does(shapes, tiny_settings, tmp_path):
    """To 1e-4, in float32 and at a tiny rate of self-critical training.

    In bfloat16, which `auto` may be, losses were apart by 7e-4 to 3e-2 from the first epoch on: its rounding depends on how the
    rows are shared out. The tiny rate keeps weights that differ by rounding from drawing another word in a sample, after
    which self-critical losses were apart by 2e-3.
    """
    settings = {**tiny_settings, "epochs": 2, "batch": 7, "dropout": 0.3, "feature_dropout": 0.2}
    settings |= {"precision": "float32", "graphs": "none", "scst_encoder_rate": 1e-6}
    for count, name in ((1, "one"), (2, "two")):
        said = run(count, "captioner", "train", shapes, *flags(settings), "--out", tmp_path / name)
        assert said.count("the model is in") == 1
    one, two = (log_of(tmp_path / name) for name in ("one", "two"))
    assert [line["phase"] for line in two] == ["cross-entropy"] * 2 + ["fine-tuning", "self-critical"]
    same(two, one)
    averaged = {
        "--epochs": 0,
        "--finetune-epochs": 0,
        "--graphs": "none",
        "--encoder-weights": settings["encoder_weights"],
    }
    words = [str(word) for pair in averaged.items() for word in pair]
    start = ["--start-from", tmp_path / "one", "--average-with", tmp_path / "two", "--out", tmp_path / "mean"]
    run(2, "captioner", "train", shapes, *words, *start)
    done = json.loads((tmp_path / "mean" / "training" / "averaging" / "done.json").read_text())
    assert done["score"] == pytest.approx(max(line["score"] for line in one), abs=1e-3)
