"""Tokens a second of `textgen train` beside those of the barest loop over the same recurrent layers."""

from __future__ import annotations

import contextlib
import io
import random
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

_CHARACTERS = [chr(code) for code in range(ord("0"), ord("0") + 65)]
_ROUNDS = 7
_STEPS = 30
_WARMUP = 5  # steps of a round that are not timed: memory is taken, the optimiser makes its state


def measure() -> dict:
    """Medians over rounds of a run of each kind; the share is the median of the rounds' own."""
    from textgen.training.memory import keep_freed_memory

    keep_freed_memory()
    import torch

    from textgen.training.config import TrainConfig

    config = TrainConfig(epochs=1, device="cpu")
    whole, bare = [], []
    for seed in range(_ROUNDS):
        text = "".join(random.Random(seed).choices(_CHARACTERS, k=_length(config)))
        whole.append(_textgen(config, text))
        bare.append(_bare(config, text))
    shares = [one / other for one, other in zip(whole, bare, strict=True)]
    return {
        "threads": torch.get_num_threads(),
        "textgen train, tokens a second": statistics.median(whole),
        "bare loop, tokens a second": statistics.median(bare),
        "share of the bare loop": statistics.median(shares),
        "share of the bare loop, lowest to highest": f"{min(shares):.3f} to {max(shares):.3f}",
    }


def _length(config) -> int:
    """Characters of a text whose part to train on has the steps of a round."""
    return round((_STEPS * config.batch * config.sequence + 1) / (1 - config.held_out)) + 1


def _rate(config, marks: list[float]) -> float:
    """Tokens a second, from when each step began and the last one ended."""
    assert len(marks) == _STEPS + 1
    return (_STEPS - _WARMUP) * config.batch * config.sequence / (marks[-1] - marks[_WARMUP])


def _textgen(config, text: str) -> float:
    """Of `textgen train` itself, from batch to batch: evaluation and saving come after the last."""
    from textgen import train
    from textgen.text.batches import StreamBatches

    marks: list[float] = []

    class Timed(StreamBatches):
        def epoch(self, epoch, start):
            marks.append(time.perf_counter())
            for batch in super().epoch(epoch, start):
                yield batch
                marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "random.txt"
        corpus.write_text(text)
        # What it tells of a model of random characters helps nobody.
        with mock.patch.object(train, "StreamBatches", Timed), contextlib.redirect_stderr(io.StringIO()):
            train.train([corpus], Path(folder) / "run", config)
    return _rate(config, marks)


def _bare(config, text: str) -> float:
    """Of `nn.LSTM` between an embedding and an output matrix: no dropout, clipping, averages or states carried on."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from textgen.text.tokenizer import CharTokenizer
    from textgen.training.device import use_bfloat16

    tokenizer = CharTokenizer.fit([text])
    ids = torch.from_numpy(np.array(tokenizer.encode(text)))
    size = config.batch * config.sequence
    embedding = nn.Embedding(len(tokenizer), config.embedding_size)
    lstm = nn.LSTM(config.embedding_size, config.hidden, num_layers=config.layers, batch_first=True)
    output = nn.Linear(config.hidden, len(tokenizer))
    optimizer = torch.optim.AdamW(nn.ModuleList([embedding, lstm, output]).parameters(), config.learning_rate)
    bfloat16 = use_bfloat16(config.precision, torch.device("cpu"))
    marks = [time.perf_counter()]
    for place in range(0, _STEPS * size, size):
        inputs, targets = (ids[place + i : place + i + size].view(config.batch, -1) for i in (0, 1))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = output(lstm(embedding(inputs))[0])
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        marks.append(time.perf_counter())
    return _rate(config, marks)
