"""Streams, lists and beams agree with each other, keep the rules and know their own probability."""

import numpy as np
import pytest
import torch

from tests.helpers.step_models import Scripted, assert_same, build, contexts, log_prob_of, start_ids
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import generate, stream
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

SPECIAL = Constraints(banned=(PAD, BOS, UNK))
RULES = Constraints(banned=(PAD, BOS, UNK), not_final=(4, 5), min_length=2, no_repeat_ngram=2)
SAMPLING = SamplingConfig(temperature=1.3, top_p=0.95)


@pytest.mark.parametrize("sampling", [SAMPLING, SamplingConfig(temperature=0), SamplingConfig(top_k=3)])
def test_samples_of_a_batch_equal_samples_alone(sampling):
    engine, context, keys = TorchEngine(build(1)), contexts(3), [4, 0, 2, 1, 1, 9]
    options = {"sampling": sampling, "constraints": SPECIAL, "end": EOS, "max_length": 12, "seed": 3}
    together = generate(engine, start_ids(6), context=context, keys=keys, **options)
    for row, key in enumerate(keys):
        own = context[row // 2 : row // 2 + 1]
        assert_same([together[row]], generate(engine, start_ids(1), context=own, keys=[key], **options))


def test_same_seed_same_text_and_other_seed_other_text():
    engine = TorchEngine(build(2, context=False))

    def texts(seed):
        return generate(engine, start_ids(4), sampling=SAMPLING, end=None, max_length=20, seed=seed)

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert texts(None) != texts(None)
    assert len({g.ids for g in texts(1)}) == 4


@pytest.mark.parametrize("prompt", [(), (5,), (5, 7, 4)], ids=str)
@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("end_bias", [-9.0, 0.0])
def test_log_prob_is_the_teacher_forced_one(prompt, with_context, end_bias):
    decoder = build(3, context=with_context, end_bias=end_bias)
    engine, ids = TorchEngine(decoder), start_ids(3, *prompt)
    context = contexts(3) if with_context else None
    options = {"context": context, "constraints": RULES, "end": EOS, "max_length": 6}
    found = beam_search(engine, ids, beam_size=3, n_best=3, **options)
    sampled = generate(engine, ids, sampling=SAMPLING, seed=0, **options)
    for b in range(3):
        own = context[b : b + 1] if with_context else None
        for generated in [*found[b], sampled[b]]:
            expected = log_prob_of(decoder, generated, own, (BOS, *prompt))
            assert generated.log_prob == pytest.approx(expected, abs=1e-4)


def test_the_end_never_comes_so_the_text_is_cut_and_marked():
    model = Scripted([5, 6, 5, 6, 5, 6])
    for found in (
        generate(model, start_ids(1), end=EOS, max_length=4),
        beam_search(model, start_ids(1), beam_size=1, end=EOS, max_length=4)[0],
    ):
        assert [(g.ids, g.finished) for g in found] == [((5, 6, 5, 6), False)]


def test_the_end_comes_first_so_the_text_is_empty_unless_a_length_is_asked():
    model = Scripted([])
    for rules, length in ((Constraints(), 0), (Constraints(min_length=1), 1), (Constraints(min_length=3), 3)):
        for found in (
            generate(model, start_ids(1), constraints=rules, end=EOS, max_length=9),
            beam_search(model, start_ids(1), beam_size=1, constraints=rules, end=EOS, max_length=9)[0],
        ):
            assert [(len(g.ids), g.finished) for g in found] == [(length, True)]


def test_the_end_in_the_very_last_step_counts_as_finished():
    for found in (
        generate(Scripted([5, 6]), start_ids(1), end=EOS, max_length=3),
        beam_search(Scripted([5, 6]), start_ids(1), beam_size=1, end=EOS, max_length=3)[0],
    ):
        assert [(g.ids, g.finished) for g in found] == [((5, 6), True)]


@pytest.mark.parametrize("sampling", [SAMPLING, SamplingConfig(temperature=0)])
def test_without_an_end_token_every_text_has_the_whole_length(sampling):
    engine = TorchEngine(build(context=False))
    found = generate(engine, start_ids(3), sampling=sampling, end=None, max_length=15, seed=0)
    assert [(len(g.ids), g.finished) for g in found] == [(15, False)] * 3


def test_columns_of_a_stream_joined_are_the_generated_texts():
    engine = TorchEngine(build(4))
    options = {"context": contexts(4), "sampling": SAMPLING, "end": EOS, "max_length": 10, "seed": 1}
    columns = list(stream(engine, start_ids(4), **options))
    found = generate(engine, start_ids(4), **options)
    ids = np.stack([column.ids for column in columns], axis=1).tolist()
    for row, generated in enumerate(found):
        ended = [*generated.ids, EOS] if generated.finished else list(generated.ids)
        assert ids[row] == ended + [PAD] * (len(columns) - len(ended))
        assert sum(column.log_probs[row] for column in columns) == pytest.approx(generated.log_prob)
        assert all(column.log_probs[row] == 0 for column in columns[len(ended) :])


def test_a_stream_stops_when_all_rows_have_ended_and_drops_each_as_it_ends():
    model = Scripted([5], [5, 6, 7], [], [6, 4])
    columns = list(stream(model, start_ids(4), end=EOS, max_length=50))
    assert [column.ids.tolist() for column in columns] == [
        [5, 5, EOS, 6],
        [EOS, 6, PAD, 4],
        [PAD, 7, PAD, EOS],
        [PAD, EOS, PAD, PAD],
    ]
    assert model.stepped == [3, 2, 1]


def test_a_stream_computes_no_further_than_it_is_read():
    model = Scripted([5] * 9)
    columns = stream(model, start_ids(1), end=EOS, max_length=9)
    next(columns)
    next(columns)
    assert model.stepped == [1]


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_a_prompt_of_several_tokens_is_read_on_from(search):
    engine = TorchEngine(build(5, context=False, end_bias=-9))

    def run(ids, length):
        options = {"constraints": SPECIAL, "end": EOS, "max_length": length}
        if search == "greedy":
            return generate(engine, ids, **options)[0].ids
        return beam_search(engine, ids, beam_size=1, **options)[0][0].ids

    whole = run(start_ids(1, 6, 7), 6)
    for cut in range(1, 6):
        assert run(start_ids(1, 6, 7, *whole[:cut]), 6 - cut) == whole[cut:]


def test_banned_tokens_never_come():
    for seed in range(4):
        engine = TorchEngine(build(seed, context=False))
        options = {"constraints": SPECIAL, "end": EOS, "max_length": 20}
        found = generate(engine, start_ids(8), sampling=SamplingConfig(temperature=1e9), seed=seed, **options)
        found += beam_search(engine, start_ids(1), beam_size=8, n_best=8, **options)[0]
        assert not {PAD, BOS, UNK, EOS} & {token for g in found for token in g.ids}


@pytest.mark.parametrize("limit", [3, 5, 12])
@pytest.mark.parametrize("rules", [{}, {"no_repeat_ngram": 1}, {"not_final": (5,), "min_length": 2}], ids=str)
def test_required_tokens_come_before_the_end_even_at_the_last_moment(limit, rules):
    constraints = Constraints(banned=(PAD, BOS, UNK), required=(7, 8), **rules)
    for seed in range(4):
        decoder = build(seed, context=False)
        with torch.no_grad():
            decoder.output_bias[[7, 8]] -= 20
        engine, options = TorchEngine(decoder), {"constraints": constraints, "end": EOS, "max_length": limit}
        found = generate(engine, start_ids(6), sampling=SAMPLING, seed=seed, **options)
        found += beam_search(engine, start_ids(1), beam_size=4, n_best=4, **options)[0]
        assert all({7, 8} <= set(g.ids) for g in found)


def test_no_text_ends_on_a_word_that_may_not_be_final_or_before_its_length():
    for seed in range(6):
        engine = TorchEngine(build(seed, end_bias=3.0))
        # Shorter than the pairs of five words last: no row runs out of candidates and is let off its rules.
        options = {"context": contexts(3), "constraints": RULES, "end": EOS, "max_length": 9}
        found = generate(engine, start_ids(9), sampling=SAMPLING, seed=seed, **options)
        found += [
            g for beams in beam_search(engine, start_ids(3), beam_size=3, n_best=3, **options) for g in beams
        ]
        for g in found:
            assert not g.finished or (g.ids[-1] not in RULES.not_final and len(g.ids) >= RULES.min_length)
            pairs = list(zip(g.ids, g.ids[1:], strict=False))
            assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    ("rules", "limit", "message"),
    [
        ({}, 0, "max_length: 0"),
        ({}, -1, "max_length: -1"),
        ({"required": (7,)}, 1, "required: 2 tokens with the end do not fit into 1"),
        ({"required": (7, 8, 7)}, 2, "required: 3 tokens with the end do not fit into 2"),
    ],
    ids=str,
)
def test_a_length_that_cannot_hold_what_is_asked_is_refused_by_name(rules, limit, message):
    options = {"constraints": Constraints(**rules), "end": EOS, "max_length": limit}
    with pytest.raises(UserError, match=message):
        generate(Scripted([5]), start_ids(1), **options)
    with pytest.raises(UserError, match=message):
        beam_search(Scripted([5]), start_ids(1), beam_size=2, **options)


def test_beams_refuse_a_repetition_penalty_that_they_could_not_keep():
    options = {"constraints": Constraints(repetition_penalty=1.2), "end": EOS, "max_length": 3}
    assert generate(Scripted([5]), start_ids(1), **options)[0].ids == (5,)
    with pytest.raises(UserError, match="repetition_penalty: only sampling takes it"):
        beam_search(Scripted([5]), start_ids(1), beam_size=2, **options)


def test_a_model_that_computes_nan_is_named():
    decoder = build(0, context=False)
    with torch.no_grad():
        decoder.output_bias[4] = float("nan")
    with pytest.raises(UserError, match="model computed NaN"):
        generate(TorchEngine(decoder), start_ids(1), end=EOS, max_length=3)
    with pytest.raises(UserError, match="model computed NaN"):
        beam_search(TorchEngine(decoder), start_ids(1), beam_size=2, end=EOS, max_length=3)


def test_rows_of_a_context_are_stepped_until_the_last_of_them_ends():
    model = Scripted((5,), (5, 6, 7), (5,), (6,))
    found = generate(model, start_ids(4), context=contexts(2), end=EOS, max_length=9)
    assert [g.ids for g in found] == [(5,), (5, 6, 7), (5,), (6,)]
    assert model.stepped == [4, 2, 2]
