"""Scores of translations are sacrebleu's own."""

import pytest

from textgen.errors import UserError
from textgen.translation import scores
from textgen.translation.scores import paired_bootstrap, translation_scores

sacrebleu = pytest.importorskip("sacrebleu")
SAID = ["Ein rotes Boot sinkt.", "Der Mond geht auf.", "Tom hat gelacht.", "Wo ist der Bahnhof bitte?"]
TRUE = [
    ["Das rote Boot sinkt."],
    ["Der Mond geht auf."],
    ["Tom lachte.", "Tom hat gelacht."],
    ["Wo ist der Bahnhof?"],
]


def test_they_are_what_sacrebleu_says_with_its_signature():
    found = translation_scores(SAID, [row[:1] for row in TRUE])
    expected = sacrebleu.corpus_bleu(SAID, [[row[0] for row in TRUE]])
    assert found["BLEU"] == pytest.approx(expected.score)
    assert found["chrF"] == pytest.approx(sacrebleu.corpus_chrf(SAID, [[row[0] for row in TRUE]]).score)
    assert "nrefs:1|case:mixed" in found["signatures"]["BLEU"] and "tok:13a" in found["signatures"]["BLEU"]


def test_each_sentence_may_have_as_many_references_as_it_has():
    found = translation_scores(SAID, TRUE)
    assert found["BLEU"] > translation_scores(SAID, [row[:1] for row in TRUE])["BLEU"]
    assert "nrefs:var" in found["signatures"]["BLEU"]


def test_two_systems_are_compared_by_a_paired_bootstrap():
    worse = ["Ein Boot.", "Der Mond.", "Tom.", "Wo?"]
    near = ["Ein rotes Boot sank.", *(SAID * 20)[1:]]
    found = paired_bootstrap(
        [("ours", SAID * 20), ("theirs", worse * 20), ("near", near)], TRUE * 20, samples=200
    )
    assert found[0]["BLEU"] == pytest.approx(translation_scores(SAID * 20, TRUE * 20)["BLEU"], abs=1e-6)
    assert found[1]["BLEU_p"] < 0.05 < found[2]["BLEU_p"]


def test_what_does_not_differ_is_chance():
    found = paired_bootstrap([("ours", SAID * 20), ("again", SAID * 20)], TRUE * 20, samples=100)
    assert [(row["BLEU_p"], row["chrF_p"]) for row in found] == [(1.0, 1.0)] * 2


def test_without_sacrebleu_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(scores, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"captioner\[scores\]"):
        translation_scores(SAID, TRUE)


def test_two_systems_of_one_name_stay_two():
    found = paired_bootstrap([("out.txt", SAID * 20), ("out.txt", ["x"] * 80)], TRUE * 20, samples=100)
    assert [row["system"] for row in found] == ["out.txt"] * 2 and found[0]["BLEU"] > found[1]["BLEU"]
