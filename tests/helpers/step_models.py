"""Small models to generate with: random weights, or a script; and what their texts should weigh."""

import numpy as np
import torch

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.text.tokenizer import BOS, EOS

V = 9


def build(seed=0, context=True, end_bias=0.0, size=V, cell="gru"):
    """A decoder of random weights, large enough to have strong opinions."""
    config = DecoderConfig(
        vocab_size=size,
        cell=cell,
        embedding_size=8,
        hidden_size=8,
        context_size=5 if context else 0,
        attention_heads=2,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        decoder = RNNDecoder(config).eval()
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.6)
        decoder.output_bias[EOS] += end_bias
    return decoder


def contexts(count, seed=7):
    return np.random.default_rng(seed).normal(size=(count, 3, 5)).astype(np.float32)


def start_ids(rows, *prompt):
    return np.tile([BOS, *prompt], (rows, 1))


def log_prob_of(decoder, generated, context, prompt=(BOS,)):
    """The log-probability of the ids, and of the end where it was reached, by one teacher-forced pass."""
    target = [*generated.ids, EOS] if generated.finished else list(generated.ids)
    whole = torch.tensor([[*prompt, *target]])
    with torch.inference_mode():
        context = None if context is None else torch.from_numpy(context)
        logits, _ = decoder(whole[:, :-1], decoder.start(context, 1))
        steps = logits[0, len(prompt) - 1 :].double().log_softmax(-1)
    return steps.gather(1, whole[0, len(prompt) :, None]).sum().item()


def assert_same(found, expected):
    assert [(g.ids, g.finished) for g in found] == [(g.ids, g.finished) for g in expected]
    np.testing.assert_allclose([g.log_prob for g in found], [g.log_prob for g in expected], atol=1e-4)


class Scripted:
    """A StepModel that says its scripts word for word, then nothing but the end; it keeps a record of its rows."""

    vocab_size = V

    def __init__(self, *scripts, end=EOS):
        self.scripts, self.end, self.stepped = scripts, end, []

    def _logits(self, state):
        wanted = [self.scripts[row][t] if t < len(self.scripts[row]) else self.end for row, t in state]
        return np.eye(V, dtype=np.float32)[wanted] * 10

    def start(self, context, rows, lengths=None):
        return [(row, 0) for row in range(rows)]

    def prefill(self, ids, state):
        return self._logits(state), state

    def step(self, ids, state):
        self.stepped.append(len(ids))
        state = [(row, t + 1) for row, t in state]
        return self._logits(state), state

    def select(self, state, index):
        return [state[i] for i in index]

    def attention(self, state):
        return None
