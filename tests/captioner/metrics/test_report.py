"""A report says what it is made of, refuses what has no score, and warns of what misleads."""

import random

import numpy as np
import pytest

from captioner.metrics import SCORES, Corpus, corpus_report
from tests.helpers.caption_scores import invented
from textgen.errors import UserError

FIVE = {str(index): ["a dog runs on grass", "the dog is running"] for index in range(5)}
SPOKEN = dict.fromkeys(FIVE, "a dog on the grass")


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ({"0": "a", "2": "b", "4": "c"}, FIVE, "pictures without a prediction: 2, the first is '1';"),
        (SPOKEN | {"x\n9": "a", "y": "b"}, FIVE, r"for unknown pictures: 2, the first is 'x\\n9';"),
        (SPOKEN, FIVE | {"3": []}, "without a list of references: 1, the first is '3';"),
        (SPOKEN, FIVE | {"3": "a dog"}, "without a list of references: 1, the first is '3';"),
        (SPOKEN, FIVE | {"3": None}, "without a list of references: 1, the first is '3';"),
        (
            SPOKEN,
            FIVE | {"2": ["a dog", " . "], "4": [""]},
            "references without a word: 2, the first is '2';",
        ),
        (SPOKEN | {"2": ["a", "dog"]}, FIVE, "captions that are not strings: 1, the first is '2';"),
        (SPOKEN, FIVE | {"4": ["a dog", None]}, "captions that are not strings: 1, the first is '4';"),
        ({}, {}, "no references"),
        ({}, FIVE, "pictures without a prediction: 5, the first is '0';"),
    ],
)
def test_report_refuses_what_cannot_be_compared(predictions, references, message):
    with pytest.raises(UserError, match=message) as error:
        corpus_report(predictions, references)
    assert "\n" not in str(error.value)


MARKERS = [
    "<|im_end|>",
    "<null>",
    "<sep>",
    "<extra_id_0>",
    "[start]",
    "[EOT]",
    "##start##",
    "<#END#>",
    "<s>",
    "</s>",
    "<end>",
    "<END>",
    "<eos>",
    "<pad>",
    "<bos>",
    "<start>",
    "<|endoftext|>",
    "[PAD]",
]
MARKERS += ["[sep]", "startseq", "endseq"]


@pytest.mark.parametrize("token", MARKERS)
def test_report_refuses_special_tokens_and_names_the_caption(token):
    with pytest.raises(UserError) as error:
        corpus_report(SPOKEN | {"1": f"{token} a dog", "3": f"a dog{' ' * token.isalpha()}{token}"}, FIVE)
    assert f"predictions with a special token: 2, the first is '{token}' of picture '1';" in str(error.value)
    with pytest.raises(UserError) as error:
        corpus_report(SPOKEN, FIVE | {"2": ["a dog", f"a dog {token}"]})
    assert f"references with a special token: 1, the first is '{token}' of picture '2';" in str(error.value)


@pytest.mark.parametrize("caption", ["a snow ##board", "▁a ▁dog", "aĠdogĠruns", "a snow@@ board", "snow@@"])
def test_report_refuses_pieces_of_words(caption):
    with pytest.raises(
        UserError, match=r"predictions with pieces of words: 1, the first is .* of picture '4'"
    ):
        corpus_report(SPOKEN | {"4": caption}, FIVE)


@pytest.mark.parametrize(
    "caption", ["Ġorġ runs", "a # dog", "@ home", "50 <dogs>", "the end", "start of a race", "a pad"]
)
def test_report_takes_what_only_looks_like_a_special_token(caption):
    assert corpus_report(SPOKEN | {"4": caption}, FIVE)["pictures"] == 5


@pytest.mark.parametrize("side", ["predictions", "references"])
def test_report_refuses_the_frame_that_keras_leaves_of_special_tokens(side):
    framed = {key: f"start {text} end" for key, text in SPOKEN.items()}
    others = {key: [f"start {text} end" for text in texts] for key, texts in FIVE.items()}
    with pytest.raises(UserError, match=f"{side} that begin with 'start' and end with 'end': "):
        corpus_report(framed if side == "predictions" else SPOKEN, others if side == "references" else FIVE)
    assert corpus_report(SPOKEN | {"1": "start of the race to its end"}, FIVE)["pictures"] == 5


@pytest.mark.parametrize("sign", ["<unk>", "<UNK>", "[UNK]"])
def test_an_unknown_words_sign_is_counted_in_predictions_and_refused_in_references(sign):
    report = corpus_report(SPOKEN | {"1": f"a {sign} on the grass"}, FIVE)
    assert report["diversity"]["unknown"] == 1
    assert any("unknown word's sign" in warning and warning.endswith(": 1") for warning in report["warnings"])
    assert report["BLEU-1"] < corpus_report(SPOKEN, FIVE)["BLEU-1"]
    with pytest.raises(
        UserError, match=r"references with a special token: 1, the first is .* of picture '2'"
    ):
        corpus_report(SPOKEN, FIVE | {"2": [f"a {sign} runs"]})


def test_report_scores_an_empty_prediction_zero_and_says_so():
    report = corpus_report(SPOKEN | {"1": "", "2": "..."}, FIVE)
    full = corpus_report(SPOKEN, FIVE)
    assert report["ROUGE-L"] == pytest.approx(full["ROUGE-L"] * 3 / 5)
    assert report["length_ratio"] < full["length_ratio"]
    assert report["warnings"][0] == "predictions without a word, which score 0: 2, the first is '1'"


def test_report_on_one_picture_is_defined_and_warns_about_cider():
    references = ["A dog runs on the grass .", "a brown dog is running outside"]
    report = corpus_report({"1": "A dog runs on the grass."}, {"1": references}, draws=20, with_anchors=True)
    assert [report[f"BLEU-{order}"] for order in range(1, 5)] == pytest.approx([100] * 4, abs=1e-5)
    assert report["ROUGE-L"] == pytest.approx(100)
    assert report["CIDEr"] == 0.0
    assert report["precisions"] == [100] * 4
    assert report["brevity_penalty"] == report["length_ratio"] == 1.0
    assert "n:1|refs:2|" in report["signature"]
    assert any("several pictures" in text for text in report["warnings"])
    assert report["intervals"] == {} and "bootstrap" not in report["signature"]
    assert [row["name"] for row in report["anchors"]] == ["a human", "these captions"]


@pytest.mark.parametrize("words", range(4))
def test_report_says_why_bleu_is_zero(words):
    spoken = dict.fromkeys(FIVE, ["", "the", "the dog", "the dog is"][words])
    report = corpus_report(spoken, FIVE)
    those = ["a word", "2 words in a row", "3 words in a row", "4 words in a row"][words]
    assert any(f"no prediction shares {those} with a reference" in text for text in report["warnings"])
    assert report["precisions"][words] == 0
    plain = corpus_report(dict.fromkeys(FIVE, "the dog is running"), FIVE)
    assert not any("no prediction shares" in text for text in plain["warnings"])


def test_report_asks_when_predictions_are_their_own_references():
    report = corpus_report({key: others[1] for key, others in FIVE.items()}, FIVE)
    assert any("5 of 5 predictions are word for word" in text for text in report["warnings"])


def test_report_says_that_few_pictures_say_little():
    assert any("5 pictures are few" in text for text in corpus_report(SPOKEN, FIVE)["warnings"])
    warnings = corpus_report(*invented_captions(1, 60))["warnings"]
    assert not any("few" in text for text in warnings)


def test_a_word_that_every_picture_has_weighs_nothing():
    """Where two ways to take a logarithm differ in the last digit, 0 / 0 became 1."""
    for pictures in (9170, 19143):
        report = corpus_report(
            dict.fromkeys(map(str, range(pictures)), "a"), {str(index): ["a"] for index in range(pictures)}
        )
        assert report["CIDEr"] == 0


def test_report_warns_of_a_single_reference():
    report = corpus_report(SPOKEN, {key: others[:1] for key, others in FIVE.items()}, with_anchors=True)
    assert any("one reference a picture" in text for text in report["warnings"])
    assert "a human" not in {row["name"] for row in report["anchors"]}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (str.capitalize, "the references have capitals, the predictions do not"),
        ("{} .".format, "the references end in full stops, the predictions do not"),
        ("{}.".format, "the references end in full stops, the predictions do not"),
    ],
)
def test_report_warns_when_the_sides_are_written_differently_and_says_what_it_costs(written, says):
    spoken = dict.fromkeys(FIVE, "a dog runs on grass")
    plainly = {key: ["a dog runs on grass", "a dog runs on the green grass"] for key in FIVE}
    references = {key: list(map(written, others)) for key, others in plainly.items()}
    report, plain = corpus_report(spoken, references), corpus_report(spoken, plainly)
    assert [report[name] for name in SCORES] == [plain[name] for name in SCORES]
    (warning,) = (text for text in report["warnings"] if "script" in text)
    assert says in warning
    cost, real = (float(part.split()[0]) for part in warning.split("BLEU-4 ")[1].split(" of "))
    assert real == pytest.approx(plain["BLEU-4"], abs=0.005) and cost < real
    # The other way round, too; and nothing when both are written alike.
    turned = corpus_report({key: written(text) for key, text in spoken.items()}, plainly)
    (warning,) = (text for text in turned["warnings"] if "script" in text)
    assert "the predictions" in warning.split(",")[0]
    both = corpus_report({key: written(text) for key, text in spoken.items()}, references)
    assert not any("script" in text for text in both["warnings"])


def test_report_does_not_depend_on_the_order_of_pictures():
    references = {
        key: [f"a {word} dog runs on grass", "a dog"]
        for key, word in zip("abc", ("red", "small", "café"), strict=True)
    }
    predictions = {"a": "a red dog", "b": "a small dog runs", "c": "café grass"}
    turned = dict(reversed(predictions.items()))
    options = {"draws": 50, "with_anchors": True, "other": predictions}
    report = corpus_report(predictions, references, **options)
    assert corpus_report(turned, references, **options) == report
    assert corpus_report(predictions, dict(reversed(references.items())), **options) == report
    swapped = {key: others[::-1] for key, others in references.items()}
    assert corpus_report(predictions, swapped, **options) == report


def spoken(hypotheses):
    return {str(index): " ".join(tokens) for index, tokens in enumerate(hypotheses)}


def invented_captions(seed, pictures=200):
    hypotheses, references = invented(seed, pictures)
    truths = {
        str(index): [" ".join(tokens) for tokens in others * 2] for index, others in enumerate(references)
    }
    return spoken(hypotheses), truths


def test_intervals_hold_the_score_and_shrink_with_more_pictures():
    few = corpus_report(*invented_captions(1, 50), draws=300)
    many = corpus_report(*invented_captions(1, 800), draws=300)
    for name in SCORES:
        low, high = few["intervals"][name]
        assert low < few[name] < high
        low_many, high_many = many["intervals"][name]
        assert (high - low) / (high_many - low_many) == pytest.approx(4, rel=0.4)  # the root of 16


@pytest.mark.slow
def test_an_interval_is_the_spread_of_scores_of_resampled_pictures():
    """BLEU of whole resampled corpora, scored one by one, has the same percentiles."""
    predictions, references = invented_captions(2, 40)
    report = corpus_report(predictions, references, draws=1000)
    ids, draw, found = list(references), random.Random(1), []
    for _ in range(250):
        sample = {str(place): draw.choice(ids) for place in range(len(ids))}
        again = corpus_report(
            {place: predictions[key] for place, key in sample.items()},
            {place: references[key] for place, key in sample.items()},
        )
        found.append([again["BLEU-4"], again["ROUGE-L"]])
    spread = np.percentile(found, [2.5, 97.5], axis=0)
    for index, name in enumerate(("BLEU-4", "ROUGE-L")):
        width = spread[1, index] - spread[0, index]
        assert report["intervals"][name] == pytest.approx(spread[:, index], abs=0.25 * width)


def test_the_same_seed_draws_the_same_intervals_and_another_others():
    corpus = invented_captions(3)
    one, two, three = (corpus_report(*corpus, draws=100, seed=seed) for seed in (0, 0, 1))
    assert one == two and one["intervals"] != three["intervals"]
    assert "|bootstrap:100|seed:1|" in three["signature"]
    plain = corpus_report(*corpus)
    assert plain["intervals"] == {} and "bootstrap" not in plain["signature"]


def test_a_system_differs_from_itself_by_nothing():
    predictions, references = invented_captions(4)
    found = corpus_report(predictions, references, draws=100, other=predictions)["other"]["differences"]
    assert list(found) == list(SCORES)
    assert all(row == {"difference": 0.0, "interval": [0.0, 0.0], "p": 1.0} for row in found.values())


def test_a_clear_difference_is_told_from_chance_and_pairing_narrows_it():
    predictions, references = invented_captions(5)
    worse = {key: " ".join(["zebra", *text.split()[1:]]) for key, text in predictions.items()}
    report = corpus_report(predictions, references, draws=300, other=worse)
    other = report["other"]
    for name in ("BLEU-1", "CIDEr"):
        found = other["differences"][name]
        assert found["difference"] == pytest.approx(report[name] - other[name])
        low, high = found["interval"]
        apart = np.diff(report["intervals"][name])[0] + np.diff(other["intervals"][name])[0]
        assert low < found["difference"] < high and high - low < apart / 2
    assert other["differences"]["BLEU-1"]["p"] < 0.01
    back = corpus_report(worse, references, draws=300, other=predictions)
    assert back["other"]["differences"]["CIDEr"]["difference"] == pytest.approx(
        -other["differences"]["CIDEr"]["difference"]
    )
    assert back["other"]["BLEU-4"] == report["BLEU-4"]


def test_the_other_predictions_are_checked_too():
    with pytest.raises(UserError, match=r"of the other predictions: .* special token"):
        corpus_report(SPOKEN, FIVE, other=SPOKEN | {"1": "a dog <end>"})
    report = corpus_report(SPOKEN, FIVE, other=SPOKEN | {"1": ""})
    assert any(
        text.startswith("of the other predictions: predictions without") for text in report["warnings"]
    )
    report = corpus_report(SPOKEN, FIVE, other=SPOKEN)
    assert any("the very same captions" in text for text in report["warnings"])


def test_pictures_of_the_same_caption_are_not_shown_as_a_difference():
    predictions, references = invented_captions(9)
    key = next(key for key, text in predictions.items() if len(text.split()) > 8)
    other = corpus_report(predictions, references, other=predictions | {key: "zebra"})["other"]
    assert [row["id"] for row in other["ahead"]] == [key] and other["behind"] == []


@pytest.mark.parametrize("options", [{"train": "a dog"}, {"draws": -1}, {"seed": -1, "draws": 9}])
def test_report_refuses_options_that_make_no_sense(options):
    with pytest.raises(UserError, match=next(iter(options))):
        corpus_report(SPOKEN, FIVE, **options)


def test_anchors_are_scores_of_humans_shuffled_captions_and_one_caption():
    predictions, references = invented_captions(6)
    references = {key: (others * 3)[:3] for key, others in references.items()}
    rows = {row["name"]: row for row in corpus_report(predictions, references, with_anchors=True)["anchors"]}
    references = {key: sorted(others) for key, others in references.items()}
    first = dict(zip(sorted(references), np.random.default_rng(0).integers(2**31, size=200), strict=True))
    expected = {"a human": [], "these captions": []}
    for turn in range(3):
        place = {key: (first[key] + turn) % 3 for key in references}
        rest = {key: [*r[: place[key]], *r[place[key] + 1 :]] for key, r in references.items()}
        human = {key: references[key][place[key]] for key in references}
        expected["a human"].append(corpus_report(human, rest))
        expected["these captions"].append(corpus_report(predictions, rest))
    for name, reports in expected.items():
        assert rows[name]["references"] == 2 and rows["a human"]["note"].startswith("3 of the references")
        for score in SCORES:
            assert rows[name][score] == pytest.approx(np.mean([report[score] for report in reports]))
    one = rows["one caption for all"]
    expected = corpus_report(dict.fromkeys(references, one["note"]), references)
    assert [one[score] for score in SCORES] == pytest.approx([expected[score] for score in SCORES])
    assert rows["these captions, shuffled"]["CIDEr"] < rows["these captions"]["CIDEr"] / 2


def test_no_picture_keeps_its_caption_in_the_shuffle():
    truths = {str(index): [f"word{index} number{index} of {index}", f"word{index}"] for index in range(7)}
    said = {key: others[0] for key, others in truths.items()}
    rows = corpus_report(said, truths, with_anchors=True)["anchors"]
    assert next(row for row in rows if row["name"] == "these captions, shuffled")["CIDEr"] == 0


def test_diversity_counts_what_it_says():
    captions = {
        "0": "a dog runs",
        "1": "A dog runs.",
        "2": "a man with a",
        "3": "the red dog and the red dog and the red dog",
        "4": "a <unk> sits",
    }
    found = corpus_report(captions, FIVE, train=["A dog runs !", "a man with a hat", "a dog"])["diversity"]
    assert found == {
        "distinct_captions": 4,
        "vocabulary": 10,
        "mean_length": (3 + 3 + 4 + 11 + 3) / 5,
        "unfinished": 1,
        "repeated_trigram": 1,
        "unknown": 1,
        "copied": 2,
    }
    assert corpus_report(SPOKEN, FIVE)["diversity"]["copied"] is None


def test_lengths_are_counted_on_both_sides():
    found = corpus_report(SPOKEN | {"1": "dog"}, FIVE)["lengths"]
    assert found == {"predictions": {1: 1, 5: 4}, "references": {4: 5, 5: 5}}


def test_the_signature_changes_with_what_was_scored_and_not_with_its_order():
    def parts(predictions, references):
        signature = corpus_report(predictions, references)["signature"]
        return dict(part.split(":", 1) for part in signature.split("|"))

    base = parts(SPOKEN, FIVE)
    assert base["n"] == "5" and base["refs"] == "2"
    assert parts(dict(reversed(SPOKEN.items())), dict(reversed(FIVE.items()))) == base
    other = parts(SPOKEN | {"1": "a cat"}, FIVE)
    assert {key for key in base if base[key] != other[key]} == {"predictions"}
    other = parts(SPOKEN, FIVE | {"1": ["a dog runs on grass"]})
    assert {key for key in base if base[key] != other[key]} == {"references", "refs"}


def test_a_corpus_keeps_scores_by_picture():
    corpus = Corpus.of(SPOKEN | {"2": "a dog runs on grass"}, FIVE)
    assert corpus.rouge_l[2] == pytest.approx(100) and corpus.rouge_l[1] < 100
    assert corpus.cider.shape == (5,)


def test_what_would_change_nothing_is_no_warning():
    said = {1: "A cat sits.", 2: "A dog runs.", 3: "A man walks."}
    others = {1: ["one bird flew away"], 2: ["some fish swim here"], 3: ["two cars drive by"]}
    assert not any("instead of" in warning for warning in corpus_report(said, others)["warnings"])
    alike = {key: [text.lower().rstrip(".") + " here"] for key, text in said.items()}
    (warning,) = [w for w in corpus_report(said, alike)["warnings"] if "instead of" in w]
    kept, here = warning.rpartition("BLEU-4 ")[2].split(" instead of ")
    assert kept != here
