"""`textgen translate`: what goes in, and how its translations are printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from textgen.errors import UserError
from textgen.lines import check_choices, counted, given_lines, print_document
from textgen.output import as_text, print_json
from textgen.plots import new_figure, save_png
from textgen.storage.bundle import model_files
from textgen.storage.files import check_output
from textgen.text.encodings import lines_of
from textgen.translation.config import TranslationConfig
from textgen.translation.stored import BOX
from textgen.translation.translator import Alignment, Translator


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
    check_choices(text, file, json, jsonl)
    if config.n > 1 and not (json or jsonl) and file is not None:
        raise UserError("--n: of a file, several translations a line need --json or --jsonl")
    check_output(
        attention, "--attention", (".png",), [*model_files(BOX.find(model)), *([file] if file else [])]
    )
    lines: Iterator[str]
    if file is not None:
        lines = lines_of(file)
    elif text is not None and text != "-":
        lines = iter(as_text(text).split("\n"))
    else:
        lines = given_lines('nothing to translate; try: textgen translate "Where is the station?"', text)
    translator = Translator.load(model, engine)
    if attention is not None:
        lines = iter(given := list(lines))
        if len(given) != 1 or not given[0].strip():
            raise UserError("--attention: one line is drawn; give one")
        plot(translator.align(given[0], str(translator.translate(given[0], beam=config.beam))), attention)
    found = translator.translate_each(counted(lines, file), **asdict(config))
    if json:
        about = {"model": translator.hash, "languages": list(translator.languages), **asdict(config)}
        print_document(about, "translations", map(asdict, found))
        return 0
    for translation in found:
        if jsonl:
            print_json(asdict(translation), indent=None)
        else:
            for each in (translation, *translation.others):
                print(each, flush=file is None)
    return 0


def plot(alignment: Alignment, path: Path) -> None:
    """A PNG with a row a word of a translation and a column a word of the sentence; the darker, the more it was read.

    Raises UserError without matplotlib.
    """
    rows, columns = alignment.weights.shape
    figure = new_figure("--attention", 1.5 + 0.5 * columns, 1.5 + 0.4 * rows)
    axes = figure.subplots()
    axes.imshow(alignment.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), alignment.source, rotation=60, ha="left")
    axes.set_yticks(range(rows), alignment.target)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save_png(figure, path)
