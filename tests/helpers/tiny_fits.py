"""Fits of a moment, for the tests of `textgen.training.trainer`."""

import os
import signal
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.rows import Rows, share
from textgen.training.trainer import FitConfig, fit

STEPS, EPOCHS = 3, 2
CONFIG = FitConfig(EPOCHS, ema_decay=0.9, seed=3, precision="float32", save_minutes=60)


@dataclass(frozen=True)
class Some:
    """What a process has of a batch."""

    data: torch.Tensor
    rows: Rows


class Shuffled:
    """Batches of 4 rows of `data`, in another order every epoch."""

    def __init__(self, data, steps=STEPS):
        self.data, self.steps = data, steps

    def __len__(self):
        return self.steps

    def epoch(self, epoch, start):
        order = torch.randperm(4 * self.steps, generator=torch.Generator().manual_seed(epoch))
        for step in range(start, self.steps):
            mine = share().of(4)
            yield Some(self.data[order[4 * step : 4 * step + 4]][mine.slice], mine)


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
        return task.loss(model, batch.data) * at(step), {"step": step}

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
