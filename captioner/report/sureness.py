"""What a calibration found, as one web page: how far a confidence can be trusted, and what it is worth to use it."""

from __future__ import annotations

from captioner.network.confidence import Calibration
from captioner.report.plots import Curve, curve_plot
from captioner.report.text import calibration_text
from textgen.report.web import element, web_page


def calibration_page(found: Calibration, title: str) -> str:
    """One self-contained HTML page: a whole file, to be written in UTF-8."""
    reliability = Curve(
        "captions, by confidence",
        "this",
        [(100 * told, 100 * share) for told, share, _ in found.reliability],
        [float(count) for _, _, count in found.reliability],
    )
    ideal = Curve("as told", "neutral", [(0, 0), (100, 100)])
    right = Curve("right, %", "this", [(100 * kept, 100 * share) for kept, share, _ in found.coverage])
    cider = Curve("CIDEr", "other", [(100 * kept, value) for kept, _, value in found.coverage])
    plots = element(
        "div",
        curve_plot("Right captions, %, by the confidence told", "confidence, %", [reliability, ideal]),
        curve_plot("Of the surest captions", "share of the captions kept, %", [right, cider]),
        class_="plots",
    )
    lead = element("p", f"{found.photos:,} photos that the fit had not seen, by folds", class_="subject")
    main = element(
        "main",
        element("header", element("h1", title, dir="auto"), lead),
        element("section", element("h2", "Plots"), plots),
        element("section", element("h2", "Figures"), element("pre", calibration_text(found))),
    )
    return web_page(title, main)
