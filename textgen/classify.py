"""`textgen classify`: what goes in, and how classes are printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgen.classification.classifier import Classification, Classifier
from textgen.lines import check_choices, given_lines, print_document
from textgen.output import as_text, print_json
from textgen.text.encodings import lines_of

_SHOWN = 3  # classes of a line


def classify(
    text: str | None,
    file: Path | None,
    model: str | None,
    engine: str,
    words: bool,
    json: bool,
    jsonl: bool,
) -> int:
    """Classifies and prints; returns the exit status. Raises UserError before anything is printed where it can."""
    check_choices(text, file, json, jsonl)
    texts: Iterator[str]
    if file is not None:
        texts = lines_of(file)
    elif text is not None and text != "-":
        texts = iter([as_text(text)])
    else:
        texts = given_lines('nothing to classify; try: textgen classify "It was the best of times."', text)
    classifier = Classifier.load(model, engine)
    found = (_told(classifier, one, words) for one in classifier.classify_each(texts))
    if json:
        print_document({"model": classifier.hash, "classes": list(classifier.classes)}, "texts", found)
        return 0
    for told in found:
        if jsonl:
            print_json(told, indent=None)
        else:
            likeliest = list(told["probabilities"].items())[:_SHOWN]
            print("  ".join(f"{label} {share:.2f}" for label, share in likeliest), flush=file is None)
            for word in told.get("words", ()):
                print(f"  {word['weight']:+6.2f}  {word['word']}")
    return 0


def _told(classifier: Classifier, found: Classification, words: bool) -> dict[str, Any]:
    if not words:
        return asdict(found)
    return {**asdict(found), "words": [word._asdict() for word in classifier.deciding(found.text)]}
