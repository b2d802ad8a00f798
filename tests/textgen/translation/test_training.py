"""Training a translator: resumable, judged by what it has not learnt, stored whole."""

import dataclasses
import json
import shutil

import pytest

from tests.helpers.command_lines import run_command
from tests.helpers.translators import TINY, exported, files, pairs, table, tokenizer, trained
from textgen.cli import main
from textgen.errors import UserError
from textgen.storage.bundle import read
from textgen.text.tokenizer import EOS, PAD
from textgen.translation.batches import PairBatches
from textgen.translation.copying import Renaming, unpacked_words
from textgen.translation.stored import BOX, KIND, load_model
from textgen.translation.training import train_pairs
from textgen.translation.training_config import PairsConfig
from textgen.translation.translator import Translator

SHORT = dataclasses.replace(TINY, epochs=2)


def test_batches_hold_every_pair_once_and_fit_the_number_of_tokens():
    batches = PairBatches(pairs(), tokenizer(), 120, 50, None, seed=1)
    for epoch in range(2):
        made = list(batches.epoch(epoch, 0))
        assert len(made) == len(batches) and sum(len(b.sources) for b in made) == len(pairs())
        said = sorted(tokenizer().decode(row) for b in made for row in b.sources)
        assert said == sorted(source for source, _ in pairs())
        assert all(max(b.sources.size, b.targets.size) <= 120 for b in made)
        for b in made:
            assert ((b.sources != PAD).sum(axis=1) == b.lengths).all()
            assert ((b.targets == EOS).sum(axis=1) == 1).all()


def test_an_epoch_goes_on_where_it_stopped():
    batches = PairBatches(pairs(), tokenizer(), 120, 50, Renaming(pairs(), 0.5), seed=1)
    whole, rest = list(batches.epoch(1, 0)), list(batches.epoch(1, 3))
    assert all((a.sources == b.sources).all() for a, b in zip(whole[3:], rest, strict=True))
    assert any(
        a.sources.shape != b.sources.shape or (a.sources != b.sources).any()
        for a, b in zip(whole, batches.epoch(2, 0), strict=False)
    )


def test_long_sentences_are_cut_and_have_no_end():
    batches = PairBatches([("a b c d e f", "g h i j k l")], tokenizer(), 100, 4, None, seed=1)
    (batch,) = batches.epoch(0, 0)
    assert batch.sources.shape == (1, 4) and batch.targets.shape == (1, 4) and EOS not in batch.targets


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch):
    train, dev = files()
    whole = train_pairs([train], [dev], tmp_path / "whole", SHORT)
    calls = iter(range(100))
    epoch = PairBatches.epoch

    def stopping(self, number, start):
        for batch in epoch(self, number, start):
            if next(calls) == 9:
                raise UserError("the disk is gone")
            yield batch

    monkeypatch.setattr(PairBatches, "epoch", stopping)
    with pytest.raises(UserError, match="continue with --resume"):
        train_pairs([train], [dev], tmp_path / "resumed", SHORT)
    monkeypatch.setattr(PairBatches, "epoch", epoch)
    assert train_pairs([train], [dev], tmp_path / "resumed", SHORT, resume=True) == whole
    first, second = (read(tmp_path / name, KIND).weights for name in ("whole", "resumed"))
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.slow
def test_a_run_goes_on_from_a_trained_model_with_its_words_and_sizes(tmp_path, capsys):
    _, dev = files()
    more = tmp_path / "more.tsv"
    more.write_text(table([("Quixote sinks.", "Sinkt Quixote."), *pairs()[16:40]]))
    other = dataclasses.replace(
        SHORT, start_from=trained(), hidden=PairsConfig.hidden, layers=2, vocabulary=8000, learning_rate=1e-4
    )
    before = read(trained(), KIND)
    metrics = train_pairs([more], [dev], tmp_path / "next", other)
    after = read(tmp_path / "next", KIND)
    assert after.header["config"] == before.header["config"]
    assert after.header["vocabulary"] == before.header["vocabulary"]
    assert unpacked_words(before.header["words"]) | {"quixote"} == unpacked_words(after.header["words"])
    settings = after.header["provenance"]["settings"]
    assert (settings["hidden"], settings["vocabulary"]) == (TINY.hidden, len(tokenizer()))
    assert after.header["provenance"]["started_from"] == before.header["provenance"]
    start = before.header["provenance"]["dev"]["data"]["dev.tsv"]["BLEU"]
    assert f"before training: BLEU {start:.1f}" in capsys.readouterr().err
    assert metrics["score"] > start - 5  # a small rate does not ruin what was learnt
    commands = [
        line for line in (tmp_path / "next" / "README.md").read_text().splitlines() if line.startswith("    ")
    ]
    assert len(commands) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"hidden": 16}, "hidden: the model to start from has 32, not 16; leave it out"),
        ({"languages": ("a", "b")}, "languages: the model to start from has English Other, not a b"),
        ({"attention": False}, "attention: the model to start from has True, not False"),
        ({"vocabulary": 300}, "vocabulary"),
        ({"dropout": 0.5}, "dropout"),
        ({"encoder_layers": 3}, "encoder_layers: .* has 1, not 3"),
    ],
)
def test_what_contradicts_the_model_to_start_from_is_refused(tmp_path, asked, message):
    train, dev = files()
    with pytest.raises(UserError, match=message):
        train_pairs(
            [train], [dev], tmp_path / "next", dataclasses.replace(TINY, start_from=trained(), **asked)
        )
    assert not (tmp_path / "next").exists()


@pytest.mark.slow
def test_what_it_is_judged_by_is_not_learnt(tmp_path, capsys):
    train, dev = tmp_path / "train.tsv", tmp_path / "dev.tsv"
    train.write_text(table([*pairs()[:60], ("THE RED BOAT, sinks", "x")]))
    dev.write_text(
        table([("The red boat sinks.", "Sinkt das Boot rot."), ("The red boat sinks.", "Es sinkt.")])
    )
    train_pairs([train], [dev], tmp_path / "model", dataclasses.replace(SHORT, epochs=1))
    header = json.loads((tmp_path / "model" / "model.json").read_text())
    assert header["provenance"]["pairs"]["train"] <= 60
    assert "whose sentence is among those to judge by" in capsys.readouterr().err
    assert set(header["provenance"]["dev"]["data"]) == {"dev.tsv"}


@pytest.mark.slow
def test_the_model_says_where_it_comes_from():
    card = (trained() / "README.md").read_text()
    assert "# Translator, English to Other" in card and "| dev.tsv |" in card and "nrefs:" in card
    summary = BOX.summary(json.loads((trained() / "model.json").read_text()))
    assert (
        "English to Other" in summary.line
        and summary.data == "train.tsv"
        and summary.figures[0][0] == "greedy BLEU, dev.tsv"
    )
    assert read(exported("int8"), KIND).header["graphs"]["precision"] == "int8"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["config"].pop("encoder"), "damaged: 'encoder'"),
        (lambda h: h["config"].pop("decoder"), "damaged: 'decoder'"),
        (lambda h: h["config"].pop("languages"), "damaged: 'languages'"),
        (lambda h: h["config"]["decoder"].pop("vocab_size"), "'vocab_size'"),
        (
            lambda h: h["config"]["encoder"].update(hidden_size=7),
            "the decoder's context is not what the encoder gives",
        ),
        (lambda h: h["config"]["decoder"].update(context_lengths=False), "the decoder's context is not"),
        (lambda h: h["config"].update(languages=["English"]), "languages must be two names"),
        (lambda h: h.update(vocabulary={"kind": "char", "tokens": ["a"]}), "a translator has subwords"),
        (lambda h: h.update(kind="textgen"), "a model of kind 'textgen', not 'translator'"),
    ],
)
def test_a_damaged_model_is_named(tmp_path, change, message):
    folder = shutil.copytree(exported(), tmp_path / "model")
    header = json.loads((folder / "model.json").read_text())
    change(header)
    (folder / "model.json").write_text(json.dumps(header))
    with pytest.raises(UserError, match=message) as error:
        load_model(folder)
    assert "model.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_graphs_of_other_weights_are_refused(tmp_path):
    folder = shutil.copytree(exported(), tmp_path / "model")
    shutil.copy(exported("int8") / "model.safetensors", folder / "model.safetensors")
    (folder / "encoder.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=f"textgen export {folder}"):
        Translator.load(folder)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": 0}, "tokens: 0 must be 1 or more"),
        ({"repeat": (0,)}, "repeat"),
        ({"renaming": 1.0}, "renaming: 1.0 is outside 0 to 1"),
        ({"graphs": "int4"}, "graphs: unknown 'int4'"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **wrong)


def test_a_run_needs_something_to_judge_by_and_a_number_for_each_file(tmp_path):
    train, dev = files()
    with pytest.raises(UserError, match="--dev"):
        train_pairs([train], [], tmp_path / "a", TINY)
    with pytest.raises(UserError, match="repeat: 2 numbers for 1 files"):
        train_pairs([train], [dev], tmp_path / "b", dataclasses.replace(TINY, repeat=(1, 2)))
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_narrowed_translator_is_a_smaller_one_that_says_so(tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(trained(), folder, ignore=shutil.ignore_patterns("training"))
    before = sum(array.size for array in read(folder, KIND).weights.values())
    assert run_command(main, capsys, "export", folder, "--summary", 4, "--precision", "float32")[0] == 0
    stored = read(folder, KIND)
    assert sum(array.size for array in stored.weights.values()) < before
    assert stored.header["config"]["decoder"]["summary_size"] == 4
    assert "--summary 4" in (folder / "README.md").read_text()
    texts = [source for source, _ in pairs()[:5]]
    by_torch, by_onnx = (Translator.load(folder, engine).translate(texts) for engine in ("torch", "onnx"))
    assert [one.text for one in by_torch] == [one.text for one in by_onnx]
    status, _, err = run_command(main, capsys, "export", folder, "--summary", 4)
    assert status == 2 and "without a summary" in err
