"""Our metrics are coco-caption's: its own classes, sacrebleu and the Java tokeniser are the referees."""

import csv
import math
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from captioner.metrics import BleuScore, CiderD, bleu, bleu_statistics, corpus_report, rouge_l, tokenize
from textgen.errors import UserError

FLICKR = Path(__file__).resolve().parents[2] / "shared" / "flickr8k"
WORDS = tokenize(
    "a the dog cat man red small runs jumps sits on in with of grass water ball café 犬 don't two"
)


def invented(seed, pictures=40):
    """Hypotheses and references: unrelated, shuffled, copied, of 0 to 3 words, of another length."""
    draw = random.Random(seed)

    def sentence(low, high):
        return draw.choices(WORDS, k=draw.randint(low, high))

    references = [[sentence(4, 14) for _ in range(draw.randint(1, 6))] for _ in range(pictures)]
    makers = [
        lambda others: sentence(4, 20),
        lambda others: draw.sample(others[0], len(others[0])),
        lambda others: list(draw.choice(others)),
        lambda others: sentence(0, 3),
        lambda others: others[0][: draw.randint(0, 5)] + sentence(0, 6),
        lambda others: others[0] * 3,
    ]
    return [makers[index % len(makers)](others) for index, others in enumerate(references)], references


@pytest.fixture(scope="module")
def dev():
    """Raw captions of Flickr8k's development split: {picture: five captions}."""
    if not (FLICKR / "captions.txt").is_file():
        pytest.skip("Flickr8k is not beside the repository (../shared/flickr8k)")
    pictures = (FLICKR / "Flickr_8k.devImages.txt").read_text(encoding="utf-8").split()
    captions = {name: [] for name in pictures}
    with open(FLICKR / "captions.txt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["image"] in captions:
                captions[row["image"]].append(row["caption"])
    assert len(captions) == 1000
    return captions


def coco(hypotheses, references):
    """pycocoevalcap's values x100: BLEU-1 to 4, ROUGE-L by picture, CIDEr by picture."""
    bleu_module = pytest.importorskip("pycocoevalcap.bleu.bleu")
    rouge_module = pytest.importorskip("pycocoevalcap.rouge.rouge")
    cider_module = pytest.importorskip("pycocoevalcap.cider.cider")
    results = {index: [" ".join(tokens)] for index, tokens in enumerate(hypotheses)}
    truths = {index: [" ".join(tokens) for tokens in others] for index, others in enumerate(references)}
    scores, _ = bleu_module.Bleu(4).compute_score(truths, results, verbose=0)
    _, rouges = rouge_module.Rouge().compute_score(truths, results)
    _, ciders = cider_module.Cider().compute_score(truths, results)
    return 100 * np.array(scores), 100 * rouges, 100 * ciders


def assert_equals_coco(hypotheses, references):
    scores, rouges, ciders = coco(hypotheses, references)
    assert bleu(hypotheses, references).scores == pytest.approx(scores, abs=1e-5)
    assert rouge_l(hypotheses, references) == pytest.approx(rouges, abs=1e-9)
    assert CiderD.from_references(references).score(hypotheses, references) == pytest.approx(ciders, abs=1e-9)


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


def test_scores_equal_coco_caption_on_flickr8k_dev(dev):
    sentences = [[tokenize(caption) for caption in captions] for captions in dev.values()]
    hypotheses, references = [five[0] for five in sentences], [five[1:] for five in sentences]
    assert_equals_coco(hypotheses, references)
    random.Random(0).shuffle(hypotheses)
    assert_equals_coco(hypotheses, references)


def test_report_equals_its_parts_on_flickr8k_dev(dev):
    references = {key: captions[1:] for key, captions in dev.items()}
    report = corpus_report({key: dev[key][0] for key in sorted(dev)}, references)
    scores, rouges, ciders = coco(
        [tokenize(captions[0]) for captions in dev.values()],
        [[tokenize(caption) for caption in captions] for captions in references.values()],
    )
    assert [report[f"BLEU-{order}"] for order in range(1, 5)] == pytest.approx(scores, abs=1e-5)
    assert (report["ROUGE-L"], report["CIDEr"]) == pytest.approx((rouges.mean(), ciders.mean()), abs=1e-9)
    assert report["pictures"] == 1000
    assert "n:1000|refs:4-4|" in report["signature"]
    assert report["warnings"] == []


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


# An abbreviation at the end, a misprint.
KNOWN_DIFFERENT = {
    "A crowd of people views newspaper covers in Washington D.C.",
    "A group dressed in wintery attire of people on a sidewalk in Washington D.C.",
    "two young children RIF=ding sleds down the snow .",
}


def test_tokens_equal_the_java_tokeniser_on_flickr8k_dev_but_for_three_captions(dev, tmp_path):
    module = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    jar = Path(module.__file__).with_name(module.STANFORD_CORENLP_3_4_1_JAR)
    if not shutil.which("java") or not jar.is_file():
        pytest.skip("needs java and the Stanford tokeniser")
    captions = [caption for five in dev.values() for caption in five]
    (tmp_path / "captions").write_text("\n".join(captions), encoding="utf-8")
    command = ["java", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    run = subprocess.run([*command, tmp_path / "captions"], capture_output=True, check=True, timeout=60)
    lines = run.stdout.decode("utf-8").splitlines()
    # coco-caption keeps brackets, since its list has -LRB- in capitals only; we write them as they are.
    brackets = {"-lrb-": "(", "-rrb-": ")"}
    theirs = [
        [brackets.get(word, word) for word in line.split(" ") if word and word not in module.PUNCTUATIONS]
        for line in lines
    ]
    assert len(theirs) == len(captions)
    different = {caption for caption, java in zip(captions, theirs, strict=True) if tokenize(caption) != java}
    assert different <= KNOWN_DIFFERENT


def test_tokens_are_lower_case_without_coco_punctuation():
    tokens = tokenize('A Man ( in RED ) says: "Stop", doesn\'t he?!')
    assert " ".join(tokens) == "a man ( in red ) says stop does n't he"
    assert tokenize("-- ... ; !") == []


def test_prepared_references_score_as_plain_ones_for_any_hashable_token():
    hypotheses, references = invented(7)
    cider = CiderD.from_references(references)
    plain = cider.score(hypotheses, references)
    prepared = cider.prepare(references)
    assert np.array_equal(cider.score_prepared(hypotheses, prepared), plain)
    assert np.array_equal(cider.score_prepared(hypotheses[::-1], prepared[::-1]), plain[::-1])
    assert np.array_equal(cider.score_prepared([hypotheses[3]] * 5, [prepared[3]] * 5), plain[[3] * 5])

    ids = {word: index for index, word in enumerate(WORDS)}
    numbers = [[[ids[word] for word in other] for other in others] for others in references]
    samples = [tuple(ids[word] for word in tokens) for tokens in hypotheses]
    assert np.array_equal(CiderD.from_references(numbers).score(samples, numbers), plain)


def test_an_end_token_makes_a_cut_off_caption_worth_less():
    end, references = 2, [[[5, 6, 7, 8, 9, 2]], [[5, 6, 10, 11, 12, 2]], [[13, 14, 15, 2]]]
    cider = CiderD.from_references(references)
    prepared = cider.prepare(references[:1])
    whole, cut = cider.score_prepared([[5, 6, 7, 8, 9, end], [5, 6, 7, 8, 9]], prepared * 2)
    assert whole == pytest.approx(1000)
    assert cut < 900


def test_document_frequency_counts_pictures_not_captions():
    cider = CiderD.from_references([[["a", "a", "dog"], ["a", "dog"]], [["a", "cat"]]])
    assert cider.log_documents == pytest.approx(math.log(2))
    once = [("dog",), ("cat",), ("a", "a"), ("a", "dog"), ("a", "cat"), ("a", "a", "dog")]
    assert cider.document_frequency == {("a",): 2, **dict.fromkeys(once, 1)}


def test_bleu_of_resampled_pictures_is_bleu_of_their_statistics():
    hypotheses, references = invented(3)
    rows = bleu_statistics(hypotheses, references)
    chosen = np.random.default_rng(0).integers(len(hypotheses), size=len(hypotheses))
    again = bleu([hypotheses[index] for index in chosen], [references[index] for index in chosen])
    assert BleuScore.from_statistics(rows[chosen]) == again


def test_the_order_of_references_does_not_matter():
    hypotheses, references = invented(4)
    turned = [others[::-1] for others in references]
    assert bleu(hypotheses, turned) == bleu(hypotheses, references)
    assert np.array_equal(rouge_l(hypotheses, turned), rouge_l(hypotheses, references))


METRICS = [bleu, rouge_l, lambda hypotheses, references: CiderD({}, 1.0).score(hypotheses, references)]


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


@pytest.mark.parametrize(
    "token",
    [
        "<s>",
        "</s>",
        "<end>",
        "<unk>",
        "<UNK>",
        "<eos>",
        "<pad>",
        "<bos>",
        "<start>",
        "<|endoftext|>",
        "[PAD]",
        "[unk]",
        "startseq",
        "endseq",
    ],
)
def test_report_refuses_special_tokens_and_names_the_prediction(token):
    with pytest.raises(UserError) as error:
        corpus_report(SPOKEN | {"1": f"{token} a dog", "3": f"a dog{' ' * token.isalpha()}{token}"}, FIVE)
    assert f"special token: 2, the first is ('1', '{token}');" in str(error.value)


def test_report_scores_an_empty_prediction_zero_and_says_so():
    report = corpus_report(SPOKEN | {"1": "", "2": "..."}, FIVE)
    full = corpus_report(SPOKEN, FIVE)
    assert report["ROUGE-L"] == pytest.approx(full["ROUGE-L"] * 3 / 5)
    assert report["length_ratio"] < full["length_ratio"]
    assert report["warnings"] == ["predictions without a word, which score 0: 2, the first is '1'"]


def test_report_on_one_picture_is_defined_and_warns_about_cider():
    references = ["A dog runs on the grass .", "a brown dog is running outside"]
    report = corpus_report({"1": "a dog runs on the grass"}, {"1": references})
    assert [report[f"BLEU-{order}"] for order in range(1, 5)] == pytest.approx([100] * 4, abs=1e-5)
    assert report["ROUGE-L"] == pytest.approx(100)
    assert report["CIDEr"] == 0.0
    assert report["precisions"] == [100] * 4
    assert report["brevity_penalty"] == report["length_ratio"] == 1.0
    assert "|refs:2-2|" in report["signature"]
    assert len(report["warnings"]) == 1 and "several pictures" in report["warnings"][0]


@pytest.mark.parametrize("words", range(4))
def test_report_warns_when_no_prediction_is_long_enough_for_bleu_4(words):
    report = corpus_report(dict.fromkeys(FIVE, " ".join(["dogs"] * words)), FIVE)
    assert f"over {words} words" in report["warnings"][-1]


def test_report_does_not_depend_on_the_order_of_predictions():
    references = {
        key: [f"a {word} dog runs on grass"]
        for key, word in zip("abc", ("red", "small", "café"), strict=True)
    }
    predictions = {"a": "a red dog", "b": "a small dog runs", "c": "café grass"}
    turned = dict(reversed(predictions.items()))
    assert corpus_report(predictions, references) == corpus_report(turned, references)
