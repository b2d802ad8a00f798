"""Beams agree with greedy decoding, with each other and with brute force."""

from itertools import product

import numpy as np
import pytest

from tests.helpers.step_models import Scripted, V, assert_same, build, contexts, log_prob_of, start_ids
from textgen.decoding.beam import _best_continuations, beam_search
from textgen.decoding.generate import Generated, generate
from textgen.decoding.settings import Constraints
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

SPECIAL = Constraints(banned=(PAD, BOS, UNK))
RULES = Constraints(banned=(PAD, BOS, UNK), not_final=(4, 5), min_length=2, no_repeat_ngram=2)


@pytest.mark.parametrize("rules", [Constraints(), SPECIAL, RULES], ids=["free", "special", "rules"])
@pytest.mark.parametrize("seed", range(12))
def test_a_beam_of_one_equals_greedy(seed, rules):
    engine = TorchEngine(build(seed, context=seed % 2 == 0, cell=("lstm", "gru", "rnn")[seed % 3]))
    context = contexts(4) if seed % 2 == 0 else None
    options = {"context": context, "constraints": rules, "end": EOS, "max_length": 8}
    beams = beam_search(engine, start_ids(4), beam_size=1, **options)
    assert_same([found[0] for found in beams], generate(engine, start_ids(4), **options))


def test_a_beam_of_one_equals_greedy_even_where_everything_ties():
    class Flat(Scripted):
        def _logits(self, state):
            return np.zeros((len(state), V), dtype=np.float32)

    for rules in (Constraints(), Constraints(banned=(0, 1, 2)), Constraints(no_repeat_ngram=1)):
        options = {"constraints": rules, "end": EOS, "max_length": 5}
        greedy = generate(Flat(), start_ids(2), **options)
        assert_same([found[0] for found in beam_search(Flat(), start_ids(2), beam_size=1, **options)], greedy)


def test_the_best_continuations_are_those_of_a_full_sort_even_where_values_tie():
    random = np.random.default_rng(1)
    for case in range(400):
        contexts_, width, size = (int(random.integers(1, high)) for high in (4, 6, 14 if case < 300 else 700))
        log_probs = random.normal(size=(contexts_ * width, size)).astype(np.float32)
        log_probs = np.round(log_probs) if case % 2 else log_probs
        log_probs[random.random(log_probs.shape) < 0.3] = -np.inf
        scores = random.integers(-2, 1, (contexts_, width)).astype(float)
        if case >= 300:  # as many beams as only a wide search has, and some that are not there yet
            width = 40
            log_probs = np.repeat(log_probs[:contexts_], width, axis=0)
            scores = np.where(random.random((contexts_, width)) < 0.5, -np.inf, np.arange(width) / 4.0)
            scores[:, 0] = 0
        # What is taken from the logits makes no difference when they are higher by as much.
        shift = random.integers(-3, 4, (len(log_probs), 1)).astype(np.float32)
        logits, taken = log_probs + shift, (shift, np.zeros_like(shift))
        log_probs = logits - shift
        beams, tokens, totals = _best_continuations(scores, logits, taken, 2 * width)
        for b in range(contexts_):
            own = scores[b][:, None] + log_probs[b * width : (b + 1) * width]
            ranked = sorted((-own[w, v], w, v) for w in range(width) for v in range(size))[: 2 * width]
            reached = [entry for entry in ranked if np.isfinite(entry[0])]  # the impossible has no order
            found = list(zip(-totals[b], beams[b], tokens[b], strict=True))
            assert found[: len(reached)] == reached
            assert not np.isfinite(totals[b][len(reached) :]).any()


@pytest.mark.parametrize("rules", [Constraints(), RULES], ids=["free", "rules"])
@pytest.mark.parametrize(("beam", "n_best"), [(1, 1), (3, 1), (3, 3), (2, 5)])
def test_beams_of_a_batch_equal_beams_alone(beam, n_best, rules):
    for seed in range(4):
        engine, context = TorchEngine(build(seed)), contexts(5)
        options = {"beam_size": beam, "n_best": n_best, "constraints": rules, "end": EOS, "max_length": 7}
        together = beam_search(engine, start_ids(5), context=context, **options)
        for b in range(5):
            assert_same(
                together[b], beam_search(engine, start_ids(1), context=context[b : b + 1], **options)[0]
            )


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_sequences(seed, length_penalty):
    size, limit = 5, 4
    decoder, context = build(seed, size=size, end_bias=-1.0), contexts(1, seed)
    others = [token for token in range(size) if token != EOS]
    finished = [Generated(ids, 0.0, True) for t in range(limit) for ids in product(others, repeat=t)]
    scored = []
    for candidate in finished:
        log_prob = log_prob_of(decoder, candidate, context)
        scored.append((log_prob / (len(candidate.ids) + 1) ** length_penalty, candidate.ids))
    best = sorted(scored, reverse=True)[:6]
    options = {"end": EOS, "max_length": limit, "length_penalty": length_penalty}
    found = beam_search(
        TorchEngine(decoder), start_ids(1), context=context, beam_size=400, n_best=6, **options
    )
    assert [g.ids for g in found[0]] == [ids for _, ids in best]
    scores = [g.log_prob / (len(g.ids) + 1) ** length_penalty for g in found[0]]
    np.testing.assert_allclose(scores, [score for score, _ in best], atol=1e-4)


def plain_beam_search(decoder, context, width, limit):
    """The definition, one hypothesis at a time: ends among the W best finish, the W best others go on."""
    beams, ended = [((), 0.0)], []
    for _ in range(limit):
        longer = []
        for ids, _ in beams:
            for token in range(V):
                finished = Generated(ids if token == EOS else (*ids, token), 0.0, token == EOS)
                longer.append((log_prob_of(decoder, finished, context), finished))
        longer.sort(key=lambda item: -item[0])
        ended += [(log_prob / (len(g.ids) + 1), g.ids) for log_prob, g in longer[:width] if g.finished]
        beams = [(g.ids, log_prob) for log_prob, g in longer if not g.finished][:width]
        if len(ended) >= width:
            break
    return [ids for _, ids in sorted(ended, reverse=True)]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_beam_search_is_its_definition(width):
    for seed in range(12):
        decoder, context = build(seed, end_bias=3.0), contexts(1, seed)
        found = beam_search(
            TorchEngine(decoder),
            start_ids(1),
            context=context,
            beam_size=width,
            n_best=width,
            end=EOS,
            max_length=5,
        )
        expected = plain_beam_search(decoder, context, width, 5)[:width]
        assert [g.ids for g in found[0] if g.finished] == expected


@pytest.mark.parametrize("end_bias", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize(("beam", "n_best"), [(1, 1), (1, 6), (4, 4), (8, 3)])
def test_n_best_are_n_distinct_and_sorted_with_unfinished_last(beam, n_best, end_bias):
    for seed in range(3):
        engine = TorchEngine(build(seed, end_bias=end_bias))
        options = {"constraints": SPECIAL, "end": EOS, "max_length": 6, "length_penalty": 0.8}
        for found in beam_search(
            engine, start_ids(3), context=contexts(3), beam_size=beam, n_best=n_best, **options
        ):
            assert len(found) == n_best
            assert len({(g.ids, g.finished) for g in found}) == n_best
            assert [g.finished for g in found] == sorted((g.finished for g in found), reverse=True)
            scores = [g.log_prob / (len(g.ids) + 1) ** 0.8 for g in found if g.finished]
            assert scores == sorted(scores, reverse=True)
            cut = [g for g in found if not g.finished]
            assert all(len(g.ids) == 6 for g in cut)
            assert [g.log_prob for g in cut] == sorted((g.log_prob for g in cut), reverse=True)


def test_beam_search_reads_plain_text_prompts_each_on_its_own():
    engine = TorchEngine(build(6, context=False))
    prompts = np.array([[BOS, 5, 6], [BOS, 7, 7], [BOS, 8, 4]])
    together = beam_search(engine, prompts, beam_size=4, n_best=2, end=EOS, max_length=6)
    for prompt, found in zip(prompts, together, strict=True):
        assert_same(found, beam_search(engine, prompt[None], beam_size=4, n_best=2, end=EOS, max_length=6)[0])


@pytest.mark.parametrize("beam", [0, -1])
def test_a_beam_of_nothing_is_refused(beam):
    with pytest.raises(UserError, match=f"beam: {beam}"):
        beam_search(Scripted([5]), start_ids(1), beam_size=beam, end=EOS, max_length=3)


def test_a_required_token_that_is_pressed_in_keeps_its_own_probability():
    class Flat(Scripted):
        def _logits(self, state):
            return np.tile(np.float32([-20, -21, -22, -23] + [-30] * (V - 4)), (len(state), 1))

    logits = Flat()._logits([0])[0].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum())
    # The end is forbidden as long as something is missing, and it is itself what is missing.
    options = {"beam_size": 1, "end": 3, "max_length": 2, "constraints": Constraints(required=(3,))}
    [[found]] = beam_search(Flat(), start_ids(1), **options)
    assert found.finished and found.ids == ()
    assert found.log_prob == pytest.approx(log_probs[3], abs=1e-4)
