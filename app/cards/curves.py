"""Training as charts: the figures of a run's log, and what each phase was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

_BOOKKEEPING = {"phase", "epoch", "steps", "skipped_steps", "seconds", "peak_memory_gb", "score", "share"}
_NAMES = {"loss": "training", "nats": "held out", "bits_per_character": "bits a character"}
_LOSSES = "nats a token"
_HEIGHT = 260  # pixels
_LOOKS = {  # without a menu that offers a chart's source
    "background": "transparent",
    "usermeta": {"embedOptions": {"actions": False}},
}
_NEUTRAL = "#7d828b"  # readable on light and dark


def figures(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of a log can be drawn, the most telling first."""
    names = list(dict.fromkeys(name for line in log for name in line if name not in _BOOKKEEPING))
    if "nats" in names:
        names = [_LOSSES, *(name for name in names if name not in ("nats", "loss"))]
    return sorted(names, key=lambda name: name not in (_LOSSES, "CIDEr"))


def title(figure: str) -> str:
    """A figure's name for people."""
    return _NAMES.get(figure, figure).capitalize() if figure.islower() else figure


def log_chart(log: Sequence[Mapping[str, Any]], figure: str) -> alt.Chart:
    """One figure over the evaluations of a run; a line a phase, or training beside held-out loss."""
    fields = ("loss", "nats") if figure == _LOSSES else (figure,)
    rows = [
        {
            "evaluation": number,
            "phase": line["phase"],
            "value": line[field],
            "line": _NAMES.get(field, field) if len(fields) > 1 else line["phase"],
        }
        for number, line in enumerate(log, 1)
        for field in fields
        if field in line
    ]
    table = pd.DataFrame(rows)
    several = table["line"].nunique() > 1
    return (
        alt.Chart(table, height=_HEIGHT)
        .mark_line(point={"size": 30}, strokeWidth=2)
        .encode(
            x=alt.X("evaluation:Q", title="evaluation", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title(figure), scale=alt.Scale(zero=False)),
            color=alt.Color(
                "line:N", title=None, sort=None, legend=alt.Legend(orient="top") if several else None
            ),
            tooltip=["phase", "evaluation", alt.Tooltip("value", title=figure, format=".3f")],
        )
        .properties(**_LOOKS)
    )


def phase_chart(phases: Sequence[tuple[str, Mapping[str, float]]]) -> alt.LayerChart:
    """CIDEr after each phase of a captioner's training."""
    names = [name for name, _ in phases]
    # What was done several times is told apart: a name has one bar.
    told = [
        f"{name} {before + 1}" if (before := names[:place].count(name)) else name
        for place, name in enumerate(names)
    ]
    rows = zip(told, phases, strict=True)
    table = pd.DataFrame([{"phase": name, "CIDEr": metrics["CIDEr"]} for name, (_, metrics) in rows])
    bars = alt.Chart(table, height=44 * len(table) + 20).encode(
        x=alt.X("CIDEr:Q", title="CIDEr on the dev split", axis=alt.Axis(tickCount=6)),
        y=alt.Y("phase:N", title=None, sort=None),
    )
    numbers = bars.mark_text(align="left", dx=5, color=_NEUTRAL).encode(
        text=alt.Text("CIDEr:Q", format=".1f")
    )
    chart = bars.mark_bar(cornerRadiusEnd=3, height=18) + numbers
    return chart.properties(**_LOOKS)
