"""Training keeps its promises: it learns, resumes bit for bit, and stops without losing anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from captioner import Captioner
from captioner.data.examples import load_dataset
from captioner.evaluate import evaluate
from captioner.metrics import SCORES
from captioner.network.decoding_config import DecodingConfig
from captioner.train import train
from captioner.training.config import TrainConfig
from tests.conftest import world
from textgen.errors import Interrupted, UserError
from textgen.rows import Rows
from textgen.text.tokenizer import BOS, EOS, PAD, UNK
from textgen.training.runs import RunFolder

ALL = Rows(0, 1, 1)  # this process has all of a batch
pytestmark = pytest.mark.slow  # trains

SCRIPT = """
import json, sys
from pathlib import Path
from captioner.train import train
from captioner.training.config import TrainConfig
settings = json.loads(sys.argv[3])
settings["encoder_weights"] = Path(settings["encoder_weights"])
train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig(**settings), resume=len(sys.argv) > 4)
"""


@pytest.fixture(scope="module")
def short(tiny_settings) -> TrainConfig:
    """Two epochs of each phase."""
    return TrainConfig(**{**tiny_settings, "epochs": 2, "finetune_epochs": 2, "scst_epochs": 2})


@pytest.fixture(scope="module")
def uninterrupted(shapes, short, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "straight"
    train(shapes, folder, short)
    return folder


def final_state(run: Path, phase: str = "self-critical") -> dict:
    return torch.load(run / "training" / phase / "last.pt", weights_only=True)["model"]


def assert_same_run(one: Path, other: Path) -> None:
    first, second = final_state(one), final_state(other)
    assert all(torch.equal(first[name], second[name]) for name in first)
    left, right = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert all((left[name] == right[name]).all() for name in left)


def test_the_tiny_model_has_learned_its_pictures(tiny_model):
    lines = [json.loads(line) for line in (tiny_model / "training" / "log.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["cross-entropy"] * 22 + ["fine-tuning", "self-critical"]
    assert lines[21]["loss"] < lines[0]["loss"] / 2
    # A caption that ignores the picture gets at most 164 here.
    assert max(line["CIDEr"] for line in lines) > 200


def test_the_same_seed_trains_the_same_model(shapes, short, uninterrupted, tmp_path):
    train(shapes, tmp_path / "again", short)
    assert_same_run(uninterrupted, tmp_path / "again")


@pytest.mark.parametrize("seconds_of_work", [0.3, 1.2])
def test_resume_after_kill_9_equals_the_uninterrupted_run(
    shapes, short, uninterrupted, tmp_path, seconds_of_work
):
    out = tmp_path / "killed"
    settings = {**vars(short), "encoder_weights": str(short.encoder_weights), "save_minutes": 0.0}
    command = [sys.executable, "-c", SCRIPT, str(shapes), str(out), json.dumps(settings)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "training" / "cross-entropy" / "last.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(seconds_of_work)
    process.send_signal(signal.SIGKILL)
    process.wait()
    train(shapes, out, short, resume=True)
    assert_same_run(uninterrupted, out)


@pytest.mark.parametrize("phase", ["cross-entropy", "fine-tuning", "self-critical"])
def test_sigterm_saves_at_the_step_and_resume_goes_on(
    shapes, short, uninterrupted, tmp_path, monkeypatch, phase
):
    import captioner.training.phases as phases

    real, steps = phases.fit, []

    def fit(model, groups, batches, loss, *arguments, **options):
        def counted(batch, step):
            if options["label"] == phase and step == 3 and not steps:
                steps.append(step)
                os.kill(os.getpid(), signal.SIGTERM)
            return loss(batch, step)

        return real(model, groups, batches, counted, *arguments, **options)

    monkeypatch.setattr(phases, "fit", fit)
    with pytest.raises(Interrupted, match="--resume"):
        train(shapes, tmp_path / "run", short)
    assert (tmp_path / "run" / "model.json").exists()
    train(shapes, tmp_path / "run", short, resume=True)
    assert_same_run(uninterrupted, tmp_path / "run")


def test_training_from_a_model_keeps_its_vocabulary_and_never_leaves_a_worse_one(
    tiny_model, shapes, tiny_settings, tmp_path, capsys
):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 1, "scst_epochs": 0, "finetune_rate": 1.0}
    metrics = train(shapes, tmp_path / "next", TrainConfig(**settings, start_from=tiny_model))
    before = json.loads((tiny_model / "model.json").read_text())
    after = json.loads((tmp_path / "next" / "model.json").read_text())
    assert after["vocabulary"] == before["vocabulary"]
    assert after["provenance"]["started_from"] == before["provenance"]
    # A rate of 1 ruins the weights: the start is what stays, and that is told.
    assert metrics == after["provenance"]["dev"]["start"]
    assert "no epoch was better than the model that it started from" in capsys.readouterr().err
    config = TrainConfig(**settings, start_from=tiny_model, beat_start=False)
    worse = train(shapes, tmp_path / "worse", config)
    kept = json.loads((tmp_path / "worse" / "model.json").read_text())["provenance"]["dev"]
    assert worse == kept["fine-tuning"] and worse["score"] < kept["start"]["score"]


def test_the_start_of_a_run_is_judged_as_people_use_it(tiny_model, shapes, tiny_settings, tmp_path):
    settings = {
        **tiny_settings,
        "epochs": 0,
        "finetune_epochs": 0,
        "feature_dropout": 0.5,
        "start_from": tiny_model,
    }
    train(shapes, tmp_path / "next", TrainConfig(**settings))
    start = json.loads((tmp_path / "next" / "training" / "start.json").read_text())
    report, _ = evaluate(Captioner.load(tiny_model), load_dataset(shapes), "dev", DecodingConfig())
    assert start["CIDEr"] == round(report["CIDEr"], 2)


def test_self_critical_training_raises_its_reward(tiny_model, shapes, tiny_settings, tmp_path):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "scst_epochs": 15, "scst_samples": 5}
    train(shapes, tmp_path / "next", TrainConfig(**{**settings, "scst_rate": 5e-3, "start_from": tiny_model}))
    lines = (tmp_path / "next" / "training" / "log.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward"] for line in lines]
    assert sum(rewards[-3:]) / 3 > 1.5 * rewards[0]


def test_averaging_keeps_the_share_that_is_best_on_dev(
    tiny_model, uninterrupted, shapes, tiny_settings, tmp_path
):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "scst_epochs": 0}
    config = TrainConfig(**settings, start_from=tiny_model, average_with=uninterrupted)
    best = train(shapes, tmp_path / "next", config)
    done = json.loads((tmp_path / "next" / "model.json").read_text())["provenance"]["dev"]
    lines = [
        json.loads(line) for line in (tmp_path / "next" / "training" / "log.jsonl").read_text().splitlines()
    ]
    assert len(lines) == 9 and best["score"] == max(line["score"] for line in [*lines, done["start"]])


def test_models_of_other_sizes_cannot_be_averaged(tiny_model, shapes, tiny_settings, tmp_path):
    other = {**tiny_settings, "hidden": 16, "epochs": 1, "finetune_epochs": 0, "scst_epochs": 0}
    train(shapes, tmp_path / "other", TrainConfig(**other))
    settings = {
        **tiny_settings,
        "epochs": 0,
        "finetune_epochs": 0,
        "scst_epochs": 0,
        "start_from": tiny_model,
    }
    with pytest.raises(UserError, match="--average-with"):
        train(shapes, tmp_path / "next", TrainConfig(**settings, average_with=tmp_path / "other"))


def test_self_critical_training_gives_nothing_to_tokens_that_are_never_sampled(
    tiny_model, shapes, tiny_settings, tmp_path, monkeypatch
):
    import captioner.training.phases as phases

    gradients = []

    def fit(model, groups, batches, loss, *arguments, evaluate, **options):
        value, _ = loss(next(iter(batches.epoch(0, 0))), 0)
        value.backward()
        gradients.append(model.decoder.output_bias.grad)
        return evaluate()

    monkeypatch.setattr(phases, "fit", fit)
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "start_from": tiny_model}
    train(shapes, tmp_path / "next", TrainConfig(**settings))
    assert gradients[0][[PAD, BOS, UNK]].tolist() == [0, 0, 0]
    assert (gradients[0][EOS:][[0, *range(2, 8)]] != 0).all()


def test_a_resumed_run_leaves_the_best_model_of_before_the_interruption(
    tiny_model, shapes, tiny_settings, tmp_path, monkeypatch
):
    import captioner.training.phases as phases

    scores = iter([10.0, 30.0, 20.0])  # the start, then two epochs with an interruption between them

    def evaluate(run, contexts):
        return {
            **dict.fromkeys(SCORES, 0.0),
            "score": next(scores),
        }

    monkeypatch.setattr(phases, "evaluate", evaluate)
    monkeypatch.setattr("captioner.train.evaluate", evaluate)
    settings = {
        **tiny_settings,
        "epochs": 0,
        "finetune_epochs": 2,
        "scst_epochs": 0,
        "start_from": tiny_model,
    }
    monkeypatch.setattr(RunFolder, "log", lambda folder, line: os.kill(os.getpid(), signal.SIGTERM))
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(shapes, out, TrainConfig(**settings))
    before = load_file(out / "model.safetensors")
    monkeypatch.setattr(RunFolder, "log", lambda folder, line: None)
    train(shapes, out, TrainConfig(**settings), resume=True)
    after = load_file(out / "model.safetensors")
    assert all((before[name] == after[name]).all() for name in before)
    assert list(json.loads((out / "model.json").read_text())["provenance"]["dev"]) == ["start", "fine-tuning"]


def test_a_folder_in_use_is_refused(shapes, short, uninterrupted):
    with pytest.raises(UserError, match="already holds a model"):
        train(shapes, uninterrupted, short)


def test_other_data_cannot_resume_a_run(short, uninterrupted, tmp_path):
    with pytest.raises(UserError, match="not the data"):
        train(world(tmp_path / "other", copies=3), uninterrupted, short, resume=True)


def test_nothing_to_train_is_an_error(shapes, short, tmp_path):
    with pytest.raises(UserError, match="nothing to train"):
        train(shapes, tmp_path / "run", replace(short, epochs=0, finetune_epochs=0, scst_epochs=0))
    assert not (tmp_path / "run").exists()


BROKEN = ("red-circle-1.png", "blue-square-2.png", "green-circle-0.png")  # two of train, one of dev


@pytest.fixture
def partly_broken(tmp_path):
    data = world(tmp_path / "data", copies=3)
    for name in BROKEN:
        path = data / "Images" / name
        path.write_bytes(path.read_bytes()[:60])
    return data


@pytest.mark.parametrize("phase", ["epochs", "finetune_epochs", "scst_epochs"])
def test_all_unreadable_pictures_are_named_before_an_epoch(partly_broken, short, tmp_path, phase):
    none = {"epochs": 0, "finetune_epochs": 0, "scst_epochs": 0}
    with pytest.raises(UserError) as caught:
        train(partly_broken, tmp_path / "run", replace(short, **none | {phase: 1}))
    said = str(caught.value)
    assert said.startswith("3 pictures cannot be read: ") and said.endswith("with --skip-bad")
    assert all(said.count(name) == 1 for name in BROKEN) and "\n" not in said
    assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_left_out_and_counted_when_asked(partly_broken, short, tmp_path, capsys):
    config = replace(short, skip_bad=True, epochs=1, finetune_epochs=1, scst_epochs=0)
    train(partly_broken, tmp_path / "run", config)
    said = capsys.readouterr().err
    assert "3 pictures cannot be read" in said and all(name in said for name in BROKEN)
    header = json.loads((tmp_path / "run" / "model.json").read_text())
    assert header["provenance"]["pictures"] == {"train": 14, "dev": 7}
    # Mended in between, they stay left out: a resumed run's batches are those that it began with.
    world(tmp_path / "whole", copies=3)
    for name in BROKEN:
        (partly_broken / "Images" / name).write_bytes((tmp_path / "whole" / "Images" / name).read_bytes())
    train(partly_broken, tmp_path / "run", config, resume=True)
    assert "3 pictures cannot be read" in capsys.readouterr().err


def test_two_data_sets_are_learnt_and_judged_together(shapes, tiny_settings, tmp_path):
    other = world(tmp_path / "others", copies=3, size=48)
    out = tmp_path / "model"
    settings = {**tiny_settings, "epochs": 1, "finetune_epochs": 0, "scst_epochs": 0, "average_with": None}
    metrics = train([shapes, other], out, TrainConfig(**settings))
    own = [metrics[f"{path.name} CIDEr"] for path in (shapes, other)]
    assert metrics["CIDEr"] == pytest.approx(sum(own) / 2, abs=0.02)
    provenance = json.loads((out / "model.json").read_text())["provenance"]
    counts = provenance["sources"][other.name]
    assert (
        counts["dev"] == 8 and 0 < counts["train"] < 16
    )  # less those that look like dev pictures of the first
    assert (
        sum(source["train"] for source in provenance["sources"].values()) == provenance["pictures"]["train"]
    )
    card = (out / "README.md").read_text()
    assert f"cross-entropy: {other.name} |" in card
    assert f"{other.name}: {counts['train']} train and 8 dev pictures" in card
