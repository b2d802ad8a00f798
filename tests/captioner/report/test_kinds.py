"""Scores by kind of picture: who belongs where, and what a kind's figures are figures of."""

import pytest

from captioner.metrics import SCORES, Corpus, corpus_report
from captioner.report.kinds import KINDS, OTHERS, by_kind

REFERENCES = {
    "a man eats": ["a man eats a pizza", "a man with a slice of pizza", "someone is eating dinner"],
    "a dog": ["a dog on the grass", "a brown dog runs", "an animal outside"],
    "a clock": ["a clock", "an old clock shows noon", "the time of the day"],
    "a woman once": ["a woman far away", "a lighthouse on a hill", "a lighthouse by the sea"],
}
SPOKEN = {
    "a man eats": "a man eats a pizza",
    "a dog": "a brown cat runs",
    "a clock": "a clock shows noon",
    "a woman once": "a house by the sea",
}


@pytest.fixture
def kinds():
    return by_kind(Corpus.of(SPOKEN, REFERENCES))


def test_a_picture_is_of_each_kind_that_half_of_its_references_tell(kinds):
    # One reference of three with a woman in it does not make a picture of people.
    assert {kind: found["pictures"] for kind, found in kinds.items()} == {
        "people": 1,
        "animals": 1,
        "food": 1,
        OTHERS: 2,
    }


def test_the_kinds_are_those_of_the_model_cards():
    assert list(KINDS) == ["people", "animals", "food", "indoor", "vehicles", "sport", "street"]


def test_cider_of_a_kind_is_the_mean_over_its_pictures_as_the_whole_corpus_scores_them(kinds):
    corpus = Corpus.of(SPOKEN, REFERENCES)
    scores = dict(zip(corpus.ids, corpus.cider.tolist(), strict=True))
    assert kinds["people"]["CIDEr"] == pytest.approx(scores["a man eats"])
    assert kinds[OTHERS]["CIDEr"] == pytest.approx((scores["a clock"] + scores["a woman once"]) / 2)
    assert scores["a clock"] != scores["a woman once"]


def test_bleu_of_a_kind_is_that_of_its_pictures_as_a_corpus(kinds):
    mine = ("a clock", "a woman once")
    alone = corpus_report({key: SPOKEN[key] for key in mine}, {key: REFERENCES[key] for key in mine})
    for name in SCORES[:5]:
        assert kinds[OTHERS][name] == pytest.approx(alone[name])
