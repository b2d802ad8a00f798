"""The settings of a model as widgets; a visitor finds them again on coming back to a page."""

from __future__ import annotations

import random
from typing import Any, Literal, TypedDict

import streamlit as st

from captioner.network.decoding_config import DecodingConfig


class Kept(TypedDict):
    """For every widget: what stands in it is there again when a visitor comes back to the page."""

    persist_state: Literal["session"]


_LARGEST_SEED = 2**31 - 1
_KEPT: Kept = {"persist_state": "session"}


def sampling_controls(key: str, temperature: float = 1.0) -> dict[str, Any]:
    """Sliders in a row; returns temperature, top_k, top_p and seed. `key` begins the widgets' keys."""
    columns = st.columns(4)
    with columns[0]:
        warmth = st.slider(
            "Temperature",
            0.0,
            2.0,
            temperature,
            0.05,
            key=f"{key}-temperature",
            help="0 always takes the likeliest; low is careful, high is daring.",
            **_KEPT,
        )
    with columns[1]:
        top_k = st.slider(
            "Top-k",
            0,
            100,
            0,
            key=f"{key}-top-k",
            help="Choose among this many of the likeliest only; 0 is all.",
            **_KEPT,
        )
    with columns[2]:
        top_p = st.slider(
            "Top-p",
            0.05,
            1.0,
            1.0,
            0.05,
            key=f"{key}-top-p",
            help="Choose among the likeliest that together reach this probability; 1 is all.",
            **_KEPT,
        )
    with columns[3]:
        seed = seed_control(key)
    return {"temperature": warmth, "top_k": top_k, "top_p": top_p, "seed": seed}


def seed_control(key: str) -> int:
    """A number that can be typed, or drawn."""
    name = f"{key}-seed"

    def draw() -> None:
        st.session_state[name] = random.randint(0, _LARGEST_SEED)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", wrap=False):
        seed = st.number_input(
            "Seed",
            0,
            _LARGEST_SEED,
            1,
            key=name,
            help="The same seed, photo or prompt, and settings give the same again.",
            **_KEPT,
        )
        st.button("New", on_click=draw, key=f"{name}-new", help="Draw another seed", icon=":material/casino:")
    return seed


def caption_controls() -> DecodingConfig:
    """How captions are chosen."""
    left, middle, right = st.columns([2, 1, 1])
    with left:
        method = st.segmented_control(
            "How captions are chosen",
            list(_METHODS),
            default="beam",
            required=True,
            format_func=_METHODS.__getitem__,
            key="caption-method",
            help="Beam search looks for the captions that the model finds likeliest; sampling draws them by chance.",
            **_KEPT,
        )
    with middle:
        count = st.slider("Captions a photo", 1, 10, 3, key="caption-count", **_KEPT)
    if method == "sample":
        return DecodingConfig(n=count, **sampling_controls("caption", 0.8))
    with right:
        beam = st.slider(
            "Beam width",
            1,
            10,
            DecodingConfig.beam,
            key="caption-beam",
            help="Beginnings of captions that are followed side by side.",
            **_KEPT,
        )
    return DecodingConfig(n=count, beam=beam)


_METHODS = {"beam": "The likeliest", "sample": "Drawn by chance"}
