"""A report as one web page that needs nothing else: the scores, what they are made of, and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captioner.metrics import SCORES
from captioner.report.plots import NONE, interval_text, plots, score_text, systems
from captioner.report.text import p_text
from textgen.report.web import Html, element, embedded, joined, web_page

if TYPE_CHECKING:  # it opens pictures, which a page does not
    from captioner.report.gallery import Section, Shown

Report = Mapping[str, Any]

_HEADLINE = ("CIDEr", "BLEU-4")
_EMPTY = element("i", "no words")
_DIVERSITY = (  # key, in words, whether it counts captions
    ("distinct_captions", "different captions", True),
    ("copied", "captions copied word for word from training", True),
    ("repeated_trigram", "captions that say three words in a row twice", True),
    ("unknown", "captions with an unknown word's sign", True),
    ("unfinished", "captions that end before they should, as in “with a”", True),
    ("cut", "captions cut at the length limit", True),
    ("vocabulary", "different words, over all captions", False),
    ("mean_length", "words a caption, on average", False),
)
_CITE = (
    "Made by captioner. Its version, the tokeniser and all else that decides a score are in the signature: "
    "to cite a number, give the signature with it."
)


def report_page(report: Report, sections: Sequence[Section], title: str) -> str:
    """One self-contained HTML page: a whole file, to be written in UTF-8.

    Args:
        report: what `captioner score` and `captioner evaluate` write, with `name`, the captions' file.
        sections: pictures to show, each kind under its heading.
        title: the page's heading.
    """
    main = element(
        "main",
        _heading(report, title),
        _messages("Warnings", report.get("warnings") or (), "warnings"),
        _signature(report["signature"]),
        _scores(report),
        _precisions(report),
        _diversity(report),
        _kinds(report),
        element("section", element("h2", "Plots"), element("div", *plots(report), class_="plots")),
        *(_gallery(section, report) for section in sections),
        _messages("Notes", [*(report.get("notes") or ()), *_run(report)], "notes"),
        element("footer", element("p", _CITE)),
    )
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    return web_page(title, main, element("script", Html(script)))


def _heading(report: Report, title: str) -> Html:
    pictures = f"{report['pictures']:,} picture{'s' * (report['pictures'] != 1)}"
    subject: list[str] = [element("bdi", report["name"])]
    if other := report.get("other"):
        subject += [" against ", element("bdi", other["name"])]
    references = _references(report)
    subject.append(f" · {pictures} · {references} reference{'s' * (references != '1')} a picture")
    figures = (element("div", *_headline(report, metric)) for metric in _HEADLINE)
    line = element("p", *subject, class_="subject")
    return element("header", element("h1", title, dir="auto"), line, element("dl", *figures))


def _headline(report: Report, metric: str) -> Iterator[Html]:
    yield element("dt", metric)
    yield element("dd", score_text(report[metric]), class_="large")
    if metric in report["intervals"]:
        yield element("dd", "95 % interval ", interval_text(report["intervals"][metric]))
    if found := _differences(report).get(metric):
        yield element("dd", f"difference {_signed(found['difference'])} ({interval_text(found['interval'])})")


def _messages(title: str, messages: Sequence[str], style: str) -> Html:
    """A list under a heading; nothing where there are no messages."""
    items = [element("li", message, dir="auto") for message in messages]
    return element("section", element("h2", title), element("ul", *items), class_=style) if items else Html()


def _signature(signature: str) -> Html:
    # Lines may break after a "|"; text that is copied knows nothing of that.
    first, *others = signature.split("|")
    code = element("code", first, *(joined("|", element("wbr"), part) for part in others), id="signature")
    # Of no use without the script, which shows it.
    copy = element("button", "Copy", type="button", class_="copy", aria_live="polite", hidden=True)
    return element("section", element("h2", "Signature"), element("div", code, copy, class_="signature"))


def _scores(report: Report) -> Html:
    other, differences = report.get("other") or {}, _differences(report)
    names = [*SCORES, *(report.get("extra") or {})]
    caption = "All × 100; higher is better."
    columns: list[Sequence[object]] = [["", *names], _score_column(report, names)]
    if intervals := report["intervals"]:
        columns.append(["95 % interval", *(interval_text(intervals.get(name)) for name in names)])
    if other:
        columns.append(_score_column(other, names))
    if differences:
        cells = (_difference(differences.get(name)) for name in names)
        columns += zip(("difference", "95 % interval", "p"), *cells, strict=True)
        caption += (
            f" Differences: {report['name']} minus {other['name']}, bold where the interval leaves out 0."
        )
    head, *rows = zip(*columns, strict=True)
    tables = [_table(caption, head, rows)]
    if anchors := report.get("anchors"):
        lines: list[Sequence[object]] = [
            [report["name"], _references(report), *_score_column(report, SCORES)[1:]]
        ]
        for anchor in anchors:
            name = joined(anchor["name"], element("small", anchor.get("note", "")))
            lines.append([name, anchor.get("references", NONE), *_score_column(anchor, SCORES)[1:]])
        caption = "For scale, on the same pictures."
        tables.append(_table(caption, ["", "references", *SCORES], lines, "anchors"))
    return element("section", element("h2", "Scores"), element("div", *tables, class_="tables"))


def _score_column(system: Report, names: Sequence[str]) -> list[str]:
    """A system's name, then its scores."""
    scores = {**(system.get("extra") or {}), **system}
    return [system["name"], *(score_text(scores.get(name)) for name in names)]


def _difference(found: Mapping[str, Any] | None) -> tuple[object, str, str]:
    """Cells: the difference, its interval, p."""
    if not found:
        return NONE, NONE, NONE
    low, high = found["interval"]
    shown = _signed(found["difference"])
    return (
        element("strong", shown) if low > 0 or high < 0 else shown,
        interval_text((low, high)),
        p_text(found["p"]),
    )


def _precisions(report: Report) -> Html:
    head = ["", *(f"{order}-grams" for order in range(1, 5))]
    head += ["brevity penalty", "length ratio", "words", "reference words"]
    rows = []
    for system in systems(report):
        ratios = (f"{system[key]:.3f}" for key in ("brevity_penalty", "length_ratio"))
        lengths = (_count(system.get(key)) for key in ("hypothesis_length", "reference_length"))
        rows.append([system["name"], *map(score_text, system["precisions"]), *ratios, *lengths])
    caption = (
        "N-grams: how many of each 100 a reference has too. The brevity penalty, 1 at best, is for captions "
        "shorter than the closest references."
    )
    return element("section", element("h2", "What BLEU is made of"), _table(caption, head, rows))


def _diversity(report: Report) -> Html:
    counted = [system for system in systems(report) if system.get("diversity")]
    head = ["", *(text for system in counted for text in (system["name"], "share"))]
    rows = []
    for key, text, counts in _DIVERSITY:
        if not any(key in system["diversity"] for system in counted):
            continue
        row = [text]
        for system in counted:
            number = system["diversity"].get(key)
            row.append(_count(number))
            pictures = system.get("pictures", report["pictures"])
            row.append(f"{100 * number / pictures:.1f} %" if counts and number is not None else "")
        rows.append(row)
    caption = "Counts, and their share of all the captions."
    return element("section", element("h2", "The captions"), _table(caption, head, rows))


def _kinds(report: Report) -> Html:
    if not (kinds := report.get("kinds")):
        return Html()
    head = ["", "pictures", *SCORES]
    rows = [
        [kind, _count(found["pictures"]), *(score_text(found[name]) for name in SCORES)]
        for kind, found in kinds.items()
    ]
    caption = "A picture is of a kind when half of its references have a word of it; it may be of several."
    return element("section", element("h2", "By kind of picture"), _table(caption, head, rows))


def _gallery(section: Section, report: Report) -> Html:
    if not section.pictures:
        return Html()
    cards = (_card(shown, report) for shown in section.pictures)
    looked = any(_looked(shown) is not None for shown in section.pictures)
    hint = " Point at a word, or tap it, to see where the model looked." if looked else ""
    return element(
        "section",
        element("h2", section.title, dir="auto"),
        element("p", section.explanation, element("span", hint, class_="hint"), dir="auto", class_="lead"),
        element("div", *cards, class_="cards"),
    )


def _card(shown: Shown, report: Report) -> Html:
    parts = []
    if shown.thumbnail is not None:
        image = element("img", src=embedded(shown.thumbnail), alt=shown.caption, decoding="async")
        light = Html()
        if (attention := _looked(shown)) is not None:
            _, rows, columns = attention.shape
            light = element("canvas", data_rows=rows, data_columns=columns, aria_hidden="true", hidden=True)
        parts.append(element("div", image, light, class_="picture"))
    parts += [element("p", _words(shown), class_="caption", dir="auto"), _picture_scores(shown.scores)]
    if shown.other is not None:
        name = element("p", (report.get("other") or {}).get("name", "other"), dir="auto", class_="source")
        caption = element("p", shown.other or _EMPTY, dir="auto")
        scores = _picture_scores(shown.other_scores or {})
        parts.append(element("div", name, caption, scores, class_="other"))
    count = len(shown.references)
    summary = element("summary", f"{count} reference{'s' * (count != 1)}")
    items = (element("li", reference, dir="auto") for reference in shown.references)
    parts.append(element("details", summary, element("ul", *items)))
    return element("article", *parts, element("p", shown.id, dir="auto", class_="id"), class_="card")


def _picture_scores(scores: Mapping[str, float]) -> Html:
    text = " · ".join(f"{metric} {score_text(score)}" for metric, score in scores.items())
    return element("p", text, class_="scores")


def _looked(shown: Shown) -> np.ndarray | None:
    """Where the model looked, of each word, where that can be shown."""
    return shown.attention if shown.words and shown.thumbnail is not None else None


def _words(shown: Shown) -> Html:
    """The caption; each word a button that shows where the model looked, where that can be shown."""
    if (attention := _looked(shown)) is None:
        return joined(shown.caption or _EMPTY)
    # The words as the caption writes them, with what stands between them.
    pattern = "".join(rf"(?>(\W*?)({re.escape(word)}))" for word in shown.words) + "(.*)"
    found = re.fullmatch(pattern, shown.caption, re.IGNORECASE | re.DOTALL)
    *pairs, rest = found.groups() if found else [text for word in shown.words for text in (" ", word)] + [""]
    buttons = (
        element("button", word, type="button", disabled=True, class_="word", data_look=_look(weights))
        for word, weights in zip(pairs[1::2], attention, strict=True)
    )
    return joined(*(part for pair in zip(pairs[::2], buttons, strict=True) for part in pair), rest)


def _look(weights: np.ndarray) -> str:
    """A word's attention (rows, columns) row by row, two digits a cell: 99 is where the model looked most."""
    share = np.nan_to_num(weights / max(float(weights.max()), 1e-9))
    return "".join(f"{cell:02d}" for cell in np.rint(99 * share).astype(int).flat)


def _run(report: Report) -> list[str]:
    """How the run went, as notes."""
    speed = report.get("speed")
    lines = [f"{speed['pictures_per_second']:,.1f} pictures a second."] if speed else []
    return lines + [f"{key} cannot be read: {why}" for key, why in (report.get("unreadable") or {}).items()]


def _table(
    caption: str, head: Sequence[object], rows: Sequence[Sequence[object]], style: str | None = None
) -> Html:
    """A table, in a box that scrolls where it is too wide; the first of each row is what the row is about."""
    top = element("tr", *(element("th", cell, scope="col", dir="auto") for cell in head))
    body = (
        element("tr", element("th", first, scope="row", dir="auto"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    )
    parts = element("caption", element("span", caption)), element("thead", top), element("tbody", *body)
    table = element("table", *parts, class_=style)
    # Focusable, so that the keyboard can scroll it.
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _differences(report: Report) -> Mapping[str, Any]:
    return (report.get("other") or {}).get("differences") or {}


def _references(report: Report) -> str:
    low, high = report["references"]
    return f"{low}" if low == high else f"{low} to {high}"


def _count(value: float | None) -> str:
    """A count, or the mean of counts."""
    if value is None:
        return "not counted"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _signed(value: float) -> str:
    shown = f"{value:+.1f}".replace("-", "−")
    return shown if float(f"{value:.1f}") else "0.0"
