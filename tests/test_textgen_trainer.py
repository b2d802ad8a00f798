"""Training: a run resumed is the run straight through, whatever stopped it (promise 3, rows 15, 16, 20)."""

import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from textgen.checkpoint import load_state
from textgen.decoder import DecoderConfig, RNNDecoder
from textgen.errors import UserError
from textgen.trainer import FitConfig, Interrupted, _learning_rate, fit, pick_device, use_bfloat16

TESTS = Path(__file__).resolve().parent
STEPS, EPOCHS = 3, 2
CONFIG = FitConfig(EPOCHS, ema_decay=0.9, seed=3, precision="float32", save_minutes=60)


class Shuffled:
    """Batches of 4 rows of `data`, in another order every epoch."""

    def __init__(self, data, steps=STEPS):
        self.data, self.steps = data, steps

    def __len__(self):
        return self.steps

    def epoch(self, epoch, start):
        order = torch.randperm(4 * self.steps, generator=torch.Generator().manual_seed(epoch))
        for step in range(start, self.steps):
            yield self.data[order[4 * step : 4 * step + 4]]


class Numbers:
    """A sum of five numbers, learnt by a perceptron with dropout."""

    data = torch.randn(4 * STEPS, 5, generator=torch.Generator().manual_seed(1))

    def model(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))

    def loss(self, model, batch):
        return F.mse_loss(model(batch)[:, 0], batch.sum(dim=1))


class Text:
    """Sequences of ids, learnt by the shared decoder with dropout."""

    data = torch.randint(4, 9, (4 * STEPS, 6), generator=torch.Generator().manual_seed(1))

    def model(self):
        torch.manual_seed(0)
        return RNNDecoder(DecoderConfig(vocab_size=9, embedding_size=6, hidden_size=8, dropout=0.3))

    def loss(self, model, batch):
        logits, _ = model(batch[:, :-1], model.start(None, len(batch)))
        return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


class Result:
    """What a call of `fit` left behind."""

    def __init__(self, model, metrics, lines, bests):
        self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self.metrics, self.bests = metrics, bests
        self.lines = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]

    def same_as(self, other):
        return self.metrics == other.metrics and all(
            torch.equal(tensor, other.weights[name]) for name, tensor in self.weights.items()
        )


def train(folder, config=CONFIG, task=None, *, at=lambda step: 1, evaluate=None, resume=False, rate=0.05):
    """Fits `task`; the loss of a step is multiplied by `at(step)`."""
    task = task or Numbers()
    model, lines, bests = task.model(), [], []

    def loss(batch, step):
        return task.loss(model, batch) * at(step), {"step": step}

    def score():
        return {"score": -float(task.loss(model, task.data))}

    metrics = fit(
        model,
        [(model, rate)],
        Shuffled(task.data),
        loss,
        config,
        folder,
        evaluate=evaluate or score,
        on_best=bests.append,
        log=lines.append,
        resume=resume,
    )
    return Result(model, metrics, lines, bests)


def stop_at(step, number=signal.SIGTERM):
    def at(current):
        if current == step:
            os.kill(os.getpid(), number)
        return 1

    return at


# --- a run resumed is the run straight through


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("task", [Numbers(), Text()], ids=["numbers", "text"])
def test_stopped_at_any_step_and_resumed_is_straight_through(tmp_path, task, ema):
    config = FitConfig(EPOCHS, ema_decay=ema, seed=3, precision="float32")
    straight = train(tmp_path / "straight", config, task)
    for step in range(STEPS * EPOCHS):
        folder = tmp_path / str(step)
        with pytest.raises(Interrupted, match=f"stopped in epoch {step // STEPS + 1}; continue with --resume"):
            train(folder, config, task, at=stop_at(step))
        resumed = train(folder, config, task, resume=True)
        assert resumed.same_as(straight), f"stopped in step {step}"
        assert resumed.lines == straight.lines[-len(resumed.lines) :]


def test_stopped_after_every_single_step_is_straight_through(tmp_path):
    for step in range(STEPS * EPOCHS):
        with pytest.raises(Interrupted):
            train(tmp_path / "torn", at=stop_at(step, signal.SIGINT), resume=True)
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
import test_textgen_trainer as t

for step in range(1, t.STEPS * t.EPOCHS):
    child = os.fork()
    if not child:
        config = t.FitConfig(t.EPOCHS, ema_decay=0.9, seed=3, precision="float32", save_minutes=0)
        t.train(Path(sys.argv[1]) / str(step), config, at=t.stop_at(step, signal.SIGKILL))
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def test_killed_at_any_step_and_resumed_is_straight_through(tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    straight = train(tmp_path / "straight")
    for step in range(1, STEPS * EPOCHS):
        repeated = []
        resumed = train(tmp_path / str(step), at=lambda now: repeated.append(now) or 1, resume=True)
        assert resumed.same_as(straight), f"killed in step {step}"
        assert repeated == list(range(step, STEPS * EPOCHS))  # nothing done is done again


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


# --- steps that cannot be taken


def poison(kind):
    """What a loss is multiplied by to make it, or its gradient only, not finite."""
    if kind != "gradient":
        return float(kind)
    zero = torch.zeros(1, requires_grad=True)
    return 1 + (zero.sqrt() * 0).sum()


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_bad_step_is_skipped_and_counted(tmp_path, kind):
    result = train(tmp_path, at=lambda step: float(kind) if step in (1, 2, 4) else 1)
    assert [line["skipped_steps"] for line in result.lines] == [2, 1]
    assert all(math.isfinite(line["loss"]) for line in result.lines)
    assert [line["step"] for line in result.lines] == [0, 4]  # the means of steps 0, and of 3 and 5
    for name in ("last.pt", "best.pt"):
        assert all(tensor.isfinite().all() for tensor in load_state(tmp_path / name)["model"].values())


class Cliff(Numbers):
    """Finite losses whose gradient is infinite where the model answers 0."""

    def model(self):
        model = super().model()
        nn.init.zeros_(model[3].weight)
        nn.init.zeros_(model[3].bias)
        return model

    def loss(self, model, batch):
        return model(batch).abs().sqrt().sum()


def test_a_gradient_that_is_not_finite_is_a_bad_step(tmp_path):
    with pytest.raises(UserError, match="NaN or infinite 2 steps in a row"):
        train(tmp_path, FitConfig(2, max_bad_steps=2, precision="float32"), Cliff())


def test_bad_steps_in_a_row_end_in_an_error_that_names_the_last_good_checkpoint(tmp_path):
    def at(step):
        return math.nan if step >= STEPS else 1

    message = (
        rf"training: the loss was NaN or infinite 3 steps in a row \(epoch 2\); "
        rf"lower the learning rate; the last good checkpoint is {tmp_path / 'last.pt'}"
    )
    with pytest.raises(UserError, match=rf"\A{message}\Z"):
        train(tmp_path, FitConfig(2, max_bad_steps=3, precision="float32", save_minutes=0), at=at)
    saved = load_state(tmp_path / "last.pt")
    assert saved["progress"]["epoch"] == 1 and saved["progress"]["position"] == 0
    with pytest.raises(UserError, match=r"lower the learning rate\Z"):  # nothing is saved yet
        train(tmp_path / "new", FitConfig(2, max_bad_steps=3, precision="float32"), at=lambda step: math.nan)


def test_bad_steps_apart_do_not_add_up(tmp_path):
    config = FitConfig(3, max_bad_steps=2, precision="float32")
    assert train(tmp_path, config, at=lambda step: 1 if step % 2 else math.nan).metrics


# --- what is kept


def test_fitting_lowers_the_loss(tmp_path):
    for task in (Numbers(), Text()):
        lines = train(tmp_path, FitConfig(30, precision="float32"), task).lines
        assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
        assert lines[-1]["score"] > lines[0]["score"]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("scores", [[1, 3, 2], [math.nan, 3, math.nan], [-math.inf, 0, 0]])
def test_the_best_epoch_is_kept_and_ends_in_the_model(tmp_path, scores, ema):
    task, seen = Numbers(), []
    model = task.model()

    def evaluate():
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        assert not model.training
        return {"score": scores[len(seen) - 1]}

    task.model = lambda: model
    result = train(tmp_path, FitConfig(3, ema_decay=ema, precision="float32"), task, evaluate=evaluate)
    assert result.metrics == {"score": scores[1]} == result.bests[-1] and len(result.bests) == 2
    best = load_state(tmp_path / "best.pt")["model"]
    for name, tensor in result.weights.items():
        assert torch.equal(tensor, seen[1][name]) and torch.equal(tensor, best[name])
    live = load_state(tmp_path / "last.pt")["model"]
    assert ema == all(not torch.equal(live[name], seen[2][name]) for name in live)
    assert not model.training


def test_patience_stops_after_as_many_epochs_without_a_better_score(tmp_path):
    config = FitConfig(10, patience=2, precision="float32")
    scores = iter([1, 2, 2, 1, 5])
    result = train(tmp_path, config, evaluate=lambda: {"score": next(scores)})
    assert len(result.lines) == 4 and result.metrics == {"score": 2}
    assert train(tmp_path, config, resume=True).lines == []


# --- steps


@given(total=st.integers(1, 500), warmup=st.floats(0, 1), final=st.floats(0, 1))
def test_the_learning_rate_rises_to_its_peak_and_falls_towards_the_final_share(total, warmup, final):
    config = FitConfig(1, warmup=warmup, final=final)
    rates = [_learning_rate(step, total, config) for step in range(total)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 or rate == final for rate in rates)
    assert rates[peak] == 1
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert _learning_rate(max(total, 2), total, config) == pytest.approx(final) or warmup * total >= total - 1


def test_weights_decay_in_matrices_only_and_each_group_has_its_rate(tmp_path):
    model = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)])
    model[2].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = FitConfig(1, warmup=0, final=1, weight_decay=0.5, precision="float32")
    fit(
        model,
        [(model[0], 0.1), (model[1], 0.01), (model[2], 1.0)],
        Shuffled(torch.zeros(4, 1), steps=1),
        lambda batch, step: (sum(p.sum() for p in model.parameters()) * 0, {}),
        config,
        tmp_path,
        evaluate=lambda: {"score": 0.0},
    )
    after = model.state_dict()
    for index, share in enumerate([1 - 0.1 * 0.5, 1 - 0.01 * 0.5, 1]):
        torch.testing.assert_close(after[f"{index}.weight"], before[f"{index}.weight"] * share)
        assert torch.equal(after[f"{index}.bias"], before[f"{index}.bias"])


def test_a_huge_gradient_is_scaled_down(tmp_path):
    result = train(tmp_path, FitConfig(1, precision="float32"), at=lambda step: 1e30)
    assert result.lines[0]["skipped_steps"] == 0
    assert all(tensor.abs().max() < 2 for tensor in result.weights.values())


# --- names


def test_an_unknown_precision_or_device_lists_the_known():
    with pytest.raises(UserError, match=r"\Aprecision: unknown 'half'; known: auto, float32, bfloat16\Z"):
        use_bfloat16("half", torch.device("cpu"))
    for name in ("gpu", "", "mps", "meta", "cuda:x"):
        with pytest.raises(UserError, match=rf"\Adevice: unknown '{name}'; known: auto, cpu, cuda\Z"):
            pick_device(name)


def test_a_precision_asked_for_is_used(tmp_path):
    assert use_bfloat16("bfloat16", torch.device("cpu")) and not use_bfloat16("float32", torch.device("cpu"))
    assert train(tmp_path, FitConfig(1, precision="bfloat16")).metrics


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_only_auto_falls_back_to_the_processor():
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match=rf"\Adevice: {name} was asked for, but this machine shows no GPU; "):
            pick_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"\Adevice: cuda:2 was asked for, but this machine shows 2 GPUs; "):
        pick_device("cuda:2")
