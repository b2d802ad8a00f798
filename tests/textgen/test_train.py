"""Training a text model: straight through or torn and resumed, of every kind, and what it leaves behind."""

import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import textgen.train
from tests.helpers.step_models import build
from tests.helpers.text_models import TINY, lines, same_numbers, story
from textgen.decoding.likelihood import Score
from textgen.errors import Interrupted, UserError
from textgen.generator import TextGenerator
from textgen.rows import Rows
from textgen.text.batches import LineBatches, StreamBatches, TextBatch
from textgen.text.corpus import load_corpus
from textgen.train import _Loss, train
from textgen.training.config import TrainConfig

pytestmark = pytest.mark.slow  # trains

FAST = replace(TINY, hidden=16, embedding=8, epochs=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "story.txt").write_text(story(15))
    (folder / "lines.txt").write_text(lines(90))
    rows = [f'{n},"{line}",{line.split()[0]}' for n, line in enumerate(lines(90).splitlines())]
    (folder / "table.csv").write_text("id,said,colour\n" + "\n".join(rows) + "\n")
    return folder


def log_of(out):
    """The lines of a run's log, less what depends on the machine."""
    rows = [json.loads(line) for line in (out / "training" / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "peak_memory_gb")} for row in rows]


def header_of(out):
    return json.loads((out / "model.json").read_text())


# --- torn and resumed (promise 3, row 15)

TORN = {
    "stream": ("story.txt", replace(FAST, layers=2, dropout=0.3, recurrent_dropout=0.2)),
    "gru": ("story.txt", replace(FAST, cell="gru", ema=0.0)),
    "lines": ("lines.txt", replace(FAST, lines=True, dropout=0.3)),
}


@pytest.fixture(scope="module", params=TORN)
def straight(request, files, tmp_path_factory):
    """A run that nothing stops."""
    name, config = TORN[request.param]
    out = tmp_path_factory.mktemp("straight") / request.param
    train([files / name], out, config)
    return files / name, config, out


def stopping_at(monkeypatch, step):
    """SIGTERM comes in `step` of the run."""
    for kind in (StreamBatches, LineBatches):

        def epoch(batches, epoch, start, real=kind.epoch):
            for position, batch in enumerate(real(batches, epoch, start), start):
                if epoch * len(batches) + position == step:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

        monkeypatch.setattr(kind, "epoch", epoch)


@pytest.mark.parametrize("step", [0, 4, 7, 8, 13])
def test_a_run_stopped_at_a_step_and_resumed_is_the_run_straight_through(
    straight, tmp_path, monkeypatch, step
):
    path, config, expected = straight
    with monkeypatch.context() as patch:
        stopping_at(patch, step)
        with pytest.raises(Interrupted, match="--resume"):
            train([path], tmp_path / "out", config)
    assert TextGenerator.load(tmp_path / "out").generate(length=3)[0].text  # there is a model already
    train([path], tmp_path / "out", TrainConfig(), resume=True)  # with the run's own settings
    assert same_numbers(tmp_path / "out", expected)
    assert log_of(tmp_path / "out") == log_of(expected)
    assert header_of(tmp_path / "out") == header_of(expected)


def test_a_model_of_before_the_first_evaluation_says_so(files, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_at(patch, 1)
        with pytest.raises(Interrupted):
            train([files / "story.txt"], tmp_path, FAST)
    assert header_of(tmp_path)["provenance"]["held_out"] == {}
    assert "Interrupted before its first evaluation." in (tmp_path / "README.md").read_text()


def test_a_resumed_run_keeps_the_command_that_began_it(files, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["textgen", "train", "my story.txt"])
    with monkeypatch.context() as patch:
        stopping_at(patch, 1)
        with pytest.raises(Interrupted):
            train([files / "story.txt"], tmp_path, FAST)
    monkeypatch.setattr(sys, "argv", ["textgen", "train", "--resume"])
    train([files / "story.txt"], tmp_path, FAST, resume=True)
    assert header_of(tmp_path)["provenance"]["command"] == "textgen train 'my story.txt'"


def test_a_run_in_use_is_refused_and_other_data_cannot_resume_it(straight, files, tmp_path):
    path, config, out = straight
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"already holds a model or a run; give another --out, or --resume"):
        train([path], out, config)
    (tmp_path / "other.txt").write_text(story(20, seed=9))
    with pytest.raises(UserError, match="not the data"):
        train([tmp_path / "other.txt"], out, config, resume=True)
    train([path], out, config, resume=True)  # a run that has ended stays as it is
    assert (out / "model.safetensors").read_bytes() == before


# --- the state that is carried on


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_two_windows_with_the_state_carried_on_are_one_of_double_length(cell):
    decoder, ids = build(4, context=False, cell=cell), np.random.default_rng(0).integers(4, 9, (3, 11))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    halves, whole = _Loss(decoder, torch.device("cpu")), _Loss(decoder, torch.device("cpu"))
    first, _ = halves(TextBatch(inputs[:, :5], targets[:, :5], True, Rows(0, 3, 3)), 0)
    second, _ = halves(TextBatch(inputs[:, 5:], targets[:, 5:], False, Rows(0, 3, 3)), 1)
    both, _ = whole(TextBatch(inputs, targets, True, Rows(0, 3, 3)), 0)
    assert torch.allclose((first + second) / 2, both, atol=1e-5)
    for one, other in zip(halves.state_dict()["layers"], whole.state_dict()["layers"], strict=True):
        assert torch.allclose(torch.stack(one), torch.stack(other), atol=1e-5)
        assert not any(state.requires_grad for state in one)
    again, _ = halves(TextBatch(inputs[:, :5], targets[:, :5], True, Rows(0, 3, 3)), 2)
    assert torch.equal(again, first)  # a fresh window knows of nothing before it


def test_a_loss_that_is_nan_does_not_poison_the_state_carried_on():
    decoder, ids = build(4, context=False), np.random.default_rng(0).integers(4, 9, (3, 11))
    loss = _Loss(decoder, torch.device("cpu"))
    batch = TextBatch(ids[:, :-1], ids[:, 1:], False, Rows(0, 3, 3))
    fresh, _ = loss(replace(batch, fresh=True), 0)
    weights = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    decoder.layers[0].weight_hh_l0.data.fill_(float("nan"))
    assert not torch.isfinite(loss(batch, 1)[0])
    decoder.load_state_dict(weights)
    assert torch.equal(loss(batch, 2)[0], fresh)


def test_a_step_whose_loss_is_nan_is_skipped_and_counted(files, tmp_path, monkeypatch):
    real, calls = F.cross_entropy, []

    def cross_entropy(*arguments, **options):
        calls.append(1)
        return real(*arguments, **options) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    train([files / "story.txt"], tmp_path, FAST)
    assert [row["skipped_steps"] for row in log_of(tmp_path)] == [1, 0]
    assert all(np.isfinite(row["loss"]) and np.isfinite(row["nats"]) for row in log_of(tmp_path))


# --- every kind of model

VARIANTS = {
    "lstm": ("story.txt", {}),
    "gru": ("story.txt", {"cell": "gru"}),
    "rnn": ("story.txt", {"cell": "rnn", "learning_rate": 5e-3}),
    "four layers": ("story.txt", {"layers": 4, "recurrent_dropout": 0.1}),
    "one-hot": ("story.txt", {"embedding": 0}),
    "rare characters": ("story.txt", {"min_count": 20}),
    "wide batch": ("story.txt", {"batch": 10_000}),
    "words": ("story.txt", {"level": "word", "sequence": 9}),
    "few words": ("story.txt", {"level": "word", "sequence": 9, "vocabulary": 12}),
    "lines": ("lines.txt", {"lines": True}),
    "lines of words": ("lines.txt", {"lines": True, "level": "word"}),
    "columns by name": ("table.csv", {"columns": ("colour", "said")}),
    "columns by number": ("table.csv", {"columns": ("2",), "level": "word"}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_learns_and_its_stored_model_is_as_good_as_it_says(files, tmp_path, name):
    file, settings = VARIANTS[name]
    best = train([files / file], tmp_path, replace(FAST, **settings))
    rows, header = log_of(tmp_path), header_of(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]
    row = max(rows, key=lambda row: row["score"])
    assert header["provenance"]["held_out"] == best == {name: row[name] for name in best}
    assert best["perplexity"] == pytest.approx(np.exp(best["nats"]))
    model = TextGenerator.load(tmp_path)
    options = {"lines": model.lines, "columns": settings.get("columns", ())}
    held_out = load_corpus([files / file], whole_words=settings.get("level") == "word", **options).held_out
    # float16 loses hardly anything.
    assert model.score(held_out).nats_per_token == pytest.approx(best["nats"], abs=2e-3)
    texts = [text for of_prompt in model.generate(["", "red"], n=2, length=9) for text in of_prompt]
    assert all(text.finished or len(text.ids) == 9 for text in texts)
    assert model.lines == (file != "story.txt")
    # Only a stream, in which something may be quoted, has an index.
    assert (model.copied is None) == model.lines


def test_one_hot_input_is_an_identity_that_is_not_trained(files, tmp_path):
    train([files / "story.txt"], tmp_path, replace(FAST, embedding=0))
    decoder = TextGenerator.load(tmp_path).model._decoder
    assert torch.equal(decoder.embedding.weight, torch.eye(decoder.config.vocab_size))
    assert not decoder.config.tie_embeddings and decoder.config.one_hot


def test_lines_that_are_too_long_are_cut_and_said(files, tmp_path, capsys):
    train([files / "lines.txt"], tmp_path, replace(FAST, lines=True, max_line=5))
    assert "81 of 81 lines are longer than 5 tokens and are cut (--max-line)" in capsys.readouterr().err


# --- what is kept


def test_the_model_of_the_best_evaluation_is_kept(files, tmp_path, monkeypatch):
    nats, kept = [300.0, 100.0, 200.0], []

    def score(*arguments):
        kept.append((tmp_path / "model.safetensors").read_bytes() if kept else b"")
        return Score(nats[len(kept) - 1], 100, 100, 0, 20)

    monkeypatch.setattr(textgen.train, "score", score)
    best = train([files / "story.txt"], tmp_path, replace(FAST, epochs=3))
    assert best["nats"] == header_of(tmp_path)["provenance"]["held_out"]["nats"] == 1.0
    assert kept[1] != kept[2] == (tmp_path / "model.safetensors").read_bytes()
    assert "| 1.0000 | 2.72 | 1.443 |" in (tmp_path / "README.md").read_text()


def test_a_budget_of_minutes_ends_near_it_and_writes_a_model(files, tmp_path):
    train([files / "story.txt"], tmp_path, replace(FAST, minutes=0.02, epochs=1))
    rows = [json.loads(line) for line in (tmp_path / "training" / "log.jsonl").read_text().splitlines()]
    assert len(rows) > 1 and sum(row["seconds"] for row in rows[:-1]) < 1.2  # judging counts, too
    assert TextGenerator.load(tmp_path).generate(length=3)


def test_the_card_states_command_data_split_figures_and_notes(files, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/textgen", "train", "story.txt", "--hidden", "16"])
    (tmp_path / "NOTES.md").write_text("It knows *nothing* of boats.\n")
    best = train(
        [files / "story.txt"], tmp_path / "out", replace(FAST, notes=tmp_path / "NOTES.md", held_out=0.2)
    )
    provenance, card = header_of(tmp_path / "out")["provenance"], (tmp_path / "out" / "README.md").read_text()
    stated = [provenance["data_hash"], "story.txt", "last 20 % of the characters", f"{best['nats']:.4f}"]
    stated += ["    textgen train story.txt --hidden 16\n", "1 x LSTM 16", "*nothing* of boats.", "seed 1"]
    assert all(part in card for part in stated), card
    assert len(provenance["data_hash"]) == 64
    assert str(tmp_path) not in card + json.dumps(provenance)  # where files lie is nobody's concern
    assert provenance["settings"] == {**asdict(FAST), "notes": "NOTES.md", "held_out": 0.2, "columns": []}


# --- what is refused


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("To be, or not to be", {}, "sequence: the corpus has 17 tokens"),
        ("a", {}, "corpus: too short"),
        ("one line\n", {"lines": True}, "corpus: too short"),
        ("one two three\n", {"level": "word", "held_out": 0.01}, "text: is empty"),
        ("x" * 999, {"precision": "float16"}, "precision: unknown 'float16'"),
        ("x" * 999, {"device": "abacus"}, "device: unknown 'abacus'"),
        ("x" * 999, {"cell": "lstn"}, "cell: unknown 'lstn'"),
        ("x" * 999, {"layers": 5}, "num_layers: 5"),
        ("x" * 999, {"dropout": 1.0}, "dropout: 1.0"),
        ("x" * 999, {"notes": Path("/nowhere/NOTES.md")}, "/nowhere/NOTES.md: cannot be read"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_no_run_behind(tmp_path, text, settings, message):
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(UserError, match=rf"\A{message}[^\n]*\Z"):
        train([tmp_path / "text.txt"], tmp_path / "out", replace(FAST, **settings))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, 0) for name in ("vocabulary", "min_count", "sequence", "max_line", "batch", "epochs")]
    + [(name, value) for name in ("minutes", "learning_rate", "weight_decay") for value in (-1, float("nan"))]
    + [("held_out", value) for value in (0, 1, -0.1, float("nan"))]
    + [("ema", 1), ("ema", -1), ("embedding", -1), ("patience", -1), ("level", "sentence"), ("seed", -1)],
)
def test_settings_out_of_range_are_one_line_that_names_them(name, value):
    with pytest.raises(UserError, match=rf"\A{name}: [^\n]+\Z"):
        TrainConfig(**{name: value})
