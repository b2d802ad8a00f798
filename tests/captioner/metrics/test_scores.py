"""On the same tokens our metrics are coco-caption's: its own classes and sacrebleu are the referees."""

import math

import numpy as np
import pytest

from captioner.metrics import BleuScore, CiderD, bleu, cider, rouge_l, tokenize
from captioner.metrics.bleu import bleu_statistics
from captioner.metrics.cider import cider_of
from captioner.metrics.pairs import Pairs
from captioner.metrics.rouge import rouge_l_of
from tests.helpers.caption_scores import WORDS, coco, invented
from textgen.errors import UserError


def assert_equals_coco(hypotheses, references):
    scores, rouges, ciders = coco(hypotheses, references)
    assert bleu(hypotheses, references).scores == pytest.approx(scores, abs=1e-5)
    assert rouge_l(hypotheses, references) == pytest.approx(rouges, abs=1e-9)
    assert cider(hypotheses, references) == pytest.approx(ciders, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_coco_caption_on_invented_captions(seed):
    assert_equals_coco(*invented(seed))


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "dog",
        "a dog",
        "a dog runs",
        "a dog runs on the grass",
        "!? ... -",
        "犬 犬 café",
        "a a a a a a a a a",
        "x " * 60,
    ],
)
@pytest.mark.parametrize(
    "others", [["A dog runs on the grass ."], ["dog", "two dogs; a café 犬", "A dog runs on"]]
)
@pytest.mark.parametrize("pictures", [1, 3])
def test_scores_equal_coco_caption_on_degenerate_captions(caption, others, pictures):
    filler = [tokenize("two cats sleep in the sun"), tokenize("a man on a bike")]
    hypotheses = [tokenize(caption), *filler][:pictures]
    references = [[tokenize(other) for other in others], [filler[0]], [filler[0], filler[1]]][:pictures]
    assert_equals_coco(hypotheses, references)


@pytest.mark.parametrize("seed", range(3))
def test_bleu_equals_sacrebleu_on_the_same_tokens(seed):
    sacrebleu = pytest.importorskip("sacrebleu")
    hypotheses, references = invented(seed)
    # sacrebleu wants the same number of references everywhere, None where there is none.
    columns = [
        [" ".join(others[index]) if index < len(others) else None for others in references]
        for index in range(max(map(len, references)))
    ]
    theirs = sacrebleu.metrics.BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(
        [" ".join(tokens) for tokens in hypotheses], columns
    )
    ours = bleu(hypotheses, references)
    assert ours.scores[3] == pytest.approx(theirs.score, abs=1e-4)
    assert ours.precisions == pytest.approx(theirs.precisions, abs=1e-9)
    assert ours.brevity_penalty == pytest.approx(theirs.bp)
    assert ours.length_ratio == pytest.approx(theirs.ratio)
    assert (ours.hypothesis_length, ours.reference_length) == (theirs.sys_len, theirs.ref_len)


def test_document_frequencies_of_the_same_references_score_as_none():
    hypotheses, references = invented(7)
    plain = cider(hypotheses, references)
    known = CiderD.from_references(references)
    assert np.array_equal(known.score(hypotheses, references), plain)
    # A part of the pictures keeps its scores, and a picture may have several hypotheses.
    assert np.array_equal(known.score(hypotheses[:9], references[:9]), plain[:9])
    assert np.array_equal(known.score([hypotheses[3]] * 5, [references[3]] * 5), plain[[3] * 5])


def test_any_hashable_token_scores_alike():
    hypotheses, references = invented(7)
    ids = {word: index for index, word in enumerate(WORDS)}
    numbers = [[[ids[word] for word in other] for other in others] for others in references]
    samples = [tuple(ids[word] for word in tokens) for tokens in hypotheses]
    for metric in (cider, rouge_l, lambda *corpus: bleu_statistics(Pairs.of(*corpus))):
        assert np.array_equal(metric(samples, numbers), metric(hypotheses, references))


def test_pairs_with_fewer_references_are_pairs_of_fewer_references():
    hypotheses, references = invented(8)
    pairs = Pairs.of(hypotheses, references)
    kept = np.random.default_rng(0).random(len(pairs.references)) < 0.6
    kept[pairs.first_pairs()] = True
    flags = iter(kept.tolist())
    fewer = [[other for other in others if next(flags)] for others in references]
    some, anew = pairs.keep(kept), Pairs.of(hypotheses, fewer)
    assert np.array_equal(bleu_statistics(some), bleu_statistics(anew))
    assert np.array_equal(rouge_l_of(some), rouge_l_of(anew))
    assert cider_of(some) == pytest.approx(cider_of(anew), abs=1e-9)


def test_an_end_token_makes_a_cut_off_caption_worth_less():
    end, references = 2, [[[5, 6, 7, 8, 9, 2]], [[5, 6, 10, 11, 12, 2]], [[13, 14, 15, 2]]]
    known = CiderD.from_references(references)
    whole, cut = known.score([[5, 6, 7, 8, 9, end], [5, 6, 7, 8, 9]], references[:1] * 2)
    assert whole == pytest.approx(1000)
    assert cut < 900


def test_document_frequency_counts_pictures_not_captions():
    known = CiderD.from_references([[["a", "a", "dog"], ["a", "dog"]], [["a", "cat"]]])
    assert known.log_documents == pytest.approx(math.log(2))
    once = [("dog",), ("cat",), ("a", "a"), ("a", "dog"), ("a", "cat"), ("a", "a", "dog")]
    assert known.document_frequency == {("a",): 2, **dict.fromkeys(once, 1)}


def test_bleu_of_resampled_pictures_is_bleu_of_their_statistics():
    hypotheses, references = invented(3)
    rows = bleu_statistics(Pairs.of(hypotheses, references))
    chosen = np.random.default_rng(0).integers(len(hypotheses), size=len(hypotheses))
    again = bleu([hypotheses[index] for index in chosen], [references[index] for index in chosen])
    assert BleuScore.from_statistics(rows[chosen]) == again


def test_the_order_of_references_does_not_matter():
    hypotheses, references = invented(4)
    turned = [others[::-1] for others in references]
    assert bleu(hypotheses, turned) == bleu(hypotheses, references)
    assert np.array_equal(rouge_l(hypotheses, turned), rouge_l(hypotheses, references))


METRICS = [bleu, rouge_l, cider]


@pytest.mark.parametrize("metric", METRICS, ids=["bleu", "rouge_l", "cider"])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a dog"], [[["a", "dog"]]], "hypothesis 0 is a string"),
        ("a", [[["a", "dog"]]], "hypothesis 0 is a string"),
        ([["a"]], [["a dog"]], "picture 0: a string"),
        ([["a"]], ["a dog"], "picture 0: a string"),
        ([["a"]], [[]], "picture 0: at least one"),
        ([["a"], ["a"]], [[["a"]], [["a"], []]], "picture 1: at least one"),
        ([["a"]], [[["a"]], [["a"]]], "1 hypotheses for 2 pictures"),
        ([], [], "nothing to score"),
    ],
)
def test_metrics_refuse_what_has_no_score(metric, hypotheses, references, message):
    with pytest.raises(UserError, match=message):
        metric(hypotheses, references)
