"""Figures are what their definitions say, however they are computed; a copied stretch is found."""

import math

import numpy as np
import pytest
from safetensors.numpy import save

from tests.helpers.step_models import build, contexts
from tests.helpers.text_models import corpus, ended, generator, slow_log_probs
from textgen.decoding.likelihood import line_nats, stream_nats
from textgen.decoding.sampling import log_softmax
from textgen.engine.protocol import PART
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.storage.bundle import COPIED
from textgen.sweep import distinct
from textgen.text.copied import CopyIndex
from textgen.text.encoding import encode_texts, start_of_text
from textgen.text.tokenizer import EOS, UNK

KINDS = ("char", "word", "lines")


def stream_of(kind, size=None):
    """The corpus of a model as it reads it, and the id before it."""
    tokenizer = generator(kind).tokenizer
    ids = encode_texts(tokenizer, [corpus(kind).read_text()], lines=False).ids
    return ids[:size], start_of_text(tokenizer, lines=False)


# --- a stream and lines


@pytest.mark.parametrize("kind", ["char", "word"])
def test_nats_of_a_stream_are_those_of_steps(kind):
    ids, start = stream_of(kind, 600)
    nats = stream_nats(generator(kind).model, ids, start)
    np.testing.assert_allclose(nats, -slow_log_probs(generator(kind), ids), atol=1e-4)


@pytest.mark.parametrize("streams", [2, 3, 7, 16])
def test_a_stream_in_parts_is_as_likely_as_in_one_pass(streams):
    ids, start = stream_of("char")
    once = stream_nats(generator("char").model, ids, start)
    parts = stream_nats(generator("char").model, ids, start, streams)
    assert parts.mean() == pytest.approx(once.mean(), abs=1e-3)
    width = len(ids) // streams
    np.testing.assert_allclose(
        parts[:width], once[:width], atol=1e-4
    )  # the first part is read from its beginning


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 513, 700])
@pytest.mark.parametrize("streams", [1, 2, 3, 1000])
def test_sizes_that_do_not_divide_leave_no_token_out(size, streams):
    ids, start = stream_of("char", size)
    once = stream_nats(generator("char").model, ids, start)
    # With a warm-up of all that comes before, parts are exact; without enough text there is only one.
    for warmup in (1, 60, 256):
        found = stream_nats(generator("char").model, ids, start, streams, warmup)
        assert found.shape == (size,) and (found > 0).all()
        if size // streams < warmup:
            np.testing.assert_allclose(found, once, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_nats_of_lines_are_those_of_each_alone(batch):
    model, tokenizer = generator("lines"), generator("lines").tokenizer
    texts = ["red moon burns", "", "a", "green lamp " * 60, "blue boat sinks", "red moon burns"]
    rows = encode_texts(tokenizer, texts, lines=True).ids
    found = line_nats(model.model, rows, batch)
    expected = [-slow_log_probs(model, row).sum() for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert line_nats(model.model, []).shape == (0,)


# --- score


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text", ["Tom", "red moon burns", "Do you 日 see?\n\nIn the evening\n", "."], ids=repr
)
def test_a_score_is_the_sum_of_steps(kind, text):
    model = generator(kind)
    ids = [*model.tokenizer.encode(text), *([EOS] if model.lines else [])]
    score, expected = model.score(text), -slow_log_probs(model, ids).sum()
    assert score.nats == pytest.approx(expected, abs=1e-4 * len(ids))
    assert (score.tokens, score.unknown) == (len(ids), ids.count(UNK))
    assert score.characters == len(text) + model.lines
    assert score.perplexity == pytest.approx(math.exp(expected / len(ids)), rel=1e-3)
    assert score.bits_per_character == pytest.approx(expected / math.log(2) / score.characters, rel=1e-3)
    assert score.nats_per_token == score.to_json()["nats_per_token"] == score.nats / len(ids)


def test_several_texts_are_one_stream_or_lines_of_their_own():
    assert generator("char").score(["Tom", "Ann"]) == generator("char").score("Tom\nAnn")
    assert generator("word").score(["Tom", "Ann"]).nats == generator("word").score("Tom\n\nAnn").nats
    texts = ["red moon burns", "", "blue"]
    alone = [generator("lines").score(text) for text in texts]
    together = generator("lines").score(texts)
    assert together.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-5)
    assert (together.tokens, together.characters) == (14 + 4 + 3, 14 + 4 + 3)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_score_is_an_error_of_one_line(kind):
    for texts in ([], () if kind == "lines" else ""):
        with pytest.raises(UserError, match=r"\Atext: [^\n]+\Z"):
            generator(kind).score(texts)


@pytest.mark.parametrize("streams", [0, -2])
def test_streams_out_of_range_are_named(streams):
    for kind in KINDS:
        with pytest.raises(UserError, match=rf"\Astreams: {streams} [^\n]+\Z"):
            generator(kind).score(corpus(kind).read_text(), streams)


@pytest.mark.parametrize("kind", ["char", "lines"])
@pytest.mark.parametrize("prompt", ["", "Tom", "red"])
def test_the_log_probability_of_a_text_is_its_score(kind, prompt):
    model = generator(kind)
    for text in model.generate(prompt, n=4, length=40, temperature=1.2, seed=2, top_k=9):
        ids = [*model.read(prompt).ids, *ended(model, text)]
        expected = slow_log_probs(model, ids)[len(ids) - len(ended(model, text)) :].sum()
        assert text.log_prob == pytest.approx(expected, abs=1e-3)
        if not prompt and not (model.lines and not text.finished):
            assert text.log_prob == pytest.approx(-model.score(text.text).nats, abs=1e-3)


# --- the engine


@pytest.mark.parametrize("context", [True, False])
def test_a_score_is_the_log_softmax_of_steps(context):
    engine, ids = TorchEngine(build(2, context)), np.random.default_rng(0).integers(4, 9, (3, 7))
    seen = contexts(3) if context else None
    found, after = engine.score(ids[:, :-1], ids[:, 1:], engine.start(seen, 3))
    state = engine.start(seen, 3)
    for place in range(6):
        logits, state = engine.step(ids[:, place], state)
        expected = log_softmax(logits)[np.arange(3), ids[:, place + 1]]
        np.testing.assert_allclose(found[:, place], expected, atol=1e-5)
    for one, other in zip(after.layers, state.layers, strict=True):
        np.testing.assert_allclose(np.stack(one), np.stack(other), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_joined_rows_step_like_each_alone(cell):
    engine, prompts = (
        TorchEngine(build(1, context=False, cell=cell)),
        ([[1, 5]], [[1, 6, 7, 8], [1, 4, 4, 4]], [[1]]),
    )
    alone = [engine.prefill(np.array(ids), engine.start(None, len(ids))) for ids in prompts]
    joined = engine.join([state for _, state in alone])
    assert joined.rows == 4
    token = np.array([5, 6, 7, 8])
    logits, _ = engine.step(token, joined)
    start = 0
    for _, state in alone:
        own, _ = engine.step(token[start : start + state.rows], state)
        np.testing.assert_allclose(logits[start : start + state.rows], own, atol=1e-5)
        start += state.rows


def test_states_with_a_context_cannot_be_joined():
    engine = TorchEngine(build(1))
    states = [engine.start(contexts(1), 1), engine.start(contexts(2), 2)]
    with pytest.raises(ValueError, match="with a context cannot be joined"):
        engine.join(states)


@pytest.mark.parametrize("size", [1, 9, PART - 1, PART, PART + 1, 2 * PART + 3])
def test_a_prompt_in_one_call_is_the_prompt_step_by_step(size):
    engine, ids = generator("char").model, stream_of("char")[0][:size].astype(np.int64)
    logits, state = engine.prefill(ids[None], engine.start(None, 1))
    slow = engine.start(None, 1)
    for token in ids:
        expected, slow = engine.step(np.array([token]), slow)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(np.stack(state.layers[0]), np.stack(slow.layers[0]), atol=1e-4)


# --- variety


@pytest.mark.parametrize(
    ("pieces", "n", "share"),
    [
        ("", 1, 1.0),
        ("a", 2, 1.0),
        ("ab", 2, 1.0),
        ("aaaa", 1, 0.25),
        ("aaaa", 2, 1 / 3),
        ("abab", 2, 2 / 3),
        (["to", "be", "or", "not", "to", "be"], 1, 4 / 6),
        (["to", "be", "or", "not", "to", "be"], 3, 1.0),
    ],
    ids=repr,
)
def test_distinct_is_the_share_of_ngrams_that_differ(pieces, n, share):
    assert distinct(pieces, n) == pytest.approx(share)


# --- copies


RNG_IDS = np.random.default_rng(5).integers(4, 60, 4000).astype(np.uint16)
INDEX = CopyIndex.build(RNG_IDS, size=16, stride=8)


@pytest.mark.parametrize("length", [31, 32, 39, 40, 41, 100, 1000])
def test_a_copied_stretch_is_found_wherever_it_begins(length):
    rng = np.random.default_rng(2)
    for begin in range(300, 308):
        before, after = rng.integers(100, 200, (2, 30))
        text = np.concatenate([before, RNG_IDS[begin : begin + length], after])
        start, found = INDEX.longest(text)
        assert length - 14 <= found <= length
        assert start >= 30 and start + found <= 30 + length


def test_a_copy_of_the_whole_and_of_its_ends_is_found():
    assert INDEX.longest(RNG_IDS) == (0, 4000)
    assert INDEX.longest(RNG_IDS[-31:])[1] == 24
    assert INDEX.longest(RNG_IDS[:24]) == (0, 24)
    assert INDEX.longest(RNG_IDS[:23]) == (0, 0)


def test_the_longest_of_several_copies_is_meant():
    other = np.full(5, 99)
    text = np.concatenate([RNG_IDS[8:48], other, RNG_IDS[800:1000], other, RNG_IDS[80:140]])
    assert INDEX.longest(text) == (45, 200)


def test_strange_text_is_not_taken_for_a_copy():
    strange = np.random.default_rng(6).integers(4, 60, 40_000)
    assert INDEX.longest(strange) == (0, 0)


def test_a_stride_that_leaves_gaps_is_refused():
    with pytest.raises(ValueError, match="stride 16"):
        CopyIndex.build(RNG_IDS, size=16, stride=16)


@pytest.mark.parametrize("ids", [[], [5], list(range(15))], ids=len)
def test_too_short_a_text_holds_no_copy(ids):
    assert INDEX.longest(np.array(ids, dtype=np.int64)) == (0, 0)
    empty = CopyIndex.build(np.array(ids, dtype=np.int64), 16, 8)
    assert empty.longest(RNG_IDS) == (0, 0)


def test_an_index_comes_back_as_it_was_saved(tmp_path):
    assert CopyIndex.load(tmp_path) is None
    INDEX.save(tmp_path)
    loaded = CopyIndex.load(tmp_path)
    assert (loaded.size, loaded.stride) == (16, 8) and (loaded.bits == INDEX.bits).all()
    assert loaded.longest(RNG_IDS) == (0, 4000)


BITS, SIZE = np.ones(8, dtype=np.uint8), np.array([16, 8])
DAMAGED = {
    "empty": b"",
    "text": b"not an index",
    "truncated": save({"bits": BITS, "size": SIZE})[:-3],
    "no bits": save({"size": SIZE}),
    "bits of no bytes": save({"bits": BITS[:0], "size": SIZE}),
    "bits as floats": save({"bits": BITS.astype(np.float32), "size": SIZE}),
    "one number": save({"bits": BITS, "size": SIZE[:1]}),
    "size 0": save({"bits": BITS, "size": np.array([0, 8])}),
    "stride 0": save({"bits": BITS, "size": np.array([16, 0])}),
    "size infinite": save({"bits": BITS, "size": np.array([np.inf, 8.0])}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_index_is_one_line_that_names_it(tmp_path, name):
    (tmp_path / COPIED).write_bytes(DAMAGED[name])
    with pytest.raises(UserError, match=r"\A\S+copied\.safetensors: [^\n]+\Z"):
        CopyIndex.load(tmp_path)
