"""A report's plots as inline SVG, coloured by the style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from textgen.report.web import Html, element

_WIDTH, _HEIGHT = 330, 220  # user units: about a pixel each on a phone, so that labels stay readable there
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 14, 38  # margins
_ROW = 44  # height of a row of the dot plot
_LABEL = 48  # characters that fit in such a row
_LENGTHS = 60  # words in the length plot at most; what is longer is counted at its end
NONE = "–"


class Series(NamedTuple):
    """What one colour shows."""

    name: str
    style: str
    """`this`, `other` or `neutral`: a class of the style sheet."""
    values: Any


class Curve(NamedTuple):
    """A line through points."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    """From left to right; x from 0 to 100."""
    sizes: Sequence[float] = ()
    """How much each point stands for, where that differs: its dot's area."""


class Dot(NamedTuple):
    """A row of the dot plot: a score, with its interval where there is one."""

    name: str
    style: str
    value: float
    interval: Sequence[float] | None


def score_text(score: float | None) -> str:
    return NONE if score is None else f"{score:,.1f}"


def interval_text(interval: Sequence[float] | None) -> str:
    return NONE if interval is None else " to ".join(f"{end:.1f}".replace("-", "−") for end in interval)


def systems(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The captions that a report scores, and those it compares them with."""
    return [report, report["other"]] if report.get("other") else [report]


def plots(report: Mapping[str, Any]) -> list[Html]:
    """The precisions, the lengths and, where there is something beside it, CIDEr."""
    styled = list(zip(systems(report), ("this", "other"), strict=False))
    figures = [
        precision_plot([Series(system["name"], style, system["precisions"]) for system, style in styled])
    ]
    lengths = [
        Series(system["name"], style, system["lengths"]["predictions"])
        for system, style in styled
        if "lengths" in system
    ]
    lengths.append(Series("references", "neutral", report["lengths"]["references"]))
    if all(series.values for series in lengths):
        figures.append(length_plot(lengths))
    for anchor in report.get("anchors") or ():
        # Fewer references make lower scores: a human is to be compared with captions on as many.
        count = anchor["references"]
        name = f"{anchor['name']}, {count} reference{'s' * (count != 1)}"
        styled.append(({**anchor, "name": name}, "neutral"))
    if len(styled) > 1:
        dots = [
            Dot(system["name"], style, system["CIDEr"], (system.get("intervals") or {}).get("CIDEr"))
            for system, style in styled
        ]
        figures.append(dot_plot("CIDEr for scale", sorted(dots, key=lambda dot: -dot.value)))
    return figures


def precision_plot(series: Sequence[Series]) -> Html:
    """Bars: the n-gram precision (values, x100) of each order."""
    orders = max(len(one.values) for one in series)
    step = (_WIDTH - _LEFT - _RIGHT) / orders
    bar = min(34, 0.9 * step / len(series))
    ticks, y = _value_axis(100)
    marks = []
    for order in range(orders):
        middle = _LEFT + (order + 0.5) * step
        marks.append(_text(middle, _HEIGHT - _BOTTOM + 16, f"{order + 1}-grams", "middle"))
        for index, (_, style, values) in enumerate(series):
            x = middle + (index - len(series) / 2) * bar
            top = y(values[order])
            size = {"x": _n(x + 1), "y": _n(top), "width": _n(bar - 2), "height": _n(y(0) - top)}
            marks.append(element("rect", class_=f"bar {style}", rx=2, **size))
            marks.append(_text(x + bar / 2, top - 4, f"{values[order]:.1f}", "middle", "value"))
    said = "; ".join(f"{one.name}: {', '.join(f'{value:.1f}' for value in one.values)}" for one in series)
    title = "N-grams that a reference has too, %"
    return _figure(title, series, _svg(f"{title}, by order. {said}", _HEIGHT, *ticks, *marks))


def length_plot(series: Sequence[Series]) -> Html:
    """Steps: the share of the captions (values, words -> captions) of each length."""
    shares = [_shares(one.values) for one in series]
    first = min(min(share) for share in shares)
    last = max(max(share) for share in shares)
    # A few endless captions must not squeeze all others into a line.
    end = min(last, first + _LENGTHS - 1)
    step = (_WIDTH - _LEFT - _RIGHT) / (end + 1 - first)
    binned = [_up_to(end, share) for share in shares]
    ticks, y = _value_axis(min(100, 1.05 * max(max(share.values()) for share in binned)))
    marks = []
    for length in range(first, end + 1):
        if length % _nice((end + 1 - first) / 8) == 0 and not (length == end < last):
            marks.append(
                _text(_LEFT + (length - first + 0.5) * step, _HEIGHT - _BOTTOM + 16, length, "middle")
            )
    if end < last:
        marks.append(_text(_WIDTH - _RIGHT, _HEIGHT - _BOTTOM + 16, f"{end}+", "end"))
    marks.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, "words a caption", "middle"))
    for (_, style, _), share in zip(series, binned, strict=True):
        steps = "".join(
            f"V{_n(y(share.get(length, 0.0)))}H{_n(_LEFT + (length + 1 - first) * step)}"
            for length in range(first, end + 1)
        )
        marks.append(element("path", class_=f"steps {style}", d=f"M{_LEFT} {_n(y(0))}{steps}V{_n(y(0))}"))
    said = "; ".join(
        f"{one.name}: {min(share)} to {max(share)} words, most often {max(share, key=lambda length: share[length])}"
        for one, share in zip(series, shares, strict=True)
    )
    title = "Lengths, % of the captions"
    return _figure(title, series, _svg(f"{title}. {said}", _HEIGHT, *ticks, *marks))


def dot_plot(title: str, dots: Sequence[Dot]) -> Html:
    """Dots and whiskers, a row a score, all on one axis from 0."""
    top = max(max([dot.value, *(dot.interval or ())]) for dot in dots)
    step = _nice(top / 5)
    end = step * max(1, math.ceil(top / step))
    height = _ROW * len(dots) + 24

    def x(value: float) -> float:
        return 6 + (_WIDTH - 12) * max(0.0, value) / end

    marks, said = [], []
    for index in range(round(end / step) + 1):
        at = _n(x(index * step))
        marks.append(element("line", class_="grid", x1=at, x2=at, y1=height - 24, y2=height - 18))
        anchor = "start" if index == 0 else "end" if index * step >= end else "middle"
        marks.append(_text(x(index * step), height - 4, f"{index * step:g}", anchor))
    for row, (name, style, value, interval) in enumerate(dots):
        y = row * _ROW + 28
        marks.append(element("line", class_="grid", x1=0, x2=_WIDTH, y1=y, y2=y))
        figures = score_text(value)
        if interval:
            figures += f" ({interval_text(interval)})"
            ends = {"x1": _n(x(interval[0])), "x2": _n(x(interval[1]))}
            marks.append(element("line", class_=f"whisker {style}", y1=y, y2=y, **ends))
        marks.append(element("circle", class_=f"dot {style}", cx=_n(x(value)), cy=y, r=5.5))
        room = _LABEL - len(figures)
        short = name if len(name) <= room else name[: room - 1] + "…"
        marks.append(_text(0, y - 12, short, "start", f"name {style}"))
        marks.append(_text(_WIDTH, y - 12, figures, "end", "value"))
        said.append(f"{name}: {figures}")
    return _figure(title, (), _svg(f"{title}. {'; '.join(said)}", height, *marks))


def curve_plot(title: str, below: str, curves: Sequence[Curve]) -> Html:
    """Lines over 0 to 100; `below` says what the horizontal axis is."""
    ticks, y = _value_axis(max(100.0, *(value for curve in curves for _, value in curve.points)))

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / 100

    marks = [
        *(_text(x(tick), _HEIGHT - _BOTTOM + 16, tick, "middle") for tick in range(0, 101, 20)),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, below, "middle"),
    ]
    for curve in curves:
        path = "L".join(f"{_n(x(at))} {_n(y(value))}" for at, value in curve.points)
        marks.append(element("path", class_=f"line {curve.style}", d=f"M{path}"))
        most = max(curve.sizes, default=0.0)
        for (at, value), size in zip(curve.points, curve.sizes, strict=False):
            radius = 2 + 4 * math.sqrt(size / most)
            marks.append(
                element("circle", class_=f"dot {curve.style}", cx=_n(x(at)), cy=_n(y(value)), r=_n(radius))
            )
    said = "; ".join(
        f"{curve.name}: {', '.join(f'{value:.0f} at {at:.0f}' for at, value in curve.points)}"
        for curve in curves
    )
    legend = [Series(curve.name, curve.style, ()) for curve in curves]
    return _figure(title, legend, _svg(f"{title}, by {below}. {said}", _HEIGHT, *ticks, *marks))


def _shares(counts: Mapping[Any, int]) -> dict[int, float]:
    """Captions by number of words, in % of them all."""
    total = sum(counts.values())
    return {int(length): 100 * count / total for length, count in counts.items()}


def _up_to(last: int, shares: Mapping[int, float]) -> dict[int, float]:
    """The shares with all beyond `last` counted there."""
    found: dict[int, float] = {}
    for length, share in shares.items():
        found[min(length, last)] = found.get(min(length, last), 0.0) + share
    return found


def _value_axis(top: float) -> tuple[list[Html], Callable[[float], float]]:
    """The ticks from 0 to `top` or above, and what turns a value into a height on the page."""
    step = _nice(top / 4)
    end = step * max(1, math.ceil(top / step))

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / end

    ticks = []
    for index in range(round(end / step) + 1):
        at = _n(y(index * step))
        ticks.append(element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at))
        ticks.append(_text(_LEFT - 6, y(index * step) + 4, f"{index * step:g}", "end"))
    return ticks, y


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... that is `step` or more."""
    return next(
        nice for power in range(9) for nice in (10**power, 2 * 10**power, 5 * 10**power) if nice >= step
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: object, anchor: str, style: str | None = None) -> Html:
    return element("text", text, x=_n(x), y=_n(y), text_anchor=anchor, class_=style)


def _svg(label: str, height: int, *marks: Html) -> Html:
    return element("svg", *marks, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=label)


def _figure(title: str, legend: Sequence[Series], svg: Html) -> Html:
    keys = [element("li", one.name, class_=f"key {one.style}") for one in legend if len(legend) > 1]
    shown = element("ul", *keys, class_="legend") if keys else ""
    return element("figure", element("figcaption", element("h3", title)), svg, shown, class_="plot")
