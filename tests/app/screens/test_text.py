"""The Text page: what the library writes, with every setting; one sentence an error; nothing of a prompt is markup."""

import json
from dataclasses import replace

import pytest

from tests.helpers.app_pages import assert_fine, opened, the_error
from tests.helpers.command_lines import run_command
from textgen.alternatives import alternatives
from textgen.generation_config import GenerationConfig
from textgen.generator import TextGenerator

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.gate import Busy, Gate
from app.work.limits import Limits
from app.work.writing import TEMPERATURES, Task, Written, write

SETTINGS = {"length": 60, "seed": 7}
PROMPT = "The king "


@pytest.fixture
def page():
    shown = opened("text")
    shown.text_area[0].set_value(PROMPT)
    shown.slider(key="text-length-characters").set_value(60)
    shown.number_input(key="text-seed").set_value(7)
    return shown


def press(page, key):
    page.button(key=key).click().run()
    return page


def texts(page):
    """What the page's cards hold."""
    assert_fine(page)
    return page.session_state["text_written"].texts


def cards(page):
    """What the browser is given to show."""
    (element,) = page.get("bidi_component")
    return json.loads(element.proto.json)


@pytest.fixture(scope="module")
def shakespeare():
    return TextGenerator.load("shakespeare")


def test_the_text_is_the_librarys(page, shakespeare):
    (text,) = texts(press(page, "text-write"))
    assert text == shakespeare.generate(PROMPT, **SETTINGS)[0]
    assert page.session_state["text_written"].whole


def test_the_text_is_the_command_lines(page, capsys):
    from textgen.cli import main

    (text,) = texts(press(page, "text-write"))
    argv = ("generate", PROMPT, "--length", 60, "--seed", 7)
    assert run_command(main, capsys, *argv) == (0, f"{text}\n", "")


def test_every_setting_reaches_the_model(page, shakespeare):
    page.slider(key="text-temperature").set_value(1.4)
    page.number_input(key=f"text-top-k-{shakespeare.hash[:12]}").set_value(4)
    page.slider(key="text-top-p").set_value(0.6)
    (text,) = texts(press(page, "text-write"))
    plain = shakespeare.generate(PROMPT, **SETTINGS)[0]
    settings = {**SETTINGS, "temperature": 1.4, "top_k": 4, "top_p": 0.6}
    assert text == shakespeare.generate(PROMPT, **settings)[0] != plain


def test_a_text_stops_before_what_was_chosen(page, shakespeare):
    page.slider(key="text-length-characters").set_value(300)
    page.multiselect(key="text-stops").set_value(["a line ends"])
    (text,) = texts(press(page, "text-write"))
    assert text.finished and "\n" not in text.text and len(text.text) < 300
    assert text == shakespeare.generate(PROMPT, length=300, seed=7, stop="\n")[0]
    assert "Came to its end." in cards(page)["html"]


def test_a_seed_that_was_drawn_is_told_and_writes_the_same_again(page):
    page.number_input(key="text-seed").set_value(None)
    (first,) = texts(press(page, "text-write"))
    seed = page.session_state["text_written"].task.config.seed
    assert any(f"seed {seed}" in note.proto.body for note in page.get("html"))
    (second,) = texts(press(page, "text-write"))
    assert page.session_state["text_written"].task.config.seed != seed and second != first
    page.number_input(key="text-seed").set_value(seed)
    assert texts(press(page, "text-write")) == (first,)


def test_five_temperatures_are_five_texts_of_the_library(page, shakespeare):
    found = texts(press(page, "text-five"))
    assert found == tuple(
        shakespeare.generate(PROMPT, temperature=temperature, **SETTINGS)[0] for temperature in TEMPERATURES
    )
    shown = cards(page)["html"]
    assert shown.count("<article") == 5 and all(f"Temperature {t:g}<" in shown for t in TEMPERATURES)


def test_the_other_model_writes_words(page):
    page.segmented_control(key="text-model").set_value(
        page.session_state["text-model"].with_name("novels")
    ).run()
    assert page.text_area[0].value == "It was"
    page.slider(key="text-length-words").set_value(20)
    (text,) = texts(press(page, "text-write"))
    assert text == TextGenerator.load("novels").generate("It was", length=20, seed=7)[0]


def test_what_else_it_might_have_said_is_the_models_own(page, shakespeare):
    (text,) = texts(press(page, "text-write"))
    assert cards(page)["places"] == [[]]
    page.toggle(key="text-alternatives").set_value(True).run()
    assert_fine(page)
    (places,) = cards(page)["places"]
    expected = list(alternatives(shakespeare, text))
    assert len(places) == len(text.ids) == len(expected)
    for shown, place in zip(places, expected, strict=True):
        probabilities = [choice.probability for choice in place.likeliest]
        assert [choice[2] for choice in shown["choices"][:5]] == probabilities
        (chosen,) = [choice for choice in shown["choices"] if choice[3]]
        assert chosen[2] == pytest.approx(place.probability)
    names = {choice[0] for place in places for choice in place["choices"]}
    assert {"space", "line break"} <= names and not names & {" ", "\n", ""}


def test_a_prompt_is_shown_as_typed_and_never_as_markup(page):
    page.text_area[0].set_value('<img src=x onerror="alert(1)"> **&amp;**')
    press(page, "text-write")
    shown = cards(page)["html"]
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; **&amp;amp;**" in shown and "<img" not in shown


def test_a_long_prompt_is_whole_and_does_not_push_the_text_away(page):
    prompt = "To be or not to be. " * 100
    page.text_area[0].set_value(prompt)
    press(page, "text-write")
    shown = cards(page)["html"]
    assert prompt in shown and 'class="prompt long"' in shown and 'tabindex="0"' in shown
    page.text_area[0].set_value(PROMPT)
    press(page, "text-write")
    assert "prompt long" not in cards(page)["html"]


def test_what_the_model_cannot_read_is_told(page):
    page.text_area[0].set_value("naïve 犬")
    press(page, "text-write")
    assert_fine(page)
    told = " ".join(info.value for info in page.info)
    assert "ï" in told and "犬" in told


def test_an_empty_prompt_is_one_too(page, shakespeare):
    page.text_area[0].set_value("")
    assert texts(press(page, "text-write")) == (shakespeare.generate("", **SETTINGS)[0],)


def test_a_visitor_is_told_that_it_is_busy_and_loses_nothing(page, monkeypatch):
    (before,) = texts(press(page, "text-write"))
    full = Gate(Limits(inferences=1, queue=0, wait_seconds=0.1))
    monkeypatch.setattr("app.work.resources.gate", lambda: full)
    with full.place():
        press(page, "text-write")
        assert the_error(page) == str(Busy())
    assert page.session_state["text_written"].texts == (before,)
    assert texts(press(page, "text-write")) == (before,)


def test_a_text_that_was_stopped_says_so_and_can_be_kept(page, shakespeare):
    task = Task("Shakespeare", PROMPT, GenerationConfig(**SETTINGS), (0.8,))
    grown = list(write(shakespeare, task))
    page.session_state["text_written"] = grown[9]
    page.run()
    assert_fine(page)
    assert "Stopped." in cards(page)["html"] and len(grown[9].texts[0].ids) == 10
    assert grown[9].download == f"{PROMPT}{grown[-1].texts[0].text[:10]}\n"


def test_several_texts_are_downloaded_each_under_its_temperature(shakespeare):
    task = Task("Shakespeare", PROMPT, GenerationConfig(length=5, seed=1), (0.0, 1.0))
    *_, written = write(shakespeare, task)
    first, second = written.texts
    assert written.download == f"--- temperature 0\n{first}\n\n--- temperature 1\n{second}\n"


def test_texts_grow_side_by_side_and_only_the_last_is_whole(shakespeare):
    task = Task("Shakespeare", PROMPT, GenerationConfig(**SETTINGS, stop=("\n",)), (0.0, 1.3))
    steps: list[Written] = list(write(shakespeare, task))
    assert [step.whole for step in steps] == [False] * (len(steps) - 1) + [True]
    assert steps[-1].texts == replace(steps[-2], whole=True).texts
    assert len({len(text.ids) for text in steps[4].texts}) == 1
