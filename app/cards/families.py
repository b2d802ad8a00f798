"""Families of text models as they are shown: a card each, and quality against diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app.work.families import EXPLAINED
from textgen.report.web import element

_HEIGHT = 380  # pixels
_COLOURS = ("#2f6fd0", "#c2571a", "#2c8a57", "#9a4fbf", "#b8891b", "#c23b6b", "#4b7f8c")
_LOOKS = {"background": "transparent", "usermeta": {"embedOptions": {"actions": False}}}
_NEUTRAL = "#7d828b"  # readable on light and dark


def style() -> None:
    """The style sheet, once a run."""
    st.html(Path(__file__).with_suffix(".css"))


def show(families: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """A card a family: its title, two sentences, and what it says."""
    cards = [
        element(
            "article",
            element("h3", title),
            element("p", explained, class_="explained"),
            element("ul", *(element("li", line, dir="auto") for line in lines), class_="lines"),
            class_="family",
        )
        for title, explained, lines in families
    ]
    st.html(element("div", *cards, class_="families"))


def chart(figures: Mapping[str, Any]) -> alt.LayerChart:
    """Quality against diversity: a curve a family, a dot a temperature; real text is a cross."""
    rows = [
        {
            "family": EXPLAINED[model["family"]][0],
            "temperature": row["temperature"],
            "diversity": row["diversity"],
            "quality": row["quality"],
        }
        for model in figures["models"]
        if model["family"] in EXPLAINED
        for row in model["temperatures"]
    ]
    x = alt.X("diversity:Q", title="diversity, nats a word: lower is better", scale=alt.Scale(zero=False))
    y = alt.Y("quality:Q", title="quality, nats a word: lower is better", scale=alt.Scale(zero=False))
    curves = (
        alt.Chart(pd.DataFrame(rows), height=_HEIGHT)
        .mark_line(point={"size": 45}, strokeWidth=2)
        .encode(
            x=x,
            y=y,
            order="temperature:Q",
            color=alt.Color(
                "family:N",
                title=None,
                sort=None,
                scale=alt.Scale(range=_COLOURS),
                legend=alt.Legend(orient="top", columns=3),
            ),
            tooltip=[
                "family",
                "temperature",
                alt.Tooltip("quality", format=".3f"),
                alt.Tooltip("diversity", format=".3f"),
            ],
        )
    )
    real = pd.DataFrame([{"diversity": figures["real"]["diversity"], "quality": figures["real"]["quality"]}])
    cross = (
        alt.Chart(real)
        .mark_point(shape="cross", size=160, angle=45, filled=True, color=_NEUTRAL, opacity=1)
        .encode(x=x, y=y)
    )
    return (curves + cross).properties(**_LOOKS)
