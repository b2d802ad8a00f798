"""Beams chosen once more by a model of whole sentences: an energy-based model of `textgen` says how unlike a written caption
each is, and what the captioner found likely is weighed against it (Deng et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from captioner.network.decoding import Order
from captioner.network.decoding_config import DecodingConfig
from textgen.decoding.generate import Generated
from textgen.errors import UserError
from textgen.families.energy import EnergyWriter
from textgen.generator import TextGenerator
from textgen.text.tokenizer import EOS, Tokenizer


def reranker(model: str, tokenizer: Tokenizer, config: DecodingConfig) -> Order:
    """By the energy-based model of this name or folder: the log-probability less `rerank_weight` times the energy, over the
    length to the power of `length_penalty`, decides. Raises UserError for a model of another family, and for one beam."""
    if max(config.beam, config.n) == 1:
        raise UserError("rerank: chooses among beams, and --beam 1 leaves one; give --beam 2 or more")
    generator = _load(model)
    writer = generator.writer
    if not isinstance(writer, EnergyWriter):
        family = generator.header["config"].get("family", "autoregressive")
        raise UserError(f"{model} (--rerank): a model of the family {family}; an energy reranks captions")

    def order(beams: Sequence[Generated]) -> list[int]:
        lines = [
            [*generator.tokenizer.encode(tokenizer.decode(beam.ids)), *([EOS] if beam.finished else [])]
            for beam in beams
        ]
        found = np.array([beam.log_prob for beam in beams]) - config.rerank_weight * writer.energy(lines)
        lengths = np.array([len(beam.ids) + beam.finished for beam in beams], dtype=np.float64)
        scores = found / np.maximum(lengths, 1) ** config.length_penalty
        # One that has not come to its end is the last choice, as of the beam search.
        places: list[int] = np.lexsort((-scores, np.array([not beam.finished for beam in beams]))).tolist()
        return places

    return order


@cache
def _load(model: str) -> TextGenerator:
    return TextGenerator.load(model)
