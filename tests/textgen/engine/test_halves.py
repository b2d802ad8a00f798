"""A long prompt read by two cores is what one core reads, to the bit."""

from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pytest

from tests.helpers.onnx_models import CONFIG, V, assert_close, decoder, each, onnx_engine, random_ids
from textgen.decoder.config import CELL_SIZES
from textgen.engine import halves, onnx, onnx_weights
from textgen.storage.graphs import PRECISIONS

DEEP = {
    f"{cell}{layers}": replace(CONFIG, cell=cell, num_layers=layers)
    for cell in CELL_SIZES
    for layers in (2, 3, 4)
} | {"without a projection": replace(CONFIG, embedding_size=8)}


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Parts of four tokens, on a computer of two cores."""
    monkeypatch.setattr(halves, "_PART", 4)
    monkeypatch.setattr(onnx, "LONG", 5)
    monkeypatch.setattr(onnx.os, "cpu_count", lambda: 2)


def alone(engine, monkeypatch):
    """The same engine without its halves."""
    monkeypatch.setitem(engine.__dict__, "_halves", None)
    return engine


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
@each(DEEP)
def test_two_cores_read_what_one_reads(config, precision, table, monkeypatch):
    if not table:
        for limit in ("_TABLE_BYTES", "_ROUNDED_TABLE_BYTES"):
            monkeypatch.setattr(onnx_weights, limit, 0)
    engine = onnx_engine(decoder(config), precision)
    ids, targets = random_ids(3, 14, V), random_ids(3, 14, V, seed=3)
    _, start = engine.step(ids[:, 0], engine.start(None, 3))
    found = engine.prefill(ids, start), engine.score(ids, targets, start)
    assert engine._halves is not None
    one = alone(engine, monkeypatch)
    for (numbers, state), (expected, expected_state) in zip(
        found, (one.prefill(ids, start), one.score(ids, targets, start)), strict=True
    ):
        assert_close(numbers, expected, 0)
        assert_close(state.memory, expected_state.memory, 0)


def test_some_places_of_a_prompt_may_be_wanted():
    engine = onnx_engine(decoder(CONFIG))
    ids, memory = random_ids(2, 11, V).T, engine.start(None, 2).memory
    parts, after = engine._halves.read(ids, memory, np.arange(11))
    assert [len(part) for part in parts] == [4, 4, 3]
    every = np.concatenate(parts)
    for places in ([10], [0], [3, 4], [2, 5, 9]):
        found, same = engine._halves.read(ids, memory, np.array(places))
        assert_close(np.concatenate(found), every[places], 0)
        assert_close(same, after, 0)


def test_beside_another_call_one_core_reads(monkeypatch):
    engine, ids = onnx_engine(decoder(CONFIG)), random_ids(1, 12, V)
    expected, _ = engine.prefill(ids, engine.start(None, 1))
    inside, go_on, run = Event(), Event(), engine._halves._upper.run

    def slow(outputs, feed):
        inside.set()
        assert go_on.wait(20)
        return run(outputs, feed)

    monkeypatch.setattr(engine._halves._upper, "run", slow)
    found = []
    other = Thread(target=lambda: found.append(engine.prefill(ids, engine.start(None, 1))[0]))
    other.start()
    assert inside.wait(20)
    assert_close(engine.prefill(ids, engine.start(None, 1))[0], expected, 0)
    assert not found  # the other call was still at it
    go_on.set()
    other.join()
    assert_close(found[0], expected, 0)


def test_what_goes_wrong_in_the_other_core_is_raised_here_and_the_next_call_has_both(monkeypatch):
    engine, ids = onnx_engine(decoder(CONFIG)), random_ids(1, 12, V)
    expected, _ = engine.prefill(ids, engine.start(None, 1))

    def broken(outputs, feed):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine._halves._lower, "run", broken)
        with pytest.raises(RuntimeError, match="no memory"):
            engine.prefill(ids, engine.start(None, 1))
    assert engine._halves.read(ids.T, engine.start(None, 1).memory, np.array([11])) is not None
    assert_close(engine.prefill(ids, engine.start(None, 1))[0], expected, 0)


@pytest.mark.parametrize("why", ["one core", "one layer", "graphs of before", "a short prompt"])
def test_else_one_core_reads(why, monkeypatch):
    config = replace(CONFIG, num_layers=1) if why == "one layer" else CONFIG
    engine = onnx_engine(decoder(config))
    if why == "one core":
        monkeypatch.setattr(onnx.os, "cpu_count", lambda: 1)
    if why == "graphs of before":
        engine._graphs = {name: graph for name, graph in engine._graphs.items() if name != "upper"}
    engine.prefill(random_ids(1, 4 if why == "a short prompt" else 12, V), engine.start(None, 1))
    assert "_read" in engine.__dict__
    assert engine.__dict__.get("_halves") is None
