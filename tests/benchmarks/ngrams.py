"""The model in the box `novels` beside a Kneser-Ney model of five words, on the same ids."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.paths import MODELS
from textgen.generator import TextGenerator
from textgen.storage.bundle import HEADER
from textgen.text.corpus import load_corpus
from textgen.text.encoding import encode_texts
from textgen.text.kneser_ney import perplexity

_MODEL = "novels"
_STREAMS = 16


def measure(novels: Path) -> dict:
    """Held-out perplexity a word, punctuation included, of both models on the same ids."""
    if not novels.exists():
        return {_MODEL: f"left out: {novels} is not there"}
    if not (MODELS / _MODEL / HEADER).exists():
        return {_MODEL: f"left out: the model {_MODEL} is not in the box"}
    generator = TextGenerator.load(_MODEL)
    corpus = load_corpus([novels], held_out=0.1, whole_words=True)
    if corpus.hash != generator.header["provenance"]["data_hash"]:
        return {
            _MODEL: f"left out: the model was trained on another corpus than {novels}, or split otherwise"
        }
    train, held_out = (
        encode_texts(generator.tokenizer, texts, lines=False) for texts in (corpus.train, corpus.held_out)
    )
    vocabulary = len(generator.tokenizer)
    baseline = perplexity(train.ids, held_out.ids, vocabulary)
    own = generator.score(corpus.held_out, _STREAMS).perplexity
    return {
        f"{_MODEL}, vocabulary": vocabulary,
        f"{_MODEL}, held-out words": held_out.tokens,
        f"{_MODEL}, unknown of them, %": 100 * held_out.unknown / held_out.tokens,
        f"{_MODEL}, perplexity, Kneser-Ney 5-gram": baseline,
        f"{_MODEL}, perplexity, the model": own,
        f"{_MODEL}, the model lower by, %": 100 * (1 - own / baseline),
    }
