"""Loops in the graph say, token for token, what the same model says when it is stepped and chosen from in numpy."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from captioner import Captioner
from captioner.data.several import load_datasets
from captioner.network.decoding import search_beams
from captioner.network.decoding_config import DEFAULT_DECODING
from captioner.pictures.load import picture_pixels
from tests.helpers.onnx_models import CELLS_AND_CONTEXT, D, V, decoder, each, onnx_engine, random_context
from tests.helpers.paths import SHARED
from tests.helpers.step_models import start_ids
from tests.helpers.stepped import Stepped
from textgen import TextGenerator
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import generate
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.engine.onnx import OnnxEngine
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

SPECIAL = (PAD, BOS, UNK)
CHOICES = {
    "all": SamplingConfig(),
    "greedy": SamplingConfig(0),
    "cold": SamplingConfig(1e-30),
    "hot": SamplingConfig(1e30),
    "the best few": SamplingConfig(1.3, top_k=3),
    "the likeliest": SamplingConfig(1.1, top_p=0.7),
    "one of them": SamplingConfig(1.1, top_p=0.0),
    "not the least": SamplingConfig(1.0, min_p=0.2),
    "everything at once": SamplingConfig(0.9, top_k=6, top_p=0.95, min_p=0.05),
}
RULES = {
    "none": Constraints(),
    "special tokens": Constraints(banned=SPECIAL),
    "no word twice": Constraints(banned=SPECIAL, no_repeat_ngram=1),
    "no pair twice": Constraints(banned=SPECIAL, no_repeat_ngram=2, min_length=1, not_final=(5, 6)),
    "no three twice": Constraints(banned=SPECIAL, no_repeat_ngram=3, min_length=4),
    "no four twice": Constraints(no_repeat_ngram=4, not_final=(4,)),
}
OTHERS = {  # what a graph cannot do, or must not
    "five": Constraints(no_repeat_ngram=5),
    "required": Constraints(required=(7, 8)),
    "what the prompt ends with": Constraints(not_final=(BOS,)),
}


@cache
def engine_of(config):
    return onnx_engine(decoder(config))


@pytest.fixture
def counted(monkeypatch):
    """How many blocks and searches were made in a graph."""
    counts = {"search": 0, "write": 0}
    for name in counts:
        whole = getattr(OnnxEngine, name)

        def counting(self, *arguments, name=name, whole=whole):
            found = whole(self, *arguments)
            counts[name] += found is not None
            return found

        monkeypatch.setattr(OnnxEngine, name, counting)
    return counts


def assert_same(found, expected):
    assert [(one.ids, one.finished) for one in found] == [(one.ids, one.finished) for one in expected]
    assert [one.log_prob for one in found] == pytest.approx([one.log_prob for one in expected], abs=1e-4)


@each(CELLS_AND_CONTEXT)
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("rules", [Constraints(), Constraints(banned=SPECIAL, min_length=1)])
def test_what_is_sampled_is_what_steps_sample(config, choice, rules, counted):
    engine = engine_of(config)
    for rows, end in ((1, EOS), (6, EOS), (4, None)):
        options = {"sampling": choice, "constraints": rules, "end": end, "max_length": 90, "seed": 7}
        options["context"] = random_context(config, 1 if rows == 1 else 2)
        assert_same(
            generate(engine, start_ids(rows), **options),
            generate(Stepped(engine), start_ids(rows), **options),
        )
    assert counted["write"] > 2


@each(CELLS_AND_CONTEXT)
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("beams", [1, 3, 8])
def test_what_is_searched_is_what_steps_find(config, rules, beams, counted):
    engine = engine_of(config)
    for prompts in (start_ids(1), start_ids(5), np.array([[BOS, 7, 8], [BOS, 9, 7]])):
        options = {"beam_size": beams, "n_best": beams, "constraints": rules, "end": EOS, "max_length": 14}
        options["context"] = random_context(config, len(prompts))
        found, expected = (beam_search(model, prompts, **options) for model in (engine, Stepped(engine)))
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    assert counted["search"] == 3


@pytest.mark.parametrize("rules", OTHERS.values(), ids=OTHERS)
def test_what_a_graph_cannot_do_is_stepped(rules, counted):
    engine = onnx_engine(decoder(CELLS_AND_CONTEXT["lstm2-attention-tied"]))
    context = random_context(engine.config, 2)
    options = {"constraints": rules, "context": context, "end": EOS, "max_length": 12}
    for one, other in zip(
        *(beam_search(model, start_ids(2), beam_size=3, **options) for model in (engine, Stepped(engine))),
        strict=True,
    ):
        assert_same(one, other)
    assert counted["search"] == 0
    sampling = {**options, "constraints": replace(rules, repetition_penalty=1.2), "seed": 1}
    assert_same(
        *(
            generate(model, start_ids(2), sampling=SamplingConfig(), **sampling)
            for model in (engine, Stepped(engine))
        )
    )
    assert counted["write"] == 0


def test_where_all_that_may_come_is_forbidden_the_rules_give_way(counted):
    engine = onnx_engine(decoder(CELLS_AND_CONTEXT["gru2-plain-tied"]))
    rules = Constraints(banned=tuple(range(V - 2)), no_repeat_ngram=1)
    options = {"beam_size": 2, "constraints": rules, "end": EOS, "max_length": 8}
    for one, other in zip(
        *(beam_search(model, start_ids(2), **options) for model in (engine, Stepped(engine))), strict=True
    ):
        assert_same(one, other)
    assert counted["search"] == 0  # it tells that it went wrong


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_told(value):
    made = decoder(CELLS_AND_CONTEXT["lstm2-plain-tied"])
    made.output_bias[5] = value
    engine = onnx_engine(made)
    with pytest.raises(UserError, match="NaN or infinity"):
        beam_search(engine, start_ids(1), beam_size=2, end=EOS, max_length=4)
    with pytest.raises(UserError, match="NaN or infinity"):
        generate(engine, start_ids(1), sampling=SamplingConfig(), end=EOS, max_length=4, seed=1)


def test_a_model_that_was_exported_before_is_stepped():
    engine = onnx_engine(decoder(replace(CELLS_AND_CONTEXT["lstm2-attention-tied"], context_size=D)))
    old = onnx_engine(decoder(engine.config))
    old._graphs = {name: graph for name, graph in old._graphs.items() if name not in ("search", "write")}
    old.__dict__.pop("_search", None)
    context = random_context(engine.config, 2)
    options = {"context": context, "end": EOS, "max_length": 9}
    for one, other in zip(
        *(beam_search(model, start_ids(2), beam_size=2, **options) for model in (engine, old)), strict=True
    ):
        assert_same(one, other)
    assert_same(
        *(
            generate(model, start_ids(2), sampling=SamplingConfig(), seed=3, **options)
            for model in (engine, old)
        )
    )


@pytest.mark.parametrize("name", ["shakespeare", "novels"])
@pytest.mark.parametrize("settings", [{}, {"top_k": 12, "min_p": 0.02}])
def test_two_hundred_texts_of_the_models_in_the_box(name, settings, monkeypatch):
    generator = TextGenerator.load(name)
    words = generator.generate("", length=200, seed=0)[0].text.split()
    prompts = [" ".join(words[start : start + 3]) for start in range(20)]
    found = generator.generate(prompts, n=5, length=50, seed=1, **settings)
    monkeypatch.setattr(OnnxEngine, "write", lambda *_: None)
    expected = generator.generate(prompts, n=5, length=50, seed=1, **settings)
    assert [text.text for texts in found for text in texts] == [
        text.text for texts in expected for text in texts
    ]


def test_two_hundred_captions_of_the_model_in_the_box(monkeypatch):
    folder = SHARED / "general"
    if not folder.is_dir():
        pytest.skip("needs ../shared/general")
    captioner = Captioner.load()
    examples = load_datasets([folder]).examples[:200]
    contexts = [captioner.encode(picture_pixels(one.path, captioner.size)[None]) for one in examples]

    def captions(beams):
        return [
            [one.ids for one in search_beams(captioner._engine, context, captioner.tokenizer, beams)[0]]
            for context in contexts
        ]

    config = replace(DEFAULT_DECODING, beam=3)
    found = captions(config)
    together = search_beams(captioner._engine, np.concatenate(contexts[:16]), captioner.tokenizer, config)
    assert [[one.ids for one in beams] for beams in together] == found[:16]
    monkeypatch.setattr(OnnxEngine, "search", lambda *_: None)
    assert captions(config) == found
