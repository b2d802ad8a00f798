"""`textgen classify`: what goes in, and how classes are printed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgen.classification.classifier import Classification, Classifier
from textgen.lines import asked_lines, print_document
from textgen.output import as_text, print_json

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
    advice = 'nothing to classify; try: textgen classify "It was the best of times."'
    texts = asked_lines(None if text is None else [as_text(text)], file, json, jsonl, advice)
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
