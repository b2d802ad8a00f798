"""What `fit` skips, keeps and schedules; what it is told by name (rows 16 and 20)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers.tiny_fits import STEPS, Numbers, Shuffled, Text, train
from textgen.errors import UserError
from textgen.training.checkpoint import load_state
from textgen.training.device import pick_device, use_bfloat16
from textgen.training.schedule import learning_rate
from textgen.training.trainer import FitConfig, fit

# --- steps that cannot be taken


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
    task = Cliff()
    model = task.model()
    task.model = lambda: model
    with pytest.raises(UserError, match="NaN or infinite 2 steps in a row"):
        train(tmp_path, FitConfig(2, max_bad_steps=2, precision="float32"), task)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


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
    assert bool(ema) == all(not torch.equal(live[name], seen[2][name]) for name in live)
    assert not model.training


def test_patience_stops_after_as_many_epochs_without_a_better_score(tmp_path):
    config = FitConfig(10, patience=2, precision="float32")
    scores = iter([1, 2, 2, 1, 5])
    result = train(tmp_path, config, evaluate=lambda: {"score": next(scores)})
    assert len(result.lines) == 4 and result.metrics == {"score": 2}
    assert train(tmp_path, config, resume=True).lines == []


# --- steps


@settings(deadline=None, max_examples=50)
@given(total=st.integers(1, 500), warmup=st.floats(0, 1), final=st.floats(0, 1))
def test_the_learning_rate_rises_to_its_peak_and_falls_towards_the_final_share(total, warmup, final):
    rates = [learning_rate(step, total, warmup, final) for step in range(total)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 or rate == final for rate in rates)
    assert rates[peak] == 1
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert (
        learning_rate(max(total, 2), total, warmup, final) == pytest.approx(final)
        or warmup * total >= total - 1
    )


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
    result = train(tmp_path, FitConfig(1, precision="float32"), at=lambda step: 1e15)
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
        with pytest.raises(
            UserError, match=rf"\Adevice: {name} was asked for, but this machine shows no GPU; "
        ):
            pick_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"\Adevice: cuda:2 was asked for, but this machine shows 2 GPUs; "):
        pick_device("cuda:2")
