"""Text generation as the lesson has it, and in plain numpy; sampling included, random weights.

`lesson` is model.py and generate.py of github.com/spro/char-rnn.pytorch with `nn.LSTM`; its code records gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from textgen.decoding.sampling import sample
from textgen.decoding.settings import SamplingConfig

TEMPERATURE = 0.8


class _CharRNN(nn.Module):
    def __init__(self, vocab_size: int, hidden: int, layers: int):
        super().__init__()
        self.encoder = nn.Embedding(vocab_size, hidden)
        self.rnn = nn.LSTM(hidden, hidden, layers)
        self.decoder = nn.Linear(hidden, vocab_size)

    def forward(self, input, hidden):
        encoded = self.encoder(input)
        output, hidden = self.rnn(encoded.view(1, len(input), -1), hidden)
        return self.decoder(output.view(len(input), -1)), hidden


def lesson(
    vocab_size: int, hidden: int, layers: int, length: int, gradients: bool = True
) -> Callable[[], str]:
    model = _CharRNN(vocab_size, hidden, layers).eval()
    characters = [chr(0x4E00 + index) for index in range(vocab_size)]

    @torch.set_grad_enabled(gradients)
    def generate() -> str:
        state = tuple(torch.zeros(layers, 1, hidden) for _ in range(2))
        input, predicted = torch.zeros(1, dtype=torch.long), ""
        for _ in range(length):
            output, state = model(input, state)
            weights = output.data.view(-1).div(TEMPERATURE).exp()
            character = characters[torch.multinomial(weights, 1)[0]]
            predicted += character
            input = torch.tensor([characters.index(character)])
        return predicted

    return generate


def plain_numpy(vocab_size: int, hidden: int, layers: int, length: int) -> Callable[[], list[int]]:
    model = _CharRNN(vocab_size, hidden, layers)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    uniforms = np.random.default_rng(0).random(length)

    def generate() -> list[int]:
        h, c = np.zeros((2, layers, hidden), np.float32)
        token, tokens = 0, []
        for uniform in uniforms:
            x = weights["encoder.weight"][token]
            for layer in range(layers):
                of = {
                    name: weights[f"rnn.{name}_l{layer}"]
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
                gates = of["weight_ih"] @ x + of["bias_ih"] + of["weight_hh"] @ h[layer] + of["bias_hh"]
                i, f, g, o = gates.reshape(4, hidden)
                c[layer] = _sigmoid(f) * c[layer] + _sigmoid(i) * np.tanh(g)
                h[layer] = x = _sigmoid(o) * np.tanh(c[layer])
            logits = weights["decoder.weight"] @ x + weights["decoder.bias"]
            token = int(sample(logits[None], np.array([uniform]), SamplingConfig(TEMPERATURE))[0])
            tokens.append(token)
        return tokens

    return generate


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
