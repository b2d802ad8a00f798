"""Classifying: every text gets a class, and nothing depends on what is beside it."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from tests.helpers.classifiers import TINY, classifier, data, exported, rows, trained
from textgen.classification.classifier import Classifier
from textgen.classification.examples import load_labelled
from textgen.classification.judged import judge, judge_labels, table
from textgen.classification.stored import BOX, load_model
from textgen.classification.training import train_classes
from textgen.errors import UserError

pytestmark = pytest.mark.slow  # it trains a model

ODD = ["", " ", "a", "犬", "😀", "a\x00b", "\n\n", "the old boat " * 2000, "x" * 5000, "a\ud800b", "?!" * 300]


def test_it_learns_to_classify():
    found = classifier().classify([text for text, _ in rows(60, seed=9)])
    judged = judge(found, [label for _, label in rows(60, seed=9)])
    assert judged.accuracy > 95 and judged.macro_f1 > 95 and judged.expected_error < 0.2


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("text", ODD, ids=lambda text: repr(text[:8]))
def test_any_text_gets_a_class(engine, text):
    found = classifier(engine).classify(text)
    assert found.text == text and str(found) == found.label in classifier().classes
    shares = list(found.probabilities.values())
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1)


def test_a_text_does_not_depend_on_those_beside_it():
    texts = [*ODD, *(text for text, _ in rows(20))]
    for engine in ("torch", "onnx"):
        together = classifier(engine).classify(texts)
        alone = [classifier(engine).classify(text) for text in texts]
        assert [one.label for one in together] == [one.label for one in alone]
        np.testing.assert_allclose(
            [o.probability for o in together], [o.probability for o in alone], atol=1e-5
        )


def test_both_engines_and_the_trained_model_agree():
    texts = [text for text, _ in rows(40)] + ODD
    by_torch, by_onnx = (classifier(engine).logits(texts) for engine in ("torch", "onnx"))
    np.testing.assert_allclose(by_torch, by_onnx, atol=1e-4)
    packed = Classifier.load(exported(pack=True)).logits(texts)
    np.testing.assert_allclose(by_torch, packed, atol=0.3)


def test_pooling_is_what_was_trained():
    """The model's forward pass, in torch, of a padded batch."""
    from textgen.classification.stored import _model, _read
    from textgen.text.batches import padded
    from textgen.text.tokenizer import EOS

    stored, tokenizer, config = _read(trained())
    model = _model(stored, config).eval()
    texts = [text for text, _ in rows(9)] + ["a", ""]
    ids, lengths = padded([[*tokenizer.encode(text), EOS] for text in texts])
    with torch.inference_mode():
        expected = model(torch.from_numpy(ids), torch.from_numpy(lengths)).numpy()
    np.testing.assert_allclose(classifier().logits(texts), expected, atol=1e-4)


def test_the_words_that_decided_are_told():
    for text, label in rows(20, seed=3):
        found = classifier().deciding(text)
        assert [text[word.start :].startswith(word.word) for word in found] == [True] * len(text.split())
        if classifier().classify(text).label == label:
            assert max(found, key=lambda word: word.weight).word == text.split()[2]
    assert classifier().deciding("  ") == []


def test_texts_are_classified_as_they_come():
    taken = []

    def texts():
        for number in range(50):
            taken.append(number)
            yield f"boat {number}"

    found = classifier().classify_each(texts())
    next(found)
    assert taken == [0] and len(list(found)) == 49


def test_it_goes_to_other_processes_by_name():
    again = pickle.loads(pickle.dumps(classifier()))
    assert again.classify("The old boat").label == classifier().classify("The old boat").label


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch):
    from textgen.classification.training import TextsBatches

    whole = train_classes([data()], [], tmp_path / "whole", TINY)
    epoch, calls = TextsBatches.epoch, iter(range(1000))

    def stopping(self, number, start):
        for batch in epoch(self, number, start):
            if next(calls) == 15:
                raise UserError("the disk is gone")
            yield batch

    monkeypatch.setattr(TextsBatches, "epoch", stopping)
    with pytest.raises(UserError, match="continue with --resume"):
        train_classes([data()], [], tmp_path / "resumed", TINY)
    monkeypatch.setattr(TextsBatches, "epoch", epoch)
    assert train_classes([data()], [], tmp_path / "resumed", TINY, resume=True) == whole
    first, second = (load_model(tmp_path / name, "torch") for name in ("whole", "resumed"))
    assert (first.output.weight == second.output.weight).all()


def test_the_model_says_where_it_comes_from():
    pytest.importorskip("sklearn")
    card = (trained() / "README.md").read_text()
    assert (
        "# Classifier of 3 classes" in card and "TF-IDF + logistic regression" in card and "by seed 1" in card
    )
    header = json.loads((trained() / "model.json").read_text())
    assert header["provenance"]["baseline"]["accuracy"] > 90 and header["config"]["temperature"] > 0
    summary = BOX.summary(header)
    assert "3 classes" in summary.line and summary.figures[0][0] == "Accuracy"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["config"].update(classes=["a"]), "classes must be two or more names"),
        (lambda h: h["config"].update(classes=["a", "b"]), "output.weight is not"),
        (lambda h: h["config"].update(temperature=0), "temperature must be above 0"),
        (lambda h: h["config"]["encoder"].update(cell="x"), "cell: unknown 'x'"),
        (lambda h: h["config"].pop("max_length"), "model.json: damaged: 'max_length'"),
        (lambda h: h["config"].pop("vocab_size"), "model.json: damaged: 'vocab_size'"),
        (lambda h: h["config"].pop("classes"), "model.json: damaged: 'classes'"),
        (lambda h: h["config"].pop("temperature"), "model.json: damaged: 'temperature'"),
    ],
)
def test_a_damaged_model_is_named(tmp_path, change, message):
    folder = shutil.copytree(exported(), tmp_path / "model")
    header = json.loads((folder / "model.json").read_text())
    change(header)
    (folder / "model.json").write_text(json.dumps(header))
    with pytest.raises(UserError, match=message):
        load_model(folder)


def test_judging_counts_what_is_taken_for_what():
    said, true = ["a", "a", "b", "b", "b"], ["a", "b", "b", "b", "c"]
    judged = judge_labels(said, true, ["a", "b"])
    assert judged.classes == ("a", "b", "c") and judged.confusion == ((1, 0, 0), (1, 2, 0), (0, 1, 0))
    assert judged.accuracy == 60 and judged.interval[0] < 60 < judged.interval[1]
    assert judged.macro_f1 == pytest.approx(100 * (2 / 3 + 4 / 6 + 0) / 3, abs=0.01)
    assert "accuracy  60.0 %" in table(judged)


def test_figures_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    said, true = (rng.choice(list("abcd"), 200).tolist() for _ in range(2))
    judged = judge_labels(said, true, list("abcd"))
    assert judged.macro_f1 == pytest.approx(100 * metrics.f1_score(true, said, average="macro"), abs=0.01)
    assert judged.confusion == tuple(map(tuple, metrics.confusion_matrix(true, said).tolist()))


def test_held_out_texts_are_those_that_training_held_out():
    whole = load_labelled([data()], ("text",), "label")
    _, dev = whole.split(TINY.held_out, TINY.seed)
    header = json.loads((trained() / "model.json").read_text())
    judged = judge(classifier().classify(list(dev.texts)), dev.labels)
    assert judged.accuracy == pytest.approx(header["provenance"]["dev"]["accuracy"], abs=0.5)


def test_lines_and_tabs_are_spaces_as_in_training():
    for text, _ in rows(20):
        found = classifier().classify(text)
        odd = text.replace(" ", "\n", 1).replace(" ", "\t", 1)
        assert classifier().classify(odd).probabilities == found.probabilities
        assert [word.weight for word in classifier().deciding(odd)] == [
            word.weight for word in classifier().deciding(text)
        ]


def test_what_nobody_sees_is_not_read():
    for text, _ in rows(20):
        found, words = classifier().classify(text), classifier().deciding(text)
        odd = f"\ufeff{text}\u200b".replace(" ", " \u00ad", 1)
        assert classifier().classify(odd).probabilities == found.probabilities
        assert [word.weight for word in classifier().deciding(odd)] == [word.weight for word in words]
        assert classifier().classify(text.replace(" ", "\0")).probabilities == found.probabilities


def test_too_many_words_are_not_looked_at_one_by_one():
    with pytest.raises(UserError, match="501 words are too many"):
        classifier().deciding("boat " * 501)


def test_texts_that_no_baseline_can_read_are_learnt_without_one(tmp_path, capsys):
    pytest.importorskip("sklearn")
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f"{'犬猫'[n % 2]} {n % 10},{n % 2}\n" for n in range(40)))
    train_classes([path], [], tmp_path / "model", dataclasses.replace(TINY, epochs=1))
    assert "the baseline cannot be trained on texts.csv" in capsys.readouterr().err
    header = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "baseline" not in header["provenance"] and header["config"]["temperature"] > 0


def test_what_is_left_to_train_on_needs_two_classes(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\n" + "".join(f"text {n},a\n" for n in range(9)) + "other,b\n")
    seed = next(
        s for s in range(99) if "b" in load_labelled([path], ("text",), "label").split(0.2, s)[1].labels
    )
    with pytest.raises(UserError, match="held_out: what is left to train on has the label 'a' only"):
        train_classes([path], [], tmp_path / "model", dataclasses.replace(TINY, seed=seed))


def test_an_answer_that_nobody_expected_is_counted():
    judged = judge_labels(["c"], ["a"], ["a", "b"])
    assert judged.accuracy == 0 and set(judged.classes) == {"a", "b", "c"}
