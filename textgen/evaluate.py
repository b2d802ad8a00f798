"""How likely a model finds a corpus that lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textgen.generator import TextGenerator
from textgen.text.corpus import load_corpus
from textgen.text.tokenizer import CharTokenizer


def evaluate(
    generator: TextGenerator,
    paths: Sequence[Path],
    split: str = "held-out",
    held_out: float = 0.1,
    *,
    columns: Sequence[str] = (),
    streams: int = 1,
) -> dict[str, Any]:
    """`Score`'s figures of one split of the files `paths`, with what they depend on.

    The corpus is read and split as in training, which holds no large file in memory; `notes` say where it is not the one the model was trained on.
    """
    unit = "character" if isinstance(generator.tokenizer, CharTokenizer) else "word"
    corpus = load_corpus(
        paths,
        lines=generator.lines,
        columns=columns,
        held_out=held_out,
        whole_words=unit == "word",
        large=True,
    )
    texts = corpus.part(split)
    found = generator.score(texts, streams)
    notes = list(corpus.notes)
    provenance = generator.header["provenance"]
    if corpus.hash != provenance.get("data_hash"):
        notes.append(
            f"not the corpus, or not the split, that the model was trained on: {', '.join(provenance['data'])}, "
            f"judged by {provenance['split']}"
        )
    return {
        "split": f"{split} ({corpus.split})",
        "token": unit,
        "lines": generator.lines,
        **found.to_json(),
        "unknown_rate": found.unknown / found.tokens,
        "vocabulary": len(generator.tokenizer),
        "model": generator.hash,
        "corpus": corpus.hash,
        "notes": notes,
    }
