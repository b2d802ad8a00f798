"""What `textgen.compare` found: a table, a plot of quality against diversity, and a page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textgen.report.plots import new_figure, save_png
from textgen.report.web import Html, element, web_page

Report = Mapping[str, Any]

_WIDTH, _HEIGHT = 680, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 44
_COLOURS = ("#2f6fd0", "#c2571a", "#2c8a57", "#9a4fbf", "#b8891b", "#c23b6b", "#4b7f8c", "#6b6f76")
_HEAD = (
    "",
    "nats a token",
    "unknown",
    "quality",
    "diversity",
    "self-BLEU",
    "copied",
    "longest",
    "lines/s",
    "million",
    "MB",
    "minutes",
)
_AXES = (
    "quality: nats a word of its lines under n-grams of the training lines",
    "diversity: nats a word of held-out lines under n-grams of its lines",
)
_EXPLAINED = (
    "Nats a token of held-out lines: exact, or an upper bound (≤), or an estimate (≈). Quality and diversity: lower is better, "
    "but no better than real text; of 95 % intervals the half width. Self-BLEU: of a line against the others, x 100. Copied: "
    "lines that stand in the training text; longest: words of the longest stretch of a line that stands there, mean, twelve at "
    "most. Million: parameters; MB: on disk; minutes: of training, of a base not counted."
)


def row_at(model: Report, temperature: float = 1.0) -> Report:
    """The figures of a model at a temperature, or at the one that is nearest to it."""
    found: Report = min(model["temperatures"], key=lambda row: abs(row["temperature"] - temperature))
    return found


def table(report: Report, width: int = 100) -> str:
    """The comparison as text, with two lines of each model below."""
    rows = [_HEAD, *_rows(report)]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            f"{cell:<{size}}" if place == 0 else f"{cell:>{size}}"
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    for model in report["models"]:
        lines += ["", model["name"], *(f"  {text[:width]}" for text in row_at(model)["texts"][:2])]
    shown = row_at(report["models"][0])["temperature"]
    return "\n".join([*lines, "", f"At temperature {shown:g}. {_EXPLAINED}", *report["notes"]])


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    for model in report["models"]:
        row = row_at(model)
        sign = {"upper bound": "≤ ", "estimate": "≈ "}.get(model["likelihood"], "")
        yield (
            model["name"],
            f"{sign}{_value(model['nats_per_token'], model['interval'])}",
            f"{model['unknown']:.1%}",
            *_judged(row),
            f"{row['samples_per_second']:,.0f}",
            _told(model["parameters"], 1e6, ".2f"),
            _told(model["bytes"], 1e6, ".1f"),
            _told(model["minutes"], 1, ".0f"),
        )
    yield ("real text", "", "", *_judged({**report["real"], "copied": None}), "", "", "", "")


def _told(value: float | None, unit: float, style: str) -> str:
    return "–" if value is None else f"{value / unit:{style}}"


def _judged(row: Report) -> tuple[str, ...]:
    return (
        *(_value(row[name], row["intervals"][name]) for name in ("quality", "diversity")),
        f"{row['self_bleu']:.1f}",
        "–" if row["copied"] is None else f"{row['copied']:.1%}",
        f"{row['longest_copied']:.1f}",
    )


def _value(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ± {(interval[1] - interval[0]) / 2:.3f}"


def save_plot(report: Report, path: Path) -> None:
    """Quality against diversity as a PNG. Raises UserError without matplotlib."""
    figure = new_figure("--plot", 8, 5)
    axes = figure.subplots()
    for colour, model in zip(_COLOURS * 8, report["models"], strict=False):
        x, y = ([row[name] for row in model["temperatures"]] for name in ("diversity", "quality"))
        axes.plot(x, y, "o-", color=colour, label=model["name"], markersize=4)
        for row in model["temperatures"]:
            place = row["diversity"], row["quality"]
            axes.annotate(
                f"{row['temperature']:g}", place, xytext=(4, 3), textcoords="offset points", fontsize=7
            )
    axes.plot(
        report["real"]["diversity"],
        report["real"]["quality"],
        "x",
        color="black",
        markersize=9,
        label="real text",
    )
    axes.set(xlabel=_AXES[1], ylabel=_AXES[0])
    axes.legend(fontsize=8)
    save_png(figure, path)


def comparison_page(report: Report, title: str = "Models of lines, compared") -> str:
    """One self-contained HTML page: a whole file, to be written in UTF-8."""
    subject = (
        f"{len(report['models'])} models · {report['samples']:,} lines of each at each temperature, seed {report['seed']} · "
        f"{report['held_out']:,} held-out lines, {report['train']:,} of training"
    )
    shown = row_at(report["models"][0])["temperature"]
    main = element(
        "main",
        element("header", element("h1", title), element("p", subject, class_="subject")),
        element(
            "section",
            element("h2", f"At temperature {shown:g}"),
            _html_table(report),
            element("p", _EXPLAINED, class_="subject"),
        ),
        element("section", element("h2", "Quality against diversity"), _svg(report), _legend(report)),
        element("section", element("h2", f"What they write, at temperature {shown:g}"), _samples(report)),
    )
    return web_page(title, main)


def _html_table(report: Report) -> Html:
    head = element("tr", *(element("th", name, scope="col") for name in _HEAD))
    rows = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:]))
        for row in _rows(report)
    ]
    return element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll")


def _samples(report: Report) -> Html:
    columns = [
        element(
            "div",
            element("h3", model["name"]),
            element("ol", *(element("li", text, dir="auto") for text in row_at(model)["texts"])),
        )
        for model in report["models"]
    ]
    return element("div", *columns, class_="plots")


def _legend(report: Report) -> Html:
    keys = [
        element("li", model["name"], class_="key", style=f"--colour: {colour}")
        for colour, model in zip(_COLOURS * 8, report["models"], strict=False)
    ]
    return element("ul", *keys, element("li", "× real text"), class_="legend")


def _svg(report: Report) -> Html:
    points = [
        (row["diversity"], row["quality"]) for model in report["models"] for row in model["temperatures"]
    ]
    points.append((report["real"]["diversity"], report["real"]["quality"]))
    x, x_ticks = _scale([point[0] for point in points], _LEFT, _WIDTH - _RIGHT)
    y, y_ticks = _scale([point[1] for point in points], _HEIGHT - _BOTTOM, _TOP)
    marks: list[Html] = []
    for tick in x_ticks:
        marks.append(
            element("line", class_="grid", x1=_n(x(tick)), x2=_n(x(tick)), y1=_TOP, y2=_HEIGHT - _BOTTOM)
        )
        marks.append(_text(x(tick), _HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle"))
    for tick in y_ticks:
        marks.append(
            element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_n(y(tick)), y2=_n(y(tick)))
        )
        marks.append(_text(_LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    marks.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, _AXES[1], "middle"))
    marks.append(_text(_LEFT, _TOP - 4, _AXES[0], "start"))
    for colour, model in zip(_COLOURS * 8, report["models"], strict=False):
        style = f"--colour: {colour}"
        rows = model["temperatures"]
        path = "L".join(f"{_n(x(row['diversity']))} {_n(y(row['quality']))}" for row in rows)
        marks.append(element("path", class_="line", style=style, d=f"M{path}"))
        for row in rows:
            at = x(row["diversity"]), y(row["quality"])
            said = element("title", f"{model['name']}, temperature {row['temperature']:g}")
            marks.append(element("circle", said, class_="dot", style=style, cx=_n(at[0]), cy=_n(at[1]), r=4))
            marks.append(_text(at[0] + 6, at[1] - 4, f"{row['temperature']:g}", "start"))
    real = x(report["real"]["diversity"]), y(report["real"]["quality"])
    marks.append(_text(real[0], real[1] + 5, "×", "middle", "value"))
    label = "Quality against diversity, a curve a model, a dot a temperature; real text is the cross."
    return element("svg", *marks, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)


def _scale(values: Sequence[float], start: float, end: float) -> tuple[Any, list[float]]:
    """From values to places between `start` and `end`, and round values to mark."""
    low, high = min(values), max(values)
    step = 10 ** math.floor(math.log10(max(high - low, 0.1)))
    step = step / 2 if (high - low) / step < 4 else step
    low, high = step * math.floor(low / step), step * math.ceil(high / step + 1e-9)
    ticks = [low + step * place for place in range(round((high - low) / step) + 1)]

    def place(value: float) -> float:
        return start + (end - start) * (value - low) / (high - low)

    return place, [round(tick, 6) for tick in ticks]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, anchor: str, style: str | None = None) -> Html:
    return element("text", text, x=_n(x), y=_n(y), text_anchor=anchor, class_=style)
