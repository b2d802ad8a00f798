"""`TextGenerator`: one answer whichever way it is asked, the prompt as typed, and only what may be printed."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import numpy as np
import pytest

from tests.helpers.step_models import Scripted
from tests.helpers.text_models import ended, generator, untrained
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.text.encoding import start_of_text
from textgen.text.tokenizer import SPECIAL_TOKENS, CharTokenizer, ProseTokenizer
from textgen.text.words import PARAGRAPH, split_prose

KINDS = ("char", "word", "lines")
PROMPTS = ("Tom", "red boat", "", "In the evening Ann saw", "T")
AWKWARD = (
    "",
    " ",
    "Tom ",
    "\n\n",
    "a\r\nb",
    "\ttab",
    "naïve — “quote”",
    "日本",
    "🙂 red",
    "<eos>",
    "e\u0301",
)


exact = attrgetter("prompt", "text", "ids", "finished")


def assert_same(found, expected):
    assert [exact(text) for text in found] == [exact(text) for text in expected]
    assert [text.log_prob for text in found] == pytest.approx([t.log_prob for t in expected], abs=1e-3)


def says(*script, tokens=(), prose=True):
    """A generator that says `script`, then nothing but the end, which is left out."""
    tokenizer = (ProseTokenizer if prose else CharTokenizer)(tokens)
    model = Scripted([tokenizer.ids[piece] for piece in script])
    return TextGenerator(model, tokenizer, {"config": {"lines": True}}, hash="")


# --- one answer, whichever way it is asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0},
        {"temperature": 1.5, "top_k": 5},
        {"top_p": 0.8, "min_p": 0.01, "repetition_penalty": 1.3},
        {"temperature": 1.5, "stop": ("the old", "ea", "red moon x")},
    ],
    ids=str,
)
def test_a_stream_joined_is_the_generated_text_and_so_is_every_way_to_ask(kind, settings):
    settings = {"length": 30, "seed": 3, **settings}
    model = generator(kind)
    together = model.generate(PROMPTS, n=3, **settings)
    for prompt, texts in zip(PROMPTS, together, strict=True):
        assert "".join(model.stream(prompt, **settings)) == texts[0].text
        assert_same(model.generate(prompt, n=3, **settings), texts)
        assert_same(model.generate([prompt], n=2, **settings)[0], texts[:2])
        assert_same(model.generate(prompt, **settings), texts[:1])
    assert model.generate([], n=3, **settings) == []


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_text_other_seed_other_text(kind):
    def texts(seed):
        return [text.ids for text in generator(kind).generate(n=3, length=30, temperature=1.5, seed=seed)]

    assert texts(1) == texts(1) != texts(2)
    assert texts(None) != texts(None)
    assert len(set(texts(1))) == 3


def test_eight_threads_get_what_one_gets():
    jobs = [(kind, prompt, seed) for kind in KINDS for prompt in PROMPTS[:3] for seed in range(2)]

    def job(item):
        kind, prompt, seed = item
        return generator(kind).generate(prompt, n=2, length=25, seed=seed)

    alone = [job(item) for item in jobs]
    with ThreadPoolExecutor(8) as pool:
        for found, expected in zip(pool.map(job, jobs), alone, strict=True):
            assert_same(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_0_is_the_most_likely_token_whatever_else_is_set(kind):
    model = generator(kind)
    greedy = model.generate(length=20, temperature=0)[0]
    for settings in ({"top_k": 7, "seed": 5}, {"top_p": 0.1}, {"min_p": 1.0, "top_p": 0.0, "seed": 0}):
        assert_same(model.generate(length=20, temperature=0, **settings), [greedy])
    assert_same(model.generate(length=20, temperature=1e-30), [greedy])
    state, token = model.model.start(None, 1), start_of_text(model.tokenizer, model.lines)
    for expected in ended(model, greedy):
        logits, state = model.model.step(np.array([token]), state)
        token = int(logits.argmax())
        assert token == expected


# --- the prompt, and what may be printed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", AWKWARD, ids=repr)
def test_the_prompt_comes_first_exactly_as_typed(kind, prompt):
    for text in generator(kind).generate(prompt, n=2, length=5, seed=0):
        assert text.prompt == prompt and str(text) == prompt + text.text


@pytest.mark.parametrize("kind", KINDS)
def test_no_special_token_is_ever_printed(kind):
    for seed in range(8):
        model = untrained(kind, seed, end_bias=-1)
        for temperature in (0, 1, 1e9):
            for text in model.generate(["", "Q 日"], n=6, length=25, temperature=temperature, seed=seed):
                for one in text:
                    assert min(one.ids, default=4) >= len(SPECIAL_TOKENS)
                    assert not any(name in one.text for name in SPECIAL_TOKENS)


def test_lines_end_by_their_end_token_and_are_finished_or_cut():
    texts = generator("lines").generate(n=20, length=60, seed=0)
    assert all(text.finished and len(text.text.split()) == 3 and len(text.ids) < 60 for text in texts)
    cut = generator("lines").generate(n=20, length=5, seed=0)
    assert [(text.text, text.finished) for text in cut] == [(text.text[:5], False) for text in texts]


@pytest.mark.parametrize("kind", ["char", "word"])
@pytest.mark.parametrize("length", [1, 2, 63])
def test_a_stream_is_read_on_for_the_whole_length(kind, length):
    for text in generator(kind).generate(["", "Tom"], n=2, length=length, seed=1):
        assert [(len(one.ids), one.finished) for one in text] == [(length, False)] * 2


def test_unknown_characters_are_said_and_the_rest_is_read():
    model = generator("char")
    text = model.generate("In 日the ev☂ening", length=10, temperature=0)[0]
    assert len(text.warnings) == 1 and "'日', '☂'" in text.warnings[0]
    assert text.text == model.generate("In the evening", length=10, temperature=0)[0].text
    replaced = model.generate("Tom’s", length=1)[0].warnings
    assert len(replaced) == 1 and "’" in replaced[0]
    assert model.generate("Tom saw", length=1)[0].warnings == ()


@pytest.mark.parametrize(
    ("prompt", "script", "text"),
    [
        ("", ["Hello", "Hello"], "Hello Hello"),
        ("Tom", ["Hello", ",", "Hello"], " Hello, Hello"),
        ("Tom ", ["Hello", "Hello"], "Hello Hello"),
        ("Tom  ", ["Hello"], "Hello"),
        ("Tom\n", ["Hello"], "Hello"),
        ("Tom\n\n", ["Hello"], "Hello"),
        ("Tom ", [","], ","),
        ("Tom", [PARAGRAPH, "Hello"], "\n\nHello"),
        ("Tom", ["``", "Hello", "''", "Hello"], ' "Hello" Hello'),
        ("Tom ", ["``", "Hello", "''"], '"Hello"'),
        ('"', ["Hello"], "Hello"),
        ('Tom "', ["Hello"], "Hello"),
        ('Tom, "Hello', ["''", "Hello"], '" Hello'),
        ('Tom, "Hello"', ["Hello"], " Hello"),
        ("Tom '", ["Hello"], "Hello"),
        ("Tom (", ["Tom", ")"], "Tom)"),
        (" ", ["Hello"], "Hello"),
    ],
    ids=repr,
)
def test_words_follow_a_prompt_as_written_english(prompt, script, text):
    known = dict.fromkeys([*script, *split_prose(prompt)])
    model = says(*script, tokens=[*known, *"wxyz"][:5])
    assert model.generate(prompt, length=9)[0].text == text
    assert "".join(model.stream(prompt, length=9)) == text


# --- stop texts


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_ends_before_any_stop_text_wherever_that_lies(kind):
    model, settings = generator(kind), {"length": 24, "temperature": 0.9, "seed": 7}
    whole = model.generate("T", **settings)[0].text
    for size in (1, 3, 7, len(whole)):
        for start in range(0, len(whole) - size + 1, 5):
            stop = whole[start : start + size]
            text = model.generate("T", stop=stop, **settings)[0]
            assert (text.text, text.finished) == (whole[: whole.find(stop)], True)
            assert "".join(model.stream("T", stop=(stop,), **settings)) == text.text


@pytest.mark.parametrize(
    ("stop", "text", "finished"),
    [
        ((), "abcabd", False),
        ("abd", "abc", True),
        (("bd", "ca"), "ab", True),
        (("d", "bd", "abd"), "abc", True),
        (("cab", "b"), "a", True),
        (("a",), "", True),
        (("abcabd",), "", True),
        (("abcabda", "d!"), "abcabd", False),
        (["x", "abdx"], "abcabd", False),
    ],
    ids=str,
)
def test_several_stop_texts_end_at_the_first(stop, text, finished):
    model = says(*"abcabdaaaa", tokens="abcd!", prose=False)
    found = model.generate(length=6, stop=stop)[0]
    assert (found.text, found.finished) == (text, finished)
    pieces = list(model.stream(length=6, stop=stop))
    assert "".join(pieces) == text and all(pieces)
    if not stop:
        assert pieces == list(text)  # each as soon as it is known


def test_what_may_begin_a_stop_text_is_held_back_and_no_more():
    model = says(*"abcabd", tokens="abcd!", prose=False)
    assert list(model.stream(length=9, stop="abd")) == ["abc"]
    assert list(model.stream(length=9, stop="bx")) == ["a", "bc", "a", "bd"]
    assert list(model.stream(length=9, stop="d!")) == ["a", "b", "c", "a", "b", "d"]


def test_a_stop_text_within_the_prompt_does_not_count():
    assert len(generator("char").generate("Tom#", length=9, stop="#")[0].text) == 9


# --- settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", v) for v in (0, -1, 10**12)]
    + [("temperature", v) for v in (-1, -1e-30, math.nan, math.inf)]
    + [("top_k", -1), ("top_p", 1.5), ("top_p", -0.1), ("top_p", math.nan), ("min_p", 2), ("min_p", math.nan)]
    + [("repetition_penalty", v) for v in (0, -1, math.nan, 1e9)]
    + [("seed", -1), ("stop", ""), ("stop", ("a", "")), ("n", 0), ("n", -3)],
)
def test_settings_out_of_range_are_one_line_that_names_them(name, value):
    with pytest.raises(UserError, match=rf"\A{name}: [^\n]+\Z"):
        generator("char").generate("Tom", **{name: value})
    if name != "n":
        with pytest.raises(UserError, match=rf"\A{name}: [^\n]+\Z"):
            generator("char").stream("Tom", **{name: value})  # at once, not when it is first read


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e9, 1e308])
@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 10**6, "top_p": 0.0}, {"top_p": 0.5, "min_p": 1}], ids=str
)
def test_tiny_and_huge_temperatures_stay_finite(temperature, settings):
    for text in generator("char").generate(n=3, length=15, temperature=temperature, seed=0, **settings):
        assert len(text.text) == 15 and math.isfinite(text.log_prob)


class Unvarying:
    """A StepModel whose logits are ever the same: the first of its characters is the likeliest."""

    def __init__(self, size):
        self.vocab_size = size
        self.logits = np.linspace(10, 9, size, dtype=np.float32)[None]

    def start(self, context, rows, lengths=None):
        return None

    def prefill(self, ids, state):
        return self.logits, state

    step = prefill


def test_the_repetition_penalty_looks_back_64_characters():
    tokenizer = CharTokenizer([chr(ord("A") + i) for i in range(80)])
    model = TextGenerator(Unvarying(len(tokenizer)), tokenizer, {"config": {"lines": False}}, hash="")
    text = model.generate(length=200, temperature=0, repetition_penalty=2)[0].text
    # The likeliest that has not come within the last 64: 65 take turns.
    assert text == "".join(chr(ord("A") + i % 65) for i in range(200))
    assert model.generate(length=9, temperature=0)[0].text == "A" * 9


def test_a_model_that_computes_nan_is_named():
    model = untrained("char")
    model.model._decoder.output_bias.data[5] = math.nan
    for call in (model.generate, model.score):
        with pytest.raises(UserError, match=r"\Athe model computed NaN or infinity[^\n]+\Z"):
            call("Tom")


def test_a_line_is_never_empty():
    tokenizer = CharTokenizer("ab")
    model = TextGenerator(Scripted(*[[]] * 5), tokenizer, {"config": {"lines": True}}, hash="")
    assert [len(text.text) for text in model.generate(n=5, length=9, temperature=0)] == [1] * 5


def test_a_text_that_two_threads_read_at_once_is_whole_in_one_or_refused():
    model = generator("char")
    text = model.generate("Tom", length=200, seed=1)[0].text
    for make in (model.stream, model.grow):
        shared, gate = make("Tom", length=200, seed=1), threading.Barrier(2)

        def read(_, shared=shared, gate=gate):
            gate.wait()
            try:
                return list(shared)
            except UserError as error:
                return str(error)

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(read, range(2)))
        for one in found:
            if isinstance(one, str):
                assert "two threads at once" in one
            else:
                assert not one or (one[-1].text if make == model.grow else "".join(one)) == text
