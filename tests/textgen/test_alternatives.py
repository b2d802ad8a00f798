"""What else a text might have said: the model's own distribution at every place, and the text itself in pieces."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.helpers.text_models import generator, slow_log_probs, untrained
from textgen.alternatives import alternatives
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

KINDS = ("char", "word", "lines")
SETTINGS = {"length": 25, "temperature": 1.2, "seed": 3}


@pytest.fixture(params=KINDS)
def made(request):
    """A generator, its kind, and a text of its own."""
    spoken = generator(request.param)
    return spoken, spoken.generate("In the evening", **SETTINGS)[0]


def test_the_places_joined_are_the_text(made):
    spoken, text = made
    assert "".join(place.text for place in alternatives(spoken, text)) == text.text


def test_the_probabilities_are_those_of_teacher_forcing(made):
    spoken, text = made
    prompt = spoken.read(text.prompt).ids
    expected = np.exp(slow_log_probs(spoken, [*prompt, *text.ids])[len(prompt) :])
    found = [place.probability for place in alternatives(spoken, text)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["char", "word"])
def test_the_probabilities_make_up_the_log_probability_of_the_text(kind):
    spoken = generator(kind)
    text = spoken.generate("Tom", **SETTINGS)[0]
    places = list(alternatives(spoken, text))
    assert len(places) == len(text.ids)
    assert sum(math.log(place.probability) for place in places) == pytest.approx(text.log_prob, abs=1e-4)


def test_the_end_token_makes_up_the_rest_where_a_text_comes_to_an_end():
    spoken = generator("lines")
    text = spoken.generate("red", **SETTINGS)[0]
    assert text.finished
    prompt = spoken.read(text.prompt).ids
    last = slow_log_probs(spoken, [*prompt, *text.ids, EOS])[-1]
    said = sum(math.log(place.probability) for place in alternatives(spoken, text))
    assert said + last == pytest.approx(text.log_prob, abs=1e-4)


def test_every_token_that_can_be_generated_is_there_the_likeliest_first(made):
    spoken, text = made
    size = len(spoken.tokenizer)
    for index, place in enumerate(alternatives(spoken, text, k=size)):
        probabilities = [choice.probability for choice in place.likeliest]
        assert probabilities == sorted(probabilities, reverse=True)
        ends = spoken.end is not None and index > 0
        assert len(place.likeliest) == size - 4 + ends
        assert [choice.text for choice in place.likeliest].count("") == ends
        assert probabilities[place.rank - 1] == pytest.approx(place.probability)


@pytest.mark.parametrize("kind", KINDS)
def test_the_listed_probabilities_leave_out_those_of_the_special_tokens(kind):
    spoken = untrained(kind)
    text = spoken.generate("Tom", length=1, temperature=1.0, seed=0)[0]
    (place,) = alternatives(spoken, text, k=len(spoken.tokenizer))
    prompt = spoken.read("Tom").ids
    special = [math.exp(slow_log_probs(spoken, [*prompt, token])[-1]) for token in (PAD, BOS, EOS, UNK)]
    listed = sum(choice.probability for choice in place.likeliest)
    assert sum(special) > 1e-6 and listed == pytest.approx(1 - sum(special), abs=1e-5)


def test_fewer_are_the_first_of_more(made):
    spoken, text = made
    three, nine = (list(alternatives(spoken, text, k=k)) for k in (3, 9))
    assert [place.likeliest for place in three] == [place.likeliest[:3] for place in nine]


def test_greedy_choices_are_the_likeliest():
    spoken = generator("word")
    text = spoken.generate("Ann", length=12, temperature=0)[0]
    assert {place.rank for place in alternatives(spoken, text)} == {1}


def test_a_stop_text_has_no_place():
    spoken = generator("char")
    whole = spoken.generate("Tom", length=60, temperature=0.8, seed=1)[0].text
    stop = whole[20:23]
    text = spoken.generate("Tom", length=60, temperature=0.8, seed=1, stop=stop)[0]
    assert text.finished and 0 < len(text.text) < len(text.ids)
    assert "".join(place.text for place in alternatives(spoken, text)) == text.text


def test_a_space_that_the_prompt_has_is_not_there_twice():
    spoken = generator("word")
    text = spoken.generate("In the evening ", length=6, seed=1)[0]
    assert not text.text.startswith(" ")
    assert "".join(place.text for place in alternatives(spoken, text)) == text.text


def test_a_text_that_is_still_growing_has_its_places_too():
    spoken = generator("char")
    texts = list(spoken.grow("Tom", **SETTINGS))
    places = list(alternatives(spoken, texts[-1]))
    assert list(alternatives(spoken, texts[9])) == places[:10]


@pytest.mark.parametrize("k", [0, -1])
def test_k_is_refused_by_name(k):
    spoken = generator("char")
    with pytest.raises(UserError, match=f"k: {k} "):
        alternatives(spoken, spoken.generate("Tom", length=3)[0], k=k)


# --- a text as it grows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [(), ("saw", "moon")])
def test_a_text_grows_a_token_at_a_time_to_what_generate_gives(kind, stop):
    spoken = generator(kind)
    settings = {**SETTINGS, "stop": stop}
    texts = list(spoken.grow("In", **settings))
    assert texts[-1] == spoken.generate("In", **settings)[0]
    sizes = [len(text.ids) for text in texts]
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(sizes))
    assert all(texts[-1].text.startswith(text.text) for text in texts)


def test_what_has_grown_is_what_has_been_streamed():
    spoken = generator("word")
    shown = ""
    pieces = [shown := shown + piece for piece in spoken.stream("Ann", stop=".", **SETTINGS)]
    grown = [text.text for text in spoken.grow("Ann", stop=".", **SETTINGS)]
    assert list(dict.fromkeys(text for text in grown if text)) == pieces
