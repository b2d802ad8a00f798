"""Beams chosen once more: by an energy, which weighs against what the captioner found likely."""

from dataclasses import replace

import numpy as np
import pytest

from captioner.network.decoding_config import DecodingConfig
from captioner.reranking import reranker
from tests.helpers.families import trained
from textgen.decoding.generate import Generated
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.text.tokenizer import EOS

pytestmark = pytest.mark.slow


def beams(tokenizer, *texts):
    ids = [tuple(tokenizer.encode(text)) for text in texts]
    return [Generated(line, -4.0 - 0.1 * place, True) for place, line in enumerate(ids)]


def test_the_energy_decides_as_much_as_it_weighs():
    generator = TextGenerator.load(trained("energy"))
    found = beams(
        generator.tokenizer, "bench the a in in", "a small dog runs outside", "a big man sleeps outside"
    )
    energies = generator.writer.energy([[*beam.ids, EOS] for beam in found])
    assert energies[0] > energies[1:].max()
    order = reranker(str(trained("energy")), generator.tokenizer, DecodingConfig(rerank_weight=5.0))(found)
    lengths = np.array([len(beam.ids) + 1 for beam in found])
    scores = (np.array([beam.log_prob for beam in found]) - 5.0 * energies) / lengths
    assert order == np.argsort(-scores).tolist() and order[-1] == 0
    alone = reranker(str(trained("energy")), generator.tokenizer, DecodingConfig(rerank_weight=0.0))
    assert alone(found) == [0, 1, 2]
    cut = [replace(found[0], finished=False), *found[1:]]
    assert alone(cut) == [1, 2, 0]


def test_other_families_and_samples_are_refused():
    with pytest.raises(UserError, match="a model of the family vae; an energy reranks captions"):
        reranker(str(trained("vae")), TextGenerator.load(trained("vae")).tokenizer, DecodingConfig())
    with pytest.raises(UserError, match="--beam 1 leaves one"):
        reranker("x", TextGenerator.load(trained("vae")).tokenizer, DecodingConfig(beam=1))
    with pytest.raises(UserError, match="rerank: chooses among beams"):
        DecodingConfig(temperature=1.0, rerank="x")
    with pytest.raises(UserError, match="rerank_weight: -1"):
        DecodingConfig(rerank="x", rerank_weight=-1)
    assert "rerank:x" in DecodingConfig(rerank="x").describe()
