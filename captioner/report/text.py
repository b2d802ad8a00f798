"""A report as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from captioner.metrics import SCORES
from captioner.network.confidence import Calibration
from captioner.pictures.files import printable

Report = Mapping[str, Any]


def report_text(report: Report) -> str:
    """The signature, the scores with their intervals, what they are made of, and what they are worth."""
    parts = [report["signature"], _scores(report), _details(report)]
    if report["anchors"]:
        parts.append(_anchors(report))
    if kinds := report.get("kinds"):
        parts.append(_kinds(kinds))
    if worst := report.get("worst"):
        parts.append(_worst(worst))
    if other := report.get("other"):
        parts += [
            _examples(f"furthest {where}", other[where]) for where in ("ahead", "behind") if other[where]
        ]
    if "speed" in report:
        parts.append(f"{report['speed']['pictures_per_second']:.1f} pictures a second")
    return "\n\n".join(parts)


def _scores(report: Report) -> str:
    rows = [["", "score"]]
    other, intervals = report.get("other"), report["intervals"]
    rows[0] += ["95 % interval"] * bool(intervals)
    if other:
        rows[0] += ["other", *(["difference", "95 % interval", "p"] if other["differences"] else [])]
    for name in (*SCORES, *report.get("extra", {})):
        row = [name, f"{_value(report, name):.2f}"]
        row += [_interval(intervals.get(name))] * bool(intervals)
        if other:
            row.append(f"{_value(other, name):.2f}")
            if found := other["differences"].get(name):
                row += [f"{found['difference']:+.2f}", _interval(found["interval"]), p_text(found["p"])]
        rows.append(row)
    return _table(rows)


def _details(report: Report) -> str:
    return "\n".join(
        line
        for system in (report, report.get("other"))
        if system
        for line in (
            *([f"{system['name']}:"] if report.get("other") else []),
            *_lines(system, report["pictures"]),
        )
    )


def _lines(system: Report, pictures: int) -> Iterable[str]:
    found = system["diversity"]
    precisions = "/".join(f"{value:.1f}" for value in system["precisions"])
    yield (
        f"precisions {precisions}, brevity penalty {system['brevity_penalty']:.3f}, "
        f"length ratio {system['length_ratio']:.3f} "
        f"({system['hypothesis_length']:,} to {system['reference_length']:,} words)"
    )
    yield (
        f"{found['distinct_captions']:,} distinct captions of {pictures:,}, {found['vocabulary']:,} words, "
        f"mean length {found['mean_length']:.1f}"
    )
    copied = "" if found["copied"] is None else f", {found['copied']:,} copied from the training captions"
    cut = f"{found['cut']:,} cut at the length limit, " if "cut" in found else ""
    yield (
        f"{cut}{found['unfinished']:,} unfinished, {found['repeated_trigram']:,} with a repeated trigram, "
        f"{found['unknown']:,} with an unknown word{copied}"
    )


def _anchors(report: Report) -> str:
    rows = [["on the same pictures", "refs", *SCORES]]
    notes = []
    for row in report["anchors"]:
        rows.append([row["name"], str(row["references"]), *(f"{row[name]:.2f}" for name in SCORES)])
        notes.append(f"{row['name']}: {row['note']}")
    return "\n".join([_table(rows), *notes])


def _kinds(kinds: Mapping[str, Mapping[str, float]]) -> str:
    rows = [["by words of the references", "pictures", *SCORES]]
    rows += [
        [kind, f"{found['pictures']:,}", *(f"{found[name]:.2f}" for name in SCORES)]
        for kind, found in kinds.items()
    ]
    return _table(rows)


def _worst(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["worst, by CIDEr, each with a reference:"]
    for row in rows:
        lines.append(printable(str(row["id"])))
        lines += [
            f"  {row['CIDEr']:6.1f}  {printable(row['caption'])}",
            f"          {printable(row['reference'])}",
        ]
    return "\n".join(lines)


def calibration_text(found: Calibration) -> str:
    """How far a model's confidence can be trusted."""
    gain = found.cider_of_surest / found.cider - 1 if found.cider else 0.0
    rows = [["confidence", "right", "captions"]]
    rows += [[f"{told:.2f}", f"{share:.2f}", str(count)] for told, share, count in found.reliability]
    return "\n".join(
        [
            f"{found.photos:,} photos; {found.right:.0%} of the captions are right",
            f"a right caption is surer than a wrong one: {found.auroc:.1%} (area under the ROC curve)",
            f"wrong among the surest, mean over all shares kept: {found.risk:.1%} (area under risk-coverage)",
            f"CIDEr of all captions {found.cider:.1f}, of the surest two thirds {found.cider_of_surest:.1f} ({gain:+.0%})",
            f"not sure, below {found.threshold:.2f}: {found.unsure_photos:.0%} of the photos, "
            f"{found.unsure_odd:.0%} of noise, flat colours, pages of text, screens and drawings",
            f"confidence is off by {found.expected_error:.3f} (expected calibration error in ten bins)",
            "",
            _table(rows),
        ]
    )


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _examples(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"{title}, by CIDEr:"]
    for row in rows:
        lines.append(printable(str(row["id"])))
        lines += [f"  {row[f'{of}CIDEr']:6.1f}  {printable(row[f'{of}caption'])}" for of in ("", "other_")]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    rows = [[*row, *[""] * (len(rows[0]) - len(row))] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _value(system: Report, name: str) -> float:
    return system[name] if name in system else system["extra"][name]


def _interval(bounds: Sequence[float] | None) -> str:
    return f"{bounds[0]:.2f} to {bounds[1]:.2f}" if bounds else ""
