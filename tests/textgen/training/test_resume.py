"""Promise 3: a training resumed is the training straight through, whatever stopped it (row 15)."""

import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from tests.helpers.tiny_fits import CONFIG, EPOCHS, STEPS, Numbers, Shuffled, Text, stop_at, train
from textgen.errors import Interrupted, UserError
from textgen.training.checkpoint import load_state
from textgen.training.trainer import FitConfig

pytestmark = pytest.mark.slow  # trains in many processes


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("task", [Numbers(), Text()], ids=["numbers", "text"])
def test_stopped_at_any_step_and_resumed_is_straight_through(tmp_path, task, ema):
    config = FitConfig(EPOCHS, ema_decay=ema, seed=3, precision="float32")
    straight = train(tmp_path / "straight", config, task)
    for step in range(STEPS * EPOCHS):
        folder = tmp_path / str(step)
        with pytest.raises(
            Interrupted, match=f"stopped in epoch {step // STEPS + 1}; continue with --resume"
        ):
            train(folder, config, task, at=stop_at(step))
        resumed = train(folder, config, task, resume=True)
        assert resumed.same_as(straight), f"stopped in step {step}"
        assert resumed.lines == straight.lines[-len(resumed.lines) :]


def test_stopped_after_every_single_step_is_straight_through(tmp_path):
    for step in range(STEPS * EPOCHS):
        with pytest.raises(Interrupted):
            train(tmp_path / "torn", at=stop_at(step, signal.SIGINT), resume=True)
    assert train(tmp_path / "torn", resume=True).same_as(train(tmp_path / "straight"))


@pytest.mark.parametrize("step", [0, 1, STEPS, STEPS + 2])
def test_a_batch_that_cannot_be_made_costs_nothing_that_was_learnt(tmp_path, monkeypatch, step):
    whole = Shuffled.epoch

    def torn(self, epoch, start):
        for position, batch in enumerate(whole(self, epoch, start), start):
            if epoch * STEPS + position == step:
                raise UserError("p7.jpg: no such file")
            yield batch

    monkeypatch.setattr(Shuffled, "epoch", torn)
    with pytest.raises(
        UserError, match=r"^p7\.jpg: no such file; what was learnt is kept: mend it, and continue"
    ):
        train(tmp_path / "torn")
    monkeypatch.setattr(Shuffled, "epoch", whole)
    assert train(tmp_path / "torn", resume=True).same_as(train(tmp_path / "straight"))


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_stopped_while_an_epoch_is_judged_is_straight_through(tmp_path, epoch):
    judged = 0

    def evaluate():
        nonlocal judged
        judged += 1
        if judged == epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"score": judged}

    with pytest.raises(Interrupted, match=f"stopped after epoch {epoch}; continue with --resume"):
        train(tmp_path / "torn", evaluate=evaluate)
    resumed = train(tmp_path / "torn", evaluate=evaluate, resume=True)
    assert judged == EPOCHS  # no epoch is judged twice
    scores = iter([{"score": 1}, {"score": 2}])
    assert resumed.same_as(train(tmp_path / "straight", evaluate=lambda: next(scores)))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.helpers import tiny_fits as t

torch.optim.AdamW([torch.zeros(1)])  # its imports take a second: once, not in every child
for step in range(1, t.STEPS * t.EPOCHS):
    child = os.fork()
    if not child:
        config = t.FitConfig(t.EPOCHS, ema_decay=0.9, seed=3, precision="float32", save_minutes=0)
        t.train(Path(sys.argv[1]) / str(step), config, at=t.stop_at(step, signal.SIGKILL))
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def test_killed_at_any_step_and_resumed_is_straight_through(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    straight = train(tmp_path / "straight")
    repeated = []
    for step in range(1, STEPS * EPOCHS):
        resumed = train(tmp_path / str(step), at=lambda now: repeated.append(now) or 1, resume=True)
        assert resumed.same_as(straight), f"killed in step {step}"
        assert repeated == list(range(step, STEPS * EPOCHS))  # nothing done is done again
        repeated.clear()


def test_resuming_without_a_checkpoint_or_after_the_end(tmp_path):
    straight = train(tmp_path / "a")
    assert train(tmp_path / "b", resume=True).same_as(straight)
    again = train(tmp_path / "a", resume=True)
    assert again.same_as(straight) and again.lines == []
    assert train(tmp_path / "a").lines == straight.lines  # without resume the old state is of no concern


def test_numbers_of_numpy_do_not_spoil_the_checkpoint(tmp_path):
    result = train(tmp_path, evaluate=lambda: {"score": np.float64(1), "BLEU": np.float32(2)})
    assert load_state(tmp_path / "last.pt")["progress"]["best"] == result.metrics == {"score": 1, "BLEU": 2}


@pytest.mark.parametrize("damage", ["another model", "other settings", "truncated"])
def test_a_checkpoint_that_does_not_fit_is_one_line_that_names_it(tmp_path, damage):
    train(tmp_path, task=Text() if damage == "another model" else Numbers())
    if damage == "truncated":
        (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:-100])
    config = FitConfig(EPOCHS, precision="float32") if damage == "other settings" else CONFIG
    with pytest.raises(UserError, match=r"\A\S+last\.pt: .*delete it to start anew\Z"):
        train(tmp_path, config, resume=True)


# --- signals


@pytest.mark.parametrize("end", ["done", "interrupted", "error"])
def test_signal_handlers_are_put_back(tmp_path, end):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    if end == "done":
        train(tmp_path)
    else:
        with pytest.raises(Interrupted if end == "interrupted" else UserError):
            train(tmp_path, at=stop_at(1) if end == "interrupted" else lambda step: math.nan)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def at(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("still running")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, at=at)


def test_a_thread_may_train(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path / "thread")))
    thread.start()
    thread.join()
    assert results[0].same_as(train(tmp_path / "main"))
