"""A prompt, read on: as it is written, at several temperatures, and what else it might have said."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.cards import text as text_cards
from app.cards import views
from app.cards.controls import Kept
from app.cards.text import Card
from app.work import families
from app.work.limits import limits
from app.work.model_info import titles
from app.work.resources import choose_text_model, chosen_text_folder, chosen_text_model, gate
from app.work.writing import TEMPERATURES, Task, Written, other_words, write
from textgen.alternatives import Place
from textgen.decoding.writing import StepWriter
from textgen.engine.text_model import BOX
from textgen.generation_config import GenerationConfig
from textgen.generator import GeneratedText, TextGenerator
from textgen.sweep import PROMPTS
from textgen.text.tokenizer import CharTokenizer

_WRITTEN, _PLACES = "text_written", "text_places"  # keys of a session
_FRAME = 0.04  # seconds between two looks at a growing text
_STOPS = {"a line ends": "\n", "a blank line": "\n\n"}
_PARTS = ("asked", "beside", "below", "settings")  # of the page, from above on a phone; see cards/text.css
_KEPT: Kept = {"persist_state": "session"}


def main() -> None:
    text_cards.style()
    views.heading(
        "Text",
        "Type a beginning, and watch a small neural network read on. It writes well and means nothing.",
    )
    with st.container(key="text-page"):
        asked, *shown, settings = (st.container(key=f"text-{part}") for part in _PARTS)
    generator = _model(asked)
    task = _task(generator, asked, settings)
    written: Written | None = st.session_state.get(_WRITTEN)
    shown_task = task or (written.task if written else None)
    many = shown_task is not None and len(shown_task.temperatures) > 1
    # Both are emptied at once: what stood in the other is of the text before.
    beside, below = (place.empty() for place in shown)
    with (below if many else beside).container(), views.errors_shown():
        # Whatever is clicked ends a run of this page, and a growing text with it.
        if task:
            _write(generator, task)
        elif written:
            _show(generator, written)
        else:
            text_cards.show_nothing("What it writes will stand here.")


def _model(place: DeltaGenerator) -> TextGenerator:
    chosen = chosen_text_folder()
    folders = _folders(chosen)
    names = titles(folders)
    picked = place.segmented_control(
        "Model",
        folders,
        default=chosen,
        required=True,
        format_func=lambda folder: views.plain(names[folder]),
        key="text-model",
    )
    if picked != chosen:
        choose_text_model(picked)
        st.rerun()
    return chosen_text_model()


def _folders(chosen: Path) -> list[Path]:
    # Those that are compared have a page of their own.
    folders = [folder for folder in BOX.folders() if not folder.name.startswith(families.PREFIX)]
    return folders + [chosen] * (chosen not in folders)


def _task(generator: TextGenerator, asked: DeltaGenerator, settings: DeltaGenerator) -> Task | None:
    """The controls, and what they say once a button is pressed."""
    characters = isinstance(generator.tokenizer, CharTokenizer)
    example = "" if generator.lines else PROMPTS["char" if characters else "word"][0].strip()
    with asked:
        prompt = st.text_area(
            "Beginning", example, height=90, max_chars=10_000, key=f"prompt-{_own(generator)}", **_KEPT
        )
        with st.container(horizontal=True):
            one = st.button("Write", type="primary", icon=":material/edit:", key="text-write")
            five = st.button(
                "At five temperatures",
                icon=":material/thermostat:",
                key="text-five",
                help="The same beginning and seed, from the likeliest text to a wild one.",
            )
    with settings:
        config = _settings(generator, "characters" if characters else "words")
    if not (one or five):
        return None
    if config.seed is None:
        config = replace(config, seed=secrets.randbelow(2**32))
    chosen = chosen_text_folder()
    name = titles(_folders(chosen))[chosen]
    return Task(name, prompt, config, TEMPERATURES if five else (config.temperature,))


def _own(generator: TextGenerator) -> str:
    """For the keys of controls that each model has for itself."""
    return generator.hash[:12]


def _settings(generator: TextGenerator, unit: str) -> GenerationConfig:
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
            key=f"text-top-k-{_own(generator)}",
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
    return GenerationConfig(
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=tuple(_STOPS.get(stop, stop) for stop in stops),
        seed=seed,
    )


def _write(generator: TextGenerator, task: Task) -> None:
    for warning in generator.read(task.prompt).warnings:
        st.info(views.plain(f"{warning[0].upper()}{warning[1:]}."), icon=":material/info:")
    # Above the text, so that it does not move while it is wanted.
    with st.container(horizontal=True, vertical_alignment="center"):
        stop, bar = st.empty(), st.empty()
    slot = st.empty()
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
    unit = "letter" if isinstance(generator.tokenizer, CharTokenizer) else "word"
    stepped = isinstance(generator.writer, StepWriter)
    if (
        stepped
        and written.hash == generator.hash
        and st.toggle(
            "What else it might have said",
            key="text-alternatives",
            help=f"Tap a {unit}, or go from one to the next by the arrow keys. Tinted is what was unlikely.",
        )
    ):
        places = _places(generator, written)
    text_cards.show(
        [
            Card(title, text, _note(text, written), found)
            for (title, text), found in zip(_titled(written), places, strict=True)
        ]
    )
    views.note(f"{task.model} · seed {task.config.seed}")
    views.download("Download .txt", lambda: written.download, "text.txt", "text/plain")


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
