"""A long prompt read by two cores is what one core reads, to the bit."""

import os
import subprocess
import sys
from dataclasses import replace
from threading import Event, Thread, current_thread

import numpy as np
import pytest

from tests.helpers.onnx_models import (
    CONFIG,
    D,
    V,
    assert_close,
    decoder,
    each,
    onnx_engine,
    random_context,
    random_ids,
)
from tests.helpers.paths import ROOT
from textgen.decoder.config import CELL_SIZES
from textgen.engine import halves, onnx_weights
from textgen.engine.cores import cores
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
    monkeypatch.setattr(halves, "_LONG", 9)
    monkeypatch.setattr(halves, "cores", lambda: 2)


@pytest.fixture
def threads(monkeypatch):
    """The threads that were started."""
    started, start = [], Thread.start
    monkeypatch.setattr(
        halves,
        "Thread",
        type("Noted", (Thread,), {"start": lambda self: started.append(self) or start(self)}),
    )
    return started


def by_one_graph(engine, monkeypatch):
    """The same engine as it was before there were halves."""
    monkeypatch.setitem(engine.__dict__, "_halves", None)
    return engine


@pytest.mark.parametrize("rows, length", [(3, 14), (1, 13), (2, 9), (3, 8), (1, 1)])
@pytest.mark.parametrize("precision", PRECISIONS)
@each(DEEP)
def test_halves_read_what_one_graph_reads(config, precision, rows, length, monkeypatch, threads):
    engine = onnx_engine(decoder(config), precision)
    ids, targets = random_ids(rows, length, V), random_ids(rows, length, V, seed=3)
    _, start = engine.step(random_ids(rows, 1, V, seed=4)[:, 0], engine.start(None, rows))
    found = engine._whole(ids, start, np.array([length - 1])), engine.score(ids, targets, start)
    assert "_read" not in engine.__dict__  # it was the halves
    assert len(threads) == (2 if length >= 9 else 0)
    one = by_one_graph(engine, monkeypatch)
    expected = one._whole(ids, start, np.array([length - 1])), one.score(ids, targets, start)
    assert "_read" in engine.__dict__
    for (numbers, state), (others, others_state) in zip(found, expected, strict=True):
        assert_close(np.concatenate(numbers), np.concatenate(others), 0)
        assert_close(state.memory, others_state.memory, 0)


@pytest.mark.parametrize("limit", ["_TABLE_BYTES", "_ROUNDED_TABLE_BYTES"])
def test_a_decoder_without_a_table_of_gates_is_halved_too(limit, monkeypatch):
    monkeypatch.setattr(onnx_weights, "_TABLE_BYTES", 0)
    monkeypatch.setattr(onnx_weights, limit, 0)
    engine, ids = onnx_engine(decoder(CONFIG), "int8"), random_ids(2, 14, V)
    found, _ = engine.prefill(ids, engine.start(None, 2))
    assert_close(found, by_one_graph(engine, monkeypatch).prefill(ids, engine.start(None, 2))[0], 0)


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


def test_beside_another_call_one_core_reads(monkeypatch, threads):
    engine, ids = onnx_engine(decoder(CONFIG)), random_ids(1, 12, V)
    expected, _ = engine.prefill(ids, engine.start(None, 1))
    inside, go_on, run = Event(), Event(), engine._halves._upper.run

    def slow(outputs, feed):
        if current_thread() is other:
            inside.set()
            assert go_on.wait(20)
        return run(outputs, feed)

    monkeypatch.setattr(engine._halves._upper, "run", slow)
    found = []
    other = Thread(target=lambda: found.append(engine.prefill(ids, engine.start(None, 1))[0]))
    other.start()
    assert inside.wait(20)
    assert_close(engine.prefill(ids, engine.start(None, 1))[0], expected, 0)
    assert not found and len(threads) == 2  # the other call was still at it
    go_on.set()
    other.join()
    assert_close(found[0], expected, 0)


@pytest.mark.parametrize("half", ["_lower", "_upper"])
def test_what_goes_wrong_is_raised_and_the_next_call_has_both_cores(half, monkeypatch, threads):
    engine, ids = onnx_engine(decoder(CONFIG)), random_ids(1, 12, V)
    expected, _ = engine.prefill(ids, engine.start(None, 1))

    def broken(outputs, feed):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(engine._halves, half), "run", broken)
        with pytest.raises(RuntimeError, match="no memory"):
            engine.prefill(ids, engine.start(None, 1))
    assert_close(engine.prefill(ids, engine.start(None, 1))[0], expected, 0)
    assert len(threads) == 3
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def no_more(self):
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("start", [no_more, lambda self: None], ids=["none may be started", "it is gone"])
def test_without_another_thread_one_core_reads(start, monkeypatch):
    """As where a limit is reached, at the interpreter's end, and in a child that was forked by a signal meanwhile."""
    engine, ids = onnx_engine(decoder(CONFIG)), random_ids(1, 12, V)
    expected, after = engine.prefill(ids, engine.start(None, 1))
    monkeypatch.setattr(halves, "Thread", type("Never", (Thread,), {"start": start}))
    found, state = engine.prefill(ids, engine.start(None, 1))
    assert_close(found, expected, 0)
    assert_close(state.memory, after.memory, 0)


def test_on_one_core_no_thread_is_started(monkeypatch, threads):
    monkeypatch.setattr(halves, "cores", lambda: 1)
    engine = onnx_engine(decoder(CONFIG))
    engine.prefill(random_ids(1, 12, V), engine.start(None, 1))
    assert not threads


@pytest.mark.parametrize("why", ["one layer", "a context", "graphs of before"])
def test_what_has_no_halves_is_read_whole(why, threads):
    changed = {"one layer": {"num_layers": 1}, "a context": {"context_size": D}}.get(why, {})
    config = replace(CONFIG, **changed)
    engine = onnx_engine(decoder(config))
    assert ("upper" in engine._graphs) == (why == "graphs of before")
    if why == "graphs of before":
        engine._graphs = {name: graph for name, graph in engine._graphs.items() if name != "upper"}
    engine.prefill(random_ids(1, 12, V), engine.start(random_context(config, 1), 1))
    assert "_read" in engine.__dict__ and not threads


def test_as_many_cores_as_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert cores() == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6


@pytest.mark.slow
def test_a_thread_that_outlives_the_main_one_reads_on(tmp_path):
    """And so does what a program does at its end, when no thread may be started any more (from Python 3.12 on)."""
    script = tmp_path / "script.py"
    script.write_text(
        "import atexit, threading, time\n"
        "from textgen import TextGenerator\n"
        "generator = TextGenerator.load()\n"
        "ask = lambda: str(generator.generate('Tom ' * 80, length=9, seed=1)[0])\n"
        "expected = ask()\n"
        "def work():\n"
        "    threading.main_thread().join()\n"
        "    for _ in range(3): assert ask() == expected\n"
        "    print('outlived')\n"
        "atexit.register(lambda: print('at the end', ask() == expected))\n"
        "threading.Thread(target=work).start()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["outlived", "at the end True"], done.stderr
