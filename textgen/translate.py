"""`textgen translate`: what goes in, and how its translations are printed."""

from __future__ import annotations

import re
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgen.errors import UserError
from textgen.lines import asked_lines, print_document
from textgen.output import as_text, complain, print_json
from textgen.report.plots import new_figure, save_png
from textgen.storage.bundle import model_files
from textgen.storage.files import check_output
from textgen.text.encodings import split_lines
from textgen.translation.alignment import Alignment
from textgen.translation.config import TranslationConfig
from textgen.translation.stored import BOX
from textgen.translation.translator import Translation, Translator

_DRAWN = 60  # words of a picture of attention


def translate(
    text: str | None,
    file: Path | None,
    model: str | None,
    engine: str,
    config: TranslationConfig,
    attention: Path | None,
    json: bool,
    jsonl: bool,
) -> int:
    """Translates and prints; returns the exit status. Raises UserError before anything is printed where it can."""
    given = None if text is None else _lines(as_text(text))
    advice = 'nothing to translate; try: textgen translate "Where is the station?"'
    if config.n > 1 and not (json or jsonl) and (given is None or len(given) > 1 or given == ["-"]):
        raise UserError("--n: of several lines, several translations each need --json or --jsonl")
    check_output(
        attention, "--attention", (".png",), [*model_files(BOX.find(model)), *([file] if file else [])]
    )
    lines = asked_lines(given, file, json, jsonl, advice)
    translator = Translator.load(model, engine)
    if attention is not None:
        lines = iter(only := [line for line in lines if line is not None])
        if len(only) != 1 or not 0 < len(only[0].split()) <= _DRAWN:
            raise UserError(f"--attention: one line of at most {_DRAWN} words is drawn; give one")
    found = translator.translate_each(lines, **asdict(config))
    if attention is not None:
        found = iter(first := [*found])
        try:
            looked = translator.align(only[0], first[0].text)
        except UserError as error:
            raise UserError(f"--attention: {error}") from error
        plot(looked, attention)
    if json:
        about = {"model": translator.hash, "languages": list(translator.languages), **asdict(config)}
        print_document(about, "translations", map(_entry, found))
        return 0
    for translation in found:
        if jsonl:
            print_json(_entry(translation), indent=None)
        else:
            for each in (translation, *translation.others):
                print(each, flush=file is None)
    return 0


def _lines(text: str) -> list[str]:
    """The lines of a text, of which the last may end, as a file's does."""
    lines = split_lines(text)
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines


def _entry(translation: Translation) -> dict[str, Any]:
    """A translation in JSON."""
    told = {**asdict(translation), "log_prob": round(translation.log_prob, 4)}
    return {**told, "others": [_entry(other) for other in translation.others]}


def plot(alignment: Alignment, path: Path) -> None:
    """A PNG with a row a word of a translation and a column a word of the sentence; the darker, the more it was read.

    Raises UserError without matplotlib.
    """
    rows, columns = alignment.weights.shape
    figure = new_figure("--attention", 1.5 + 0.5 * columns, 1.5 + 0.4 * rows)
    axes = figure.subplots()
    axes.imshow(alignment.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    # A word may hold dollar signs, between which formulas would stand.
    axes.set_xticks(range(columns), alignment.source, rotation=60, ha="left", parse_math=False)
    axes.set_yticks(range(rows), alignment.target, parse_math=False)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        save_png(figure, path)
    for missing in dict.fromkeys(filter(None, map(_missing_sign, told))):
        complain("textgen", f"--attention: the font has no {missing}, which is drawn as a box")


def _missing_sign(warning: warnings.WarningMessage) -> str | None:
    """The sign of which matplotlib warns that its font lacks it."""
    found = re.match(r"Glyph (\d+) .*missing from", str(warning.message))
    return chr(int(found[1])) if found else None
