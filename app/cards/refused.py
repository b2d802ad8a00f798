"""What the upload widget refuses by itself, for its size, stays named on the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from captioner.pictures.files import SUFFIXES

_named = st.components.v2.component(
    "captioner_refused",
    html='<div class="refused-uploads" role="alert" hidden></div>',
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def name_refused(megabytes: int, cleared: int) -> None:
    """The files of the last upload that are larger than `megabytes`; `cleared` counts how often all were taken away."""
    accept = ",".join(["image/*", *SUFFIXES])
    _named(key="refused", data={"limit": megabytes * 1024 * 1024, "cleared": cleared, "accept": accept})
