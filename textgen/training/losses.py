"""What a decoder's training lets fall."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from textgen.decoder.rnn import DecoderState, RNNDecoder
from textgen.text.tokenizer import PAD
from textgen.training.processes import mean


def next_token_loss(
    decoder: RNNDecoder,
    state: DecoderState,
    inputs: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean of the negative log-likelihood of `targets` (N, T) after `inputs` (N, T), padding left out, in nats a token.

    The mean is of the whole batch, of which several processes have a part each.
    `weights` (N,) say how much each row's tokens count.
    """
    features, _ = decoder.hidden(inputs, state)
    real = targets != PAD
    logits = decoder.logits(features[real]).float()  # of padding none are computed
    nll = F.cross_entropy(logits, targets[real], label_smoothing=label_smoothing, reduction="none")
    if weights is None:
        return mean(nll.sum(), len(nll))
    each = weights[:, None].expand_as(targets)[real]
    return mean((each * nll).sum(), each.sum())
