"""Translating: every text gets one, lines stay lines, and nothing depends on what is beside it."""

import pickle

import numpy as np
import pytest

from tests.helpers.translators import NAMES, exported, pairs, trained, translator, untrained
from textgen.errors import UserError
from textgen.text.subwords import PLACEHOLDERS
from textgen.translation.config import TranslationConfig
from textgen.translation.copying import are_sentences
from textgen.translation.translator import Translator

LINES = ["The red boat sinks.", "Tom's lamp burns.", "", "The blue moon rises.", "  The black tree falls.  "]
ODD = {
    "empty": "",
    "spaces": " \t ",
    "a letter": "a",
    "a dot": ".",
    "another script": "Где находится вокзал?",
    "emoji": "😀",
    "among words": "The red 犬 boat 😀 sinks.",
    "control characters": "a\x00b\x07c\x1b[0m",
    "separators": "a\u2028b\x0bc\x85d",
    "half a character": "a\ud800b",
    "a place holder": f"The {PLACEHOLDERS[0]} boat",
    "many scripts": " a ".join(chr(0x4E00 + n) for n in range(20)),
    "5,000 words": "the red boat sinks " * 1250,
    "sentences": "The red boat sinks. " * 60,
    "an endless word": "x" * 3000,
    "marks": "?!" * 200,
}


@pytest.mark.slow  # it trains a model
def test_it_learns_to_translate():
    right = [str(translator().translate(source)) == target for source, target in pairs()[:16]]
    assert np.mean(right) > 0.8


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("settings", [{}, {"beam": 1}, {"beam": 2, "n": 2}], ids=str)
def test_any_text_gets_a_translation_with_as_many_lines(name, settings):
    text = ODD[name]
    found = untrained().translate(text, **settings)
    for one in (found, *found.others):
        assert one.source == text and "\n" not in one.text and "\r" not in one.text
        assert one.text.strip() or not text.strip()


@pytest.mark.parametrize("name", ["another script", "emoji", "marks", "empty", "spaces", "a dot"])
def test_what_has_no_known_letter_stays_as_it_is(name):
    assert untrained().translate(ODD[name]).text == ODD[name]


def test_unknown_letters_are_copied():
    for beam in (1, 4):
        text = untrained().translate(ODD["among words"], beam=beam).text
        assert text.count("犬") == 1 and text.count("😀") == 1
    assert not set(PLACEHOLDERS) & set(untrained().translate("The red boat").text)


@pytest.mark.slow
def test_names_are_kept():
    said = [str(translator().translate(f"{name}'s boat sinks.")) for name in NAMES]
    assert all(name in text for name, text in zip(NAMES, said, strict=True))


@pytest.mark.parametrize("beam", [1, 3])
def test_a_line_does_not_depend_on_those_beside_it(beam):
    made = untrained()
    together = made.translate(LINES * 3, beam=beam)
    assert [str(one) for one in together] == [str(made.translate(line, beam=beam)) for line in LINES * 3]


def test_lines_stay_lines_and_keep_the_space_at_their_ends():
    made = untrained()
    found = made.translate("\n".join(LINES))
    assert found.text.split("\n") == [str(made.translate(line)) for line in LINES]
    assert found.text.split("\n")[2] == "" and found.text.endswith("  ")
    assert made.translate("a\r\nb").text.count("\n") == 1


def test_several_come_best_first():
    found = untrained().translate("The red boat", n=4, beam=4)
    assert len(found.others) == 3 and len({found.text, *(o.text for o in found.others)}) >= 3


def test_lines_are_translated_as_they_come():
    taken = []

    def lines():
        for number in range(100):
            taken.append(number)
            yield f"line {number}"

    found = untrained().translate_each(lines(), beam=1)
    next(found)
    assert taken == [0]
    assert len(list(found)) == 99


def test_a_stream_is_the_greedy_translation():
    made = untrained()
    for text in (*LINES, "The red 犬 boat", "a\nb"):
        assert "".join(made.stream(text)) == made.translate(text, beam=1).text


def test_no_phrase_comes_three_times():
    for seed in range(6):
        made = untrained(seed)
        parts = made._read("The red boat sinks.").parts
        for ids in (found.ids for found in made._translate(parts, TranslationConfig(beam=2, n=2))[0]):
            for size in (2, 3, 4):
                grams = [ids[i : i + 3 * size] for i in range(len(ids) - 3 * size + 1)]
                assert not any(gram[:size] * 3 == gram for gram in grams)


def test_words_are_aligned_with_words():
    made = untrained()
    found = made.align("The red boat sinks.", "Das rote Boot")
    assert found.source == ("The", "red", "boat", "sinks.") and found.target == ("Das", "rote", "Boot")
    assert found.weights.shape == (3, 4)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(UserError, match="a sentence and its translation are needed"):
        made.align("", "x")


@pytest.mark.parametrize("line", ["the 犬 boat sinks", "Tom met 犬 and 犬猫.", "boat"])
def test_an_alignment_is_of_what_the_decoder_read_and_said(line):
    made = untrained()
    fragments = Translator(made.encode, made.model, made.tokenizer, {**made.header, "sentences": True}, "")
    for one in (made, fragments):
        (part,) = one._read(line).parts
        (best,) = one._translate([part], TranslationConfig())[0][:1]
        assert one._said(one.translate(line).text.strip(), part) == list(best.ids) or not best.finished
    found = fragments.align("the 犬 boat sinks", "Das 犬")
    assert found.source == ("The", "犬", "boat", "sinks.") and found.target == ("Das", "犬.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("...", "nothing in the line"),
        ("犬", "nothing in the line"),
        (LINES[0] + " a" * 99, "parts, each by itself"),
    ],
)
def test_what_was_not_translated_in_one_piece_is_not_aligned(line, message):
    with pytest.raises(UserError, match=message):
        untrained().align(line, "x")


@pytest.mark.slow
def test_a_trained_model_looks_at_the_word_it_translates():
    found = translator().align("The green lamp burns.", "Brennt das Lampe grün.")
    assert [found.source[place] for place in found.weights.argmax(axis=1)][2] == "lamp"


@pytest.mark.slow
def test_both_engines_say_the_same():
    texts = [source for source, _ in pairs()]
    for beam in (1, 3):
        by_torch, by_onnx = (translator(engine).translate(texts, beam=beam) for engine in ("torch", "onnx"))
        assert [one.text for one in by_torch] == [one.text for one in by_onnx]
        np.testing.assert_allclose([o.log_prob for o in by_torch], [o.log_prob for o in by_onnx], atol=1e-4)


@pytest.mark.slow
def test_in_8_bits_it_says_nearly_the_same():
    small = Translator.load(exported("int8"))
    texts = [source for source, _ in pairs()]
    same = [
        str(a) == str(b) for a, b in zip(small.translate(texts), translator().translate(texts), strict=True)
    ]
    assert np.mean(same) > 0.9


@pytest.mark.slow
def test_it_goes_to_other_processes_by_name():
    again = pickle.loads(pickle.dumps(translator()))
    assert str(again.translate(LINES[0])) == str(translator().translate(LINES[0]))
    assert Translator.load(trained()).languages == ("English", "Other")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"beam": 0}, "beam: 0"), ({"n": 51}, "n: 51"), ({"length_penalty": -1}, "length_penalty: -1")],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        untrained().translate("a", **settings)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(UserError, match="no such model or folder"):
        Translator.load(tmp_path / "none")
    with pytest.raises(UserError, match="a model of kind 'textgen', not 'translator'"):
        Translator.load("shakespeare")


def test_without_attention_the_decoder_sees_the_mean_alone():
    made = untrained(pooled=True)
    context, lengths = made._seen([[5, 6, 7], [8, 9, 10]])
    assert context.shape[1] == 1 and lengths.tolist() == [1, 1]
    assert (
        made.translate(LINES) == made.translate(LINES)
        and made.translate("The red 犬 boat").text.count("犬") == 1
    )
    with pytest.raises(UserError, match="has no attention"):
        made.align("a", "b")


def test_tabs_and_accents_are_read_as_they_are_written_elsewhere():
    made = untrained()
    plain = made.translate("The red boat für Tom", beam=1)
    odd_ones = ("The\tred boat für Tom", "The red\u00a0boat für Tom", "The red boat fu\u0308r Tom")
    for odd in (*odd_ones, "The red  boat   für Tom"):
        assert made.translate(odd, beam=1).text == plain.text


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u00ad", "\u2060", "\u200e", "\u200d"])
def test_what_nobody_sees_is_not_read(sign):
    made = untrained()
    plain = made.translate("The red boat sinks.")
    for odd in (f"{sign}The red boat sinks.{sign}", f"The r{sign}ed boat {sign} sinks.{sign}"):
        found = made.translate(odd)
        assert (found.text, found.source) == (plain.text, odd)
    assert made.translate("The\0red\x07boat sinks.").text == plain.text
    assert "👨\u200d👩\u200d👧" in made.translate("The 👨\u200d👩\u200d👧 sinks.").text


def test_no_line_is_as_likely_as_can_be():
    found = untrained().translate("").log_prob
    assert found == 0 and isinstance(found, float)


def test_what_is_there_at_the_moment_is_not_kept_waiting():
    def typed():
        for number in range(6):
            yield f"line {number}"
            yield None
            assert len(said) == number + 1

    said = []
    for one in untrained().translate_each(typed(), beam=1):
        said.append(one)
    assert len(said) == 6


@pytest.mark.slow
def test_a_fragment_is_read_as_the_sentence_that_it_would_be():
    known = translator()
    whole = known.translate("The red boat sinks.").text
    assert whole.endswith(".")
    for fragment in ("the red boat sinks", "The red boat sinks", "the red boat sinks."):
        end = "." if fragment.endswith(".") else ""
        assert known.translate(fragment).text == whole.removesuffix(".") + end
        assert "".join(known.stream(fragment)) == known.translate(fragment, beam=1).text
    plain = Translator(known.encode, known.model, known.tokenizer, {**known.header, "sentences": False}, "")
    assert plain.translate("The red boat sinks.").text == whole


def test_what_sentences_are_is_seen_in_the_pairs():
    assert are_sentences([("Go.", "x"), ("What?", "x"), ("1984!", "x")])
    assert not are_sentences([("go", "x"), ("dog", "x"), ("A dog.", "x")])
