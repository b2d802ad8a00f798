"""Sentences without pictures: words and phrases that a decoder learns beside its captions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.training.batches import ids_of
from textgen.decoder.rnn import RNNDecoder
from textgen.errors import UserError
from textgen.rows import in_rows, share
from textgen.text.batches import pad_rows
from textgen.text.encodings import lines_of
from textgen.text.tokenizer import Tokenizer
from textgen.training.losses import next_token_loss
from textgen.training.processes import batch_mean

_A_PICTURE = 2  # sentences beside each picture of a step


class Sentences:
    """The lines of a file, as a decoder of captions learns them.

    A sentence is said of the mean of a step's pictures: of what a picture is without being any, so that what stands in
    it is learnt as language, and nothing of it as what a picture shows.
    """

    def __init__(self, file: Path, tokenizer: Tokenizer, max_length: int, batch: int):
        """`batch`: pictures a step. Raises UserError for a file that cannot be read or has no sentence."""
        lines = [line for line in lines_of(file) if line.strip()]
        self._ids = [ids for ids in ids_of(lines, tokenizer, max_length) if len(ids) > 1]
        if not self._ids:
            raise UserError(f"{file}: no sentences (--sentences); it needs one a line")
        self._count = _A_PICTURE * batch
        self.hash = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        """sha256 of the lines."""

    def __len__(self) -> int:
        return len(self._ids)

    def loss(
        self, decoder: RNNDecoder, context: Tensor, step: tuple[int, int], label_smoothing: float
    ) -> Tensor:
        """Mean of the negative log-likelihood of some sentences, in nats a token; which ones, `step` decides.

        `context` (B, L, D) is of this process's pictures; it learns nothing from them.
        """
        chosen = np.random.default_rng(step).integers(len(self._ids), size=self._count)
        mine = share().of(self._count)
        inputs, targets = (
            torch.from_numpy(ids[mine.slice]).to(context.device)
            for ids in pad_rows([self._ids[index] for index in chosen])
        )
        state = decoder.start(batch_mean(context)[None], len(inputs))
        with in_rows(mine):
            return next_token_loss(decoder, state, inputs, targets, label_smoothing)
