"""The command lines of classification, and of the scores of sentences' models."""

import io
import json
import sys

import pytest

from tests.helpers import classifiers, translators
from tests.helpers.command_lines import assert_one_line_of, run_command
from textgen.cli import main

pytestmark = pytest.mark.slow  # it trains models


def run(capsys, *argv):
    return run_command(main, capsys, *argv)


def assert_one_line(error, *words):
    assert_one_line_of("textgen", error, *words)


def test_a_text_is_classified_whatever_lines_it_has(capsys):
    text = "The old boat\nis gone."
    status, out, err = run(capsys, "classify", text, "--model", classifiers.trained())
    found = classifiers.classifier().classify(text)
    assert (status, err) == (0, "") and out.startswith(f"{found.label} {found.probability:.2f}  ")
    assert out.count("\n") == 1
    _, out, _ = run(capsys, "classify", text, "--model", classifiers.trained(), "--words")
    assert out.count("\n") == 6 and "  boat\n" in out


def test_lines_are_classified_one_by_one(capsys, monkeypatch, tmp_path):
    lines = ["The old boat is gone.", "", "A red lamp fell down."]
    labels = [one.label for one in classifiers.classifier().classify(lines)]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines))
    for argv in (["--file", path], ["-"], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        status, out, _ = run(capsys, "classify", *argv, "--model", classifiers.trained())
        assert status == 0 and [line.split()[0] for line in out.splitlines()] == labels
    _, out, _ = run(capsys, "classify", "--file", path, "--json", "--model", classifiers.trained())
    assert [one["label"] for one in json.loads(out)["texts"]] == labels
    _, out, _ = run(
        capsys, "classify", "--file", path, "--jsonl", "--words", "--model", classifiers.trained()
    )
    assert [json.loads(line)["label"] for line in out.splitlines()] == labels


def test_labelled_texts_give_the_figures_beside_the_baselines(capsys):
    pytest.importorskip("sklearn")
    data = classifiers.data()
    argv = [
        "evaluate",
        "--classes",
        data,
        "--model",
        classifiers.trained(),
        "--held-out",
        0.2,
        "--baseline",
        data,
    ]
    status, out, _ = run(capsys, *argv)
    assert status == 0 and "48 texts, 3 classes" in out and "TF-IDF + logistic regression" in out
    assert "true \\ taken for" in out and "confidence  right  texts" in out
    _, out, _ = run(capsys, *argv, "--json")
    document = json.loads(out)
    assert document["accuracy"] > 90 and document["baseline"]["accuracy"] > 90 and document["bins"]


def test_pairs_give_sacrebleus_figures(capsys, tmp_path):
    _, dev = translators.files()
    model = ["--model", translators.trained()]
    status, out, _ = run(capsys, "evaluate", "--pairs", dev, *model, "--save", tmp_path / "said.txt")
    assert status == 0 and "16 sentences, 16 references, beam 5" in out and "tok:13a" in out
    said = (tmp_path / "said.txt").read_text().splitlines()
    assert len(said) == 16
    (tmp_path / "theirs.txt").write_text("".join("Das Boot sinkt.\n" for _ in said))
    _, out, _ = run(
        capsys, "evaluate", "--pairs", dev, *model, "--against", tmp_path / "theirs.txt", "--json"
    )
    document = json.loads(out)
    assert document["all_references"]["BLEU"] > 60 and document["against"][1]["BLEU_p"] < 0.05
    (tmp_path / "theirs.txt").write_text("one\n")
    status, _, err = run(capsys, "evaluate", "--pairs", dev, *model, "--against", tmp_path / "theirs.txt")
    assert status == 2
    assert_one_line(err, "theirs.txt: has 1 lines for 16 sentences")


def test_languages_in_the_first_line_are_no_pair(capsys, tmp_path):
    _, dev = translators.files()
    (tmp_path / "dev.tsv").write_text(f"english\tother\n{dev.read_text()}")
    argv = ["evaluate", "--pairs", tmp_path / "dev.tsv", "--model", translators.trained()]
    status, out, err = run(capsys, *argv)
    assert status == 0 and "16 sentences, 16 references" in out
    assert_one_line(err, "its first line names columns; English and Other are taken")


def test_the_same_translations_do_not_differ(capsys, tmp_path):
    _, dev = translators.files()
    argv = ["evaluate", "--pairs", dev, "--model", translators.trained()]
    run(capsys, *argv, "--save", tmp_path / "said.txt")
    status, out, _ = run(capsys, *argv, "--against", tmp_path / "said.txt")
    assert status == 0 and out.count("(p 1.000)") == 4


def test_every_kind_of_model_is_shown_and_exported(capsys, tmp_path):
    for folder, title in ((translators.trained(), "# Translator"), (classifiers.trained(), "# Classifier")):
        status, out, _ = run(capsys, "info", folder)
        assert status == 0 and out.startswith(title)
        copy = tmp_path / folder.parent.name
        import shutil

        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("training"))
        before = (copy / "model.safetensors").read_bytes()
        status, _, err = run(capsys, "export", copy, "--pack", "--precision", "int4")
        assert status == 2 and (copy / "model.safetensors").read_bytes() == before
        assert_one_line(err, "precision: unknown 'int4'")
        status, _, _ = run(capsys, "export", copy, "--pack")
        assert status == 0 and (copy / "encoder.onnx").exists()
        status, _, err = run(capsys, "generate", "a", "--model", copy)
        assert status == 2
        assert_one_line(err, "a model of kind")
    status, out, _ = run(capsys, "models", "--json")
    assert status == 0 and {"textgen"} <= {model["kind"] for model in json.loads(out)["models"]}


def test_training_a_classifier_is_a_command(capsys, tmp_path):
    argv = ["train", "--classes", classifiers.data(), "--out", tmp_path / "m", "--epochs", 1, "--hidden", 8]
    argv += ["--embedding", 8, "--vocabulary", 420, "--graphs", "none"]
    status, _, err = run(capsys, *argv)
    assert status == 0 and "216 texts to train on, 24 to judge by (10 %, drawn by seed 1)" in err
    status, _, err = run(capsys, *argv)
    assert status == 2 and "already holds a model" in err
    status, out, _ = run(capsys, "evaluate", "--classes", "--help")
    assert status == 0 and "--baseline" in out
    status, _, err = run(
        capsys, "train", "--classes", classifiers.data(), "--label", "nope", "--out", tmp_path / "n"
    )
    assert status == 2
    assert_one_line(err, "no column 'nope'; there are: text, label")


def test_a_comparison_that_proves_nothing_is_refused(capsys, tmp_path):
    data = classifiers.data()
    argv = ["evaluate", "--classes", data, "--model", classifiers.trained(), "--baseline", data]
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert_one_line(err, "the baseline would be judged by what it learnt")
    _, dev = translators.files()
    for options, words in ((["-n", 3], "--n: one translation"), ([], "--pairs: name one or more files")):
        status, _, err = run(
            capsys,
            "evaluate",
            "--pairs",
            *([dev] if options else []),
            "--model",
            translators.trained(),
            *options,
        )
        assert status == 2
        assert_one_line(err, words)
