"""Batches read a text on in step, or give each line once; which ones follows from the seed and the epoch alone."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.errors import UserError
from textgen.text.batches import LineBatches, StreamBatches, growing_blocks, pad_rows
from textgen.text.tokenizer import BOS, EOS, PAD

# Every token is another, so that a token tells its place in the text.
SHAPES = [
    (1000, 4, 10),
    (1003, 4, 10),
    (997, 7, 13),
    (40, 4, 10),
    (41, 4, 10),
    (11, 1, 10),
    (11, 8, 10),
    (50, 3, 1),
]


def text(size: int) -> np.ndarray:
    return np.arange(4, 4 + size, dtype=np.uint16)


def lines(count: int, seed: int = 0) -> list[list[int]]:
    """Lines of 1 to 30 tokens, the end token included; the first tells the line."""
    rng = np.random.default_rng(seed)
    return [[4 + i] * int(rng.integers(1, 30)) + [EOS] for i in range(count)]


def ends(batch) -> np.ndarray:
    """The end tokens' places."""
    return (batch.targets == EOS).argmax(1)


@pytest.mark.parametrize(("size", "batch", "sequence"), SHAPES)
def test_targets_are_the_tokens_that_follow_the_inputs(size, batch, sequence):
    for found in StreamBatches(text(size), batch, sequence, 0).epoch(0, 0):
        assert found.inputs.shape == found.targets.shape
        assert found.inputs.shape[1] == sequence
        assert found.inputs.dtype == found.targets.dtype == np.int64
        assert (found.targets[:, :-1] == found.inputs[:, 1:]).all()
        assert ((found.inputs - 4 + 1) % size == found.targets - 4).all()  # the text is a ring


@pytest.mark.parametrize(("size", "batch", "sequence"), SHAPES)
def test_each_row_reads_on_where_it_ended_in_the_batch_before(size, batch, sequence):
    found = list(StreamBatches(text(size), batch, sequence, 0).epoch(3, 0))
    for before, after in pairwise(found):
        assert (before.targets[:, -1] == after.inputs[:, 0]).all()
    assert [batch.fresh for batch in found] == [True] + [False] * (len(found) - 1)


@pytest.mark.parametrize(("size", "batch", "sequence"), SHAPES)
def test_an_epoch_reads_every_token_about_once(size, batch, sequence):
    batches = StreamBatches(text(size), batch, sequence, 0)
    found = list(batches.epoch(0, 0))
    assert len(found) == len(batches) == size // (len(found[0].inputs) * sequence)
    seen = np.concatenate([batch.targets.ravel() for batch in found])
    assert len(set(seen.tolist())) == len(seen)
    # What is left over is less than a window a row.
    assert size - len(seen) < sequence * len(found[0].inputs)


def test_tokens_left_over_in_one_epoch_are_read_in_another():
    batches = StreamBatches(text(59), 3, 10, 0)
    seen = {token for epoch in range(20) for batch in batches.epoch(epoch, 0) for token in batch.targets.flat}
    assert seen == set(text(59).tolist())


def test_every_epoch_begins_elsewhere():
    batches = StreamBatches(text(10_000), 4, 10, 0)
    firsts = [next(batches.epoch(epoch, 0)).inputs[0, 0] for epoch in range(20)]
    assert len(set(firsts)) == 20
    assert min(firsts) < 2500
    assert max(firsts) > 7500


def same(some, others) -> bool:
    some, others = list(some), list(others)
    return len(some) == len(others) and all(
        a.fresh == b.fresh and np.array_equal(a.inputs, b.inputs) and np.array_equal(a.targets, b.targets)
        for a, b in zip(some, others, strict=True)
    )


def make(kind: str, seed: int):
    return StreamBatches(text(500), 4, 10, seed) if kind == "stream" else LineBatches(lines(50), 4, seed)


@pytest.mark.parametrize("kind", ["stream", "lines"])
def test_an_epoch_follows_from_its_seed_and_number_alone(kind):
    batches = make(kind, 0)
    list(batches.epoch(5, 0))
    next(batches.epoch(1, 0))
    assert same(batches.epoch(1, 0), make(kind, 0).epoch(1, 0))
    assert not same(batches.epoch(1, 0), batches.epoch(2, 0))
    assert not same(batches.epoch(1, 0), make(kind, 1).epoch(1, 0))


@pytest.mark.parametrize("kind", ["stream", "lines"])
def test_an_epoch_begun_part_way_goes_on_as_the_whole_one(kind):
    batches = make(kind, 0)
    for start in range(len(batches) + 2):
        assert same(batches.epoch(2, start), islice(batches.epoch(2, 0), start, None))


@pytest.mark.parametrize(("size", "sequence"), [(0, 1), (1, 1), (10, 10), (99, 100), (0, 64)])
def test_a_text_shorter_than_a_window_is_refused_with_both_lengths(size, sequence):
    with pytest.raises(UserError) as error:
        StreamBatches(text(size), 4, sequence, 0)
    assert str(error.value) == (
        f"sequence: the corpus has {size} tokens to train on, a window needs {sequence + 1}; "
        "give more text or a smaller --sequence"
    )


@pytest.mark.parametrize(("size", "rows"), [(11, 1), (19, 1), (20, 2), (39, 3), (40, 4), (1000, 4)])
def test_a_short_text_gets_fewer_rows(size, rows):
    batches = StreamBatches(text(size), 4, 10, 0)
    assert len(batches) >= 1
    assert {len(batch.inputs) for batch in batches.epoch(0, 0)} == {rows}


@given(st.integers(2, 300), st.integers(1, 9), st.integers(1, 20), st.integers(0, 3))
@settings(deadline=None, database=None, derandomize=True)
def test_no_token_is_read_twice_in_an_epoch_whatever_the_sizes(size, batch, sequence, epoch):
    if size <= sequence:
        return
    found = list(StreamBatches(text(size), batch, sequence, 0).epoch(epoch, 0))
    seen = np.concatenate([batch.targets.ravel() for batch in found])
    assert len(np.unique(seen)) == len(seen) > size / 2


def test_small_ids_are_not_cut_when_they_are_widened():
    ids = np.full(30, 65_535, dtype=np.uint16)
    assert all((batch.inputs == 65_535).all() for batch in StreamBatches(ids, 2, 5, 0).epoch(0, 0))


@pytest.mark.parametrize(
    ("rows", "inputs", "targets"),
    [
        ([[7, 8, EOS]], [[BOS, 7, 8]], [[7, 8, EOS]]),
        ([[EOS]], [[BOS]], [[EOS]]),
        ([[7, 8]], [[BOS, 7]], [[7, 8]]),  # a line that was cut has no end
        (
            [[7, EOS], [EOS], [7, 8, 9, EOS]],
            [[BOS, 7, PAD, PAD], [BOS, PAD, PAD, PAD], [BOS, 7, 8, 9]],
            [[7, EOS, PAD, PAD], [EOS, PAD, PAD, PAD], [7, 8, 9, EOS]],
        ),
    ],
)
def test_rows_are_padded_to_the_longest(rows, inputs, targets):
    found = pad_rows(rows)
    assert found[0].tolist() == inputs
    assert found[1].tolist() == targets


def test_a_batch_of_lines_starts_anew_begins_with_bos_and_ends_with_eos():
    for batch in LineBatches(lines(50), 8, 0).epoch(0, 0):
        assert batch.fresh
        assert (batch.inputs[:, 0] == BOS).all()
        assert ((batch.targets == EOS).sum(1) == 1).all()
        for row, end in enumerate(ends(batch)):
            assert (batch.targets[row, :end] == batch.targets[row, 0]).all()
            assert (batch.inputs[row, 1 : end + 1] == batch.targets[row, :end]).all()
            assert (batch.targets[row, end + 1 :] == PAD).all()
            assert (batch.inputs[row, end + 1 :] == PAD).all()
        assert max(ends(batch)) == batch.targets.shape[1] - 1


@pytest.mark.parametrize(("count", "batch"), [(64, 8), (65, 8), (1000, 7), (3, 3), (3, 2), (1, 1)])
def test_no_line_comes_twice_in_an_epoch_and_the_left_over_ones_come_in_another(count, batch):
    batches = LineBatches(lines(count), batch, 0)
    seen = set()
    for epoch in range(12):
        found = [token for batch in batches.epoch(epoch, 0) for token in batch.targets[:, 0].tolist()]
        assert len(set(found)) == len(found) == len(batches) * batch == count - count % batch
        seen |= set(found)
    assert seen == {line[0] for line in lines(count)}


def test_fewer_lines_than_a_batch_make_one_smaller_batch():
    batches = LineBatches(lines(3), 64, 0)
    assert [len(batch.inputs) for batch in batches.epoch(0, 0)] == [3]
    assert len(batches) == 1


def test_lines_of_a_batch_are_of_about_one_length_and_batches_in_random_order():
    found = list(LineBatches(lines(1000), 20, 0).epoch(0, 0))
    assert max(np.ptp(ends(batch)) for batch in found) <= 3
    lengths = [batch.inputs.shape[1] for batch in found]
    assert lengths != sorted(lengths)


def test_no_line_at_all_is_refused():
    with pytest.raises(UserError, match="corpus: no line to train on; give more text"):
        LineBatches([], 4, 0)


def test_blocks_grow_and_what_stands_before_an_error_comes_before_it():
    def items():
        yield from range(9)
        raise UserError("line 10")

    found = growing_blocks(items(), 100)
    assert [next(found) for _ in range(3)] == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    with pytest.raises(UserError, match="line 10"):
        next(found)
    assert list(growing_blocks([1, None, None, 2, 3], 100)) == [[1], [2, 3]]
