"""A prompt, read on: as it is written, at several temperatures, and what else it might have said."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app import text_cards, views
from app.limits import limits
from app.resources import choose_text_model, chosen_text_folder, chosen_text_model, gate
from app.text_cards import Card
from app.writing import TEMPERATURES, Task, Written, other_words, write
from textgen.alternatives import Place
from textgen.generator import GeneratedText, GenerationConfig, TextGenerator
from textgen.sweep import PROMPTS
from textgen.text_model import MODELS, models_in_the_box
from textgen.tokenizer import CharTokenizer

_WRITTEN, _PLACES = "text_written", "text_places"  # keys of a session
_FRAME = 0.04  # seconds between two looks at a growing text
_STOPS = {"a line ends": "\n", "a blank line": "\n\n"}
_KEPT = {"persist_state": "session"}


def main() -> None:
    text_cards.style()
    views.heading(
        "Text",
        "Type a beginning, and watch a small neural network read on. It writes well and means nothing.",
    )
    asked, shown = st.columns([5, 8], gap="medium")
    with asked:
        generator = _model()
        task = _task(generator)
    written = st.session_state.get(_WRITTEN)
    many = len((task or written.task).temperatures) > 1 if task or written else False
    # Both are emptied at once: what stood in the other is of the text before.
    beside, below = shown.empty(), st.empty()
    with (below if many else beside).container(), views.errors_shown():
        # Whatever is clicked ends a run of this page, and a growing text with it.
        if task:
            _write(generator, task)
        elif written:
            _show(generator, written)
        else:
            text_cards.show_nothing("What it writes will stand here.")


def _model() -> TextGenerator:
    chosen = chosen_text_folder()
    folders = [MODELS / name for name in models_in_the_box()]
    folders += [chosen] * (chosen not in folders)
    picked = st.segmented_control(
        "Model", folders, default=chosen, required=True, format_func=_title, key="text-model"
    )
    if picked != chosen:
        choose_text_model(picked)
        st.rerun()
    return chosen_text_model()


def _title(folder: Path) -> str:
    return folder.name.capitalize()


def _task(generator: TextGenerator) -> Task | None:
    """The controls, and what they say once a button is pressed."""
    characters = isinstance(generator.tokenizer, CharTokenizer)
    unit = "characters" if characters else "words"
    name = _title(chosen_text_folder())
    example = "" if generator.lines else PROMPTS["char" if characters else "word"][0].strip()
    prompt = st.text_area("Beginning", example, height=110, max_chars=10_000, key=f"prompt-{name}", **_KEPT)
    temperature = st.slider(
        "Temperature",
        0.0,
        2.0,
        GenerationConfig.temperature,
        0.05,
        key="text-temperature",
        help="0 always takes the likeliest; higher is wilder.",
        **_KEPT,
    )
    length = st.slider(
        f"Length, in {unit}",
        20,
        limits().text_length,
        min(GenerationConfig.length, limits().text_length),
        10,
        key=f"text-length-{unit}",
        **_KEPT,
    )
    with st.expander("More settings"):
        top_k = st.number_input(
            "Choose among the likeliest (top-k)",
            0,
            len(generator.tokenizer),
            0,
            key=f"text-top-k-{name}",
            help=f"So many {unit} at most; 0 is all of them.",
            **_KEPT,
        )
        top_p = st.slider(
            "Choose among those that reach a probability (top-p)",
            0.0,
            1.0,
            1.0,
            0.01,
            key="text-top-p",
            help="1 leaves the choice free.",
            **_KEPT,
        )
        seed = st.number_input(
            "Seed",
            0,
            2**32 - 1,
            None,
            key="text-seed",
            placeholder="another one each time",
            help="The same seed and settings write the same text again.",
            **_KEPT,
        )
        stops = st.multiselect(
            "Stop before",
            list(_STOPS),
            accept_new_options=True,
            placeholder="Choose, or type a text and press Enter",
            key="text-stops",
            **_KEPT,
        )
    with st.container(horizontal=True):
        one = st.button("Write", type="primary", icon=":material/edit:", key="text-write")
        five = st.button(
            "At five temperatures",
            icon=":material/thermostat:",
            key="text-five",
            help="The same beginning and seed, from the likeliest text to a wild one.",
        )
    if not (one or five):
        return None
    config = GenerationConfig(
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=tuple(_STOPS.get(stop, stop) for stop in stops),
        seed=secrets.randbelow(2**32) if seed is None else seed,
    )
    return Task(name, prompt, config, TEMPERATURES if five else (temperature,))


def _write(generator: TextGenerator, task: Task) -> None:
    for warning in generator.read(task.prompt).warnings:
        st.info(views.plain(f"{warning[0].upper()}{warning[1:]}."), icon=":material/info:")
    # Above the text, so that it does not move while it is wanted.
    stop, bar, slot = st.empty(), st.empty(), st.empty()
    stop.button("Stop", icon=":material/stop_circle:", key="text-stop")
    st.session_state.pop(_PLACES, None)
    looked = 0.0
    for written in gate().steps(write(generator, task)):
        st.session_state[_WRITTEN] = written
        if time.monotonic() - looked > _FRAME and not written.whole:
            looked = time.monotonic()
            done = max(len(text.ids) for text in written.texts) / task.config.length
            bar.progress(min(done, 1.0), text="Writing")
            text_cards.show_growing(slot, [Card(title, text) for title, text in _titled(written)])
    for place in (stop, bar, slot):
        place.empty()
    _show(generator, written)


def _titled(written: Written) -> list[tuple[str, GeneratedText]]:
    temperatures = [f"Temperature {temperature:g}" for temperature in written.task.temperatures]
    return list(zip(temperatures, written.texts, strict=True))


def _show(generator: TextGenerator, written: Written) -> None:
    task = written.task
    places: Sequence[Sequence[Place]] = [()] * len(written.texts)
    with st.container(horizontal=True, vertical_alignment="center"):
        views.download("Download .txt", lambda: written.download, "text.txt", "text/plain")
        same = written.hash == generator.hash
        unit = "letter" if isinstance(generator.tokenizer, CharTokenizer) else "word"
        wanted = same and st.toggle(
            "What else it might have said",
            key="text-alternatives",
            help=f"Tap a {unit}, or go from one to the next by the arrow keys. Tinted is what was unlikely.",
        )
    if wanted:
        places = _places(generator, written)
    text_cards.show(
        [
            Card(title, text, _note(text, written), found)
            for (title, text), found in zip(_titled(written), places, strict=True)
        ]
    )
    views.note(f"{task.model} · seed {task.config.seed}")


def _note(text: GeneratedText, written: Written) -> str:
    if text.finished:
        return "Came to its end."
    return "" if written.whole or len(text.ids) == written.task.config.length else "Stopped."


def _places(generator: TextGenerator, written: Written) -> Sequence[Sequence[Place]]:
    """Of each text; looked up once."""
    if st.session_state.get(_PLACES, (None,))[0] is not written:
        found: list[list[Place]] = [[] for _ in written.texts]
        total = sum(len(text.ids) for text in written.texts)
        bar = st.progress(0.0, text="Reading it once more")
        looked = time.monotonic()
        for count, (number, place) in enumerate(gate().steps(other_words(generator, written.texts)), 1):
            found[number].append(place)
            if time.monotonic() - looked > _FRAME:
                looked = time.monotonic()
                bar.progress(min(count / total, 1.0), text="Reading it once more")
        bar.empty()
        st.session_state[_PLACES] = (written, found)
    return st.session_state[_PLACES][1]


main()
