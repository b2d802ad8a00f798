"""Every caption keeps the rules, whatever the model would rather say."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from captioner.network.decoding import Caption, caption_constraints, decode
from captioner.network.decoding_config import DecodingConfig
from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, WordTokenizer

DANGLING = {"a", "the", "on", "with", "in", "of", "and"}
WORDS = [*sorted(DANGLING), "dog", "cat", "ball", "man", "red", "runs", "sits", "grass"]
TOKENIZER = WordTokenizer(WORDS, punctuation=False)
SIDE = 3
DECODINGS = [
    DecodingConfig(max_length=9),
    DecodingConfig(n=5, beam=2, max_length=9),
    DecodingConfig(n=3, beam=7, max_length=9, length_penalty=0.5),
    DecodingConfig(n=4, temperature=1.0, seed=3, max_length=9),
    DecodingConfig(n=2, temperature=0, max_length=9),
    DecodingConfig(n=3, temperature=2.0, top_k=4, top_p=0.9, seed=0, max_length=9),
]


def build(seed=0, **bias):
    """A model of random weights that loves or hates the words of `bias`."""
    config = DecoderConfig(
        vocab_size=len(TOKENIZER), embedding_size=12, hidden_size=8, context_size=5, attention_heads=2
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        decoder = RNNDecoder(config)
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.6)
        for word, value in bias.items():
            decoder.output_bias[TOKENIZER.ids.get(word, EOS)] = value
        decoder.output_bias[[PAD, BOS, UNK]] += bias.get("special", 3.0)
    return TorchEngine(decoder)


def pictures(count=3, cells=SIDE * SIDE):
    return np.random.default_rng(5).normal(size=(count, cells, 5)).astype(np.float32)


def all_captions(model, config, context=None):
    found = decode(model, pictures() if context is None else context, TOKENIZER, config)
    return [caption for captions in found for caption in captions]


@pytest.fixture(scope="module", params=range(4))
def model(request):
    return build(request.param)


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_n_captions_asked_n_given(model, config):
    found = decode(model, pictures(), TOKENIZER, config)
    assert [len(captions) for captions in found] == [config.n] * 3
    assert all(isinstance(caption, Caption) for captions in found for caption in captions)


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_every_caption_keeps_the_rules(model, config):
    for caption in all_captions(model, config):
        assert caption.words
        assert len(caption.words) <= config.max_length
        assert set(caption.words) <= set(WORDS)
        assert caption.text == " ".join(caption.words)
        assert not any(token in caption.text for token in SPECIAL_TOKENS)
        trigrams = list(zip(caption.words, caption.words[1:], caption.words[2:], strict=False))
        assert len(set(trigrams)) == len(trigrams)
        assert caption.words[-1] not in DANGLING or (not caption.finished and len(caption.words) == 1)
        assert math.isfinite(caption.log_prob)
        assert caption.log_prob < 0
        assert caption.attention is None


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_a_model_that_would_rather_say_nothing_still_says_a_word(config):
    for caption in all_captions(build(eos=30.0), config):
        assert caption.words
        assert caption.text


def test_a_model_that_would_rather_say_unk_never_does():
    for config in DECODINGS:
        for caption in all_captions(build(special=40.0), config):
            assert set(caption.words) <= set(WORDS)


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_a_model_that_says_one_word_for_ever_is_stopped(config):
    for caption in all_captions(build(ball=25.0), config):
        assert "ball ball ball ball" not in caption.text


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_captions_that_never_end_are_cut_marked_and_trimmed_of_dangling_words(config):
    model = build(eos=-60.0, a=4.0, the=4.0, on=4.0)
    captions = all_captions(model, config)
    assert not any(caption.finished for caption in captions)
    assert all(caption.words[-1] not in DANGLING or len(caption.words) == 1 for caption in captions)
    assert any(len(caption.words) < config.max_length for caption in captions)


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_the_shortest_limit_gives_one_word(model, config):
    for caption in all_captions(model, replace(config, max_length=1)):
        assert len(caption.words) == 1
        assert not caption.finished


def test_beam_captions_are_distinct_and_finished_ones_come_first(model):
    for captions in decode(model, pictures(), TOKENIZER, DecodingConfig(n=6, beam=2, max_length=12)):
        finished = [caption for caption in captions if caption.finished]
        assert captions[: len(finished)] == finished
        assert len({caption.words for caption in finished}) == len(finished)
        scores = [caption.log_prob / (len(caption.words) + 1) for caption in finished]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_same_seed_same_captions_whatever_the_batch(model, config):
    context = pictures(4)
    together = decode(model, context, TOKENIZER, config)
    again = decode(model, context[::-1].copy(), TOKENIZER, config)[::-1]
    alone = [decode(model, context[b : b + 1], TOKENIZER, config)[0] for b in range(4)]
    for other in (again, alone):
        for captions, others in zip(together, other, strict=True):
            assert [caption.words for caption in captions] == [caption.words for caption in others]
            assert [caption.finished for caption in captions] == [caption.finished for caption in others]
            probs = [[caption.log_prob for caption in row] for row in (captions, others)]
            np.testing.assert_allclose(*probs, atol=1e-4)


def test_sampled_captions_do_not_depend_on_how_many_are_asked(model):
    few, many = (
        decode(model, pictures(), TOKENIZER, DecodingConfig(n=n, temperature=1, seed=9, max_length=9))
        for n in (2, 5)
    )
    for captions, others in zip(few, many, strict=True):
        assert [caption.words for caption in captions] == [caption.words for caption in others[:2]]


def test_another_seed_gives_other_captions(model):
    def texts(seed):
        config = DecodingConfig(n=4, temperature=1.5, seed=seed, max_length=9)
        return [caption.text for caption in all_captions(model, config)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert texts(None) != texts(None)


def test_greedy_equals_a_beam_of_one(model):
    greedy = all_captions(model, DecodingConfig(temperature=0, max_length=9))
    beam = all_captions(model, DecodingConfig(beam=1, max_length=9))
    assert [caption.words for caption in greedy] == [caption.words for caption in beam]


@pytest.mark.parametrize("config", DECODINGS, ids=DecodingConfig.describe)
def test_attention_is_a_map_a_word_and_sums_to_one(model, config):
    context = pictures()
    for b, captions in enumerate(decode(model, context, TOKENIZER, config, attention=True)):
        for caption in captions:
            assert caption.attention.shape == (len(caption.words), SIDE, SIDE)
            np.testing.assert_allclose(caption.attention.sum(axis=(1, 2)), 1, rtol=1e-5)
            # The map of a word is where the model looked when it said that word.
            state = model.start(context[b : b + 1], 1)
            for token, seen in zip([BOS, *TOKENIZER.encode(caption.text)], caption.attention, strict=False):
                _, state = model.step(np.array([token]), state)
                np.testing.assert_allclose(model.attention(state)[0, 0], seen.ravel(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: 0"),
        ({"beam": 0}, "beam: 0"),
        ({"max_length": 0}, "max_length: 0"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": math.nan}, "temperature: nan"),
        ({"temperature": math.inf}, "temperature: inf"),
        ({"temperature": 1.0, "top_k": -1}, "top_k: -1"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p: 1.5"),
        ({"temperature": 1.0, "top_p": math.nan}, "top_p: nan"),
        ({"top_k": 5}, "top_k, top_p: they need a temperature"),
        ({"top_p": 0.9}, "top_k, top_p: they need a temperature"),
        ({"length_penalty": -1.0}, "length_penalty: -1.0"),
        ({"length_penalty": math.nan}, "length_penalty: nan"),
        ({"length_penalty": math.inf}, "length_penalty: inf"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        DecodingConfig(**options)


def test_a_negative_seed_is_refused_by_name(model):
    with pytest.raises(UserError, match="seed: -1"):
        all_captions(model, DecodingConfig(temperature=1, seed=-1))


def test_a_vocabulary_without_the_dangling_words_has_no_rule_for_them():
    assert caption_constraints(WordTokenizer(["dog"])).not_final == ()
    assert caption_constraints(WordTokenizer(["a", "dog"])).not_final == (4,)
