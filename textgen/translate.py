"""`textgen translate`: what goes in, and how its translations are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgen.errors import UserError
from textgen.output import as_text, print_json
from textgen.plots import new_figure, save_png
from textgen.storage.bundle import model_files
from textgen.storage.files import check_output
from textgen.text.encodings import decode_text, lines_of
from textgen.translation.config import TranslationConfig
from textgen.translation.stored import BOX
from textgen.translation.translator import Alignment, Translation, Translator


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
    if text is not None and file is not None:
        raise UserError("--file: a text is given, too; give one of the two")
    if json and jsonl:
        raise UserError("--json, --jsonl: give one of the two")
    if config.n > 1 and not (json or jsonl) and file is not None:
        raise UserError("--n: of a file, several translations a line need --json or --jsonl")
    check_output(
        attention, "--attention", (".png",), [*model_files(BOX.find(model)), *([file] if file else [])]
    )
    if file is not None:
        next(lines_of(file), None)  # what cannot be read is said before a model is loaded
    lines = lines_of(file) if file is not None else _given(text)
    translator = Translator.load(model, engine)
    if attention is not None:
        lines = iter(given := list(lines))
        if len(given) != 1 or not given[0].strip():
            raise UserError("--attention: one line is drawn; give one")
        plot(translator.align(given[0], str(translator.translate(given[0], beam=config.beam))), attention)
    found = translator.translate_each(_counted(lines, file), **asdict(config))
    if json:
        _document(translator, found, config)
        return 0
    for translation in found:
        if jsonl:
            print_json(asdict(translation), indent=None)
        else:
            for each in (translation, *translation.others):
                print(each, flush=file is None)
    return 0


def _given(text: str | None) -> Iterator[str]:
    """The lines of a text, or of standard input as they come."""
    if text is not None and text != "-":
        return iter(as_text(text).split("\n"))
    if sys.stdin is None or (text is None and sys.stdin.isatty()):
        raise UserError('nothing to translate; try: textgen translate "Where is the station?"')
    return (decode_text(line, "standard input").removesuffix("\n") for line in sys.stdin.buffer)


def _counted(lines: Iterator[str], file: Path | None) -> Iterator[str]:
    """`lines`, with a bar that counts them where a file is long and somebody watches."""
    if file is None or not sys.stderr.isatty() or sys.stdout.isatty():
        return lines
    from tqdm import tqdm

    return iter(tqdm(lines, unit=" lines", mininterval=0.5, leave=False))


def _document(translator: Translator, found: Iterator[Translation], config: TranslationConfig) -> None:
    document: dict[str, Any] = {
        "model": translator.hash,
        "languages": list(translator.languages),
        **asdict(config),
        "translations": [],
    }
    try:
        document["translations"] += (asdict(translation) for translation in found)
    except BaseException as error:
        # What is done is not lost.
        document["incomplete"] = f"{len(document['translations']):,} lines: {str(error) or 'stopped'}"
        raise
    finally:
        if document["translations"] or sys.exc_info()[0] is None:
            print_json(document)


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
