"""The shared recurrent decoder.

Embedding -> recurrent layer 1 -> attention over a context, if there is one -> the other layers on
[layer 1, attended] -> output, tied with the embedding. The attended vector is not fed back into
layer 1, so training runs every layer as one whole-sequence call and generation runs the very same
parameters one step at a time.

Letters of the shapes: N rows, B contexts (pictures), T steps, V vocabulary, E embedding, H hidden,
L context cells, D context features, G gates (4H for LSTM, 3H for GRU, H for a simple RNN).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.func
import torch.nn.functional as F
from torch import Tensor, nn

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.decoder.dropout import Dropout

States = tuple[Tensor, ...]
"""What a layer carries from step to step: (N, H) each, one or, of an LSTM, two."""

_FEW_ROWS = 16  # with more, `F.linear` is as fast


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.linear`; for a handful of rows the product is taken the other way round, three times as fast on a CPU."""
    if torch.is_grad_enabled() or x.dim() != 2 or not 1 < len(x) <= _FEW_ROWS:
        return F.linear(x, weight, bias)
    return torch.addmm(bias.unsqueeze(1), weight, x.T).T


def _lstm_step(gates_x: Tensor, gates_h: Tensor, states: States) -> States:
    i, f, g, o = (gates_x + gates_h).chunk(4, dim=-1)
    cell = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru_step(gates_x: Tensor, gates_h: Tensor, states: States) -> States:
    reset_x, update_x, new_x = gates_x.chunk(3, dim=-1)
    reset_h, update_h, new_h = gates_h.chunk(3, dim=-1)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return (torch.lerp(new, states[0], update),)


def _rnn_step(gates_x: Tensor, gates_h: Tensor, states: States) -> States:
    return (torch.tanh(gates_x + gates_h),)


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its whole-sequence layer, its single step."""

    layer: type[nn.LSTM | nn.GRU | nn.RNN]
    step: Callable[[Tensor, Tensor, States], States]


CELLS = {
    "lstm": Cell(nn.LSTM, _lstm_step),
    "gru": Cell(nn.GRU, _gru_step),
    "rnn": Cell(nn.RNN, _rnn_step),
}


@dataclass(frozen=True)
class DecoderState:
    """What a decoder remembers of N rows; immutable, so that beams may share it.

    Rows of one context stand together, as many for each: row n looks at context n // (N / B).
    """

    layers: tuple[States, ...]  # per layer, per state: (N, H)
    keys: Tensor | None = None  # (B, heads, L, H / heads)
    values: Tensor | None = None  # (B, heads, L, H / heads)
    mask: Tensor | None = None  # (B, 1, 1, L): 0, or -inf beyond a context's length; None without lengths
    attention: Tensor | None = None  # (N, T, L): where the last call looked, mean over heads

    @property
    def rows(self) -> int:
        return self.layers[0][0].shape[0]


class RNNDecoder(nn.Module):
    """Token ids and a state to logits and the next state. It computes; it decides nothing."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        cell, hidden = CELLS[config.cell], config.hidden_size
        states = CELL_SIZES[config.cell].states
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        if config.context_size:
            self.query = nn.Linear(hidden, hidden)
            self.key = nn.Linear(config.context_size, hidden)
            self.value = nn.Linear(config.context_size, hidden)
            width = config.summary_size or config.context_size
            self.summary = (
                nn.Linear(config.context_size, width, bias=False) if config.summary_size else nn.Identity()
            )
            self.initial = nn.Linear(width, config.num_layers * states * hidden)
        inputs = map(config.layer_input, range(config.num_layers))
        self.layers = nn.ModuleList(cell.layer(size, hidden, batch_first=True) for size in inputs)
        width = config.embedding_size if config.tie_embeddings else config.vocab_size
        # Untied, this is the output matrix itself: never left out.
        fits = config.tie_embeddings and config.features == width
        self.project = nn.Identity() if fits else nn.Linear(config.features, width)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = Dropout(config.dropout)
        of_embedding = config.embedding_dropout
        self.embedding_dropout = self.dropout if of_embedding is None else Dropout(of_embedding)
        self._initialise()

    def _initialise(self) -> None:
        if self.config.one_hot:
            nn.init.eye_(self.embedding.weight)
            self.embedding.requires_grad_(False)
        else:
            nn.init.normal_(self.embedding.weight, std=self.config.embedding_size**-0.5)
        if self.config.cell == "lstm":
            for layer in self._stack:
                # Start by remembering (Jozefowicz et al. 2015): gates are ordered i, f, g, o.
                layer.all_weights[0][2].data[self.config.hidden_size : 2 * self.config.hidden_size] = 1.0

    @property
    def _stack(self) -> list[nn.RNNBase]:
        """`layers`, of which a `ModuleList` does not say what they are. Each has one list of weights: of the input and
        of the state, then their biases."""
        return [layer for layer in self.layers if isinstance(layer, nn.RNNBase)]

    def start(self, context: Tensor | None, rows: int, lengths: Tensor | None = None) -> DecoderState:
        """The state before the first token.

        `context` is (B, L, D), shared out evenly over `rows`, or None for plain text. Its mean starts
        the recurrent states (Xu et al. 2015). Of context b only the first `lengths[b]` cells, one or more, count.
        """
        config, states = self.config, CELL_SIZES[self.config.cell].states
        if context is None:
            zeros = self.output_bias.new_zeros(rows, config.hidden_size)
            return DecoderState(((zeros,) * states,) * config.num_layers)
        batch, cells, _ = context.shape
        if rows % batch:
            raise ValueError(f"{rows} rows cannot be shared evenly by {batch} contexts")
        mask = None
        if lengths is None:
            mean = context.mean(dim=1)
        else:
            padding = torch.arange(cells, device=context.device) >= lengths[:, None]  # (B, L)
            mean = context.masked_fill(padding[..., None], 0).sum(dim=1) / lengths[:, None]
            mask = torch.zeros_like(padding, dtype=torch.float32).masked_fill_(padding, -torch.inf)
            mask = mask[:, None, None]
        initial = torch.tanh(self.initial(self.summary(mean.to(context.dtype))))  # (B, layers * states * H)
        parts = initial.repeat_interleave(rows // batch, dim=0).chunk(config.num_layers * states, dim=-1)
        layers = tuple(parts[i : i + states] for i in range(0, len(parts), states))
        heads = config.attention_heads
        keys, values = (
            linear(context).view(batch, cells, heads, -1).transpose(1, 2) for linear in (self.key, self.value)
        )
        return DecoderState(layers, keys, values, mask)

    def forward(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Logits (N, T, V) after each of `ids` (N, T), and the state after the last."""
        features, state = self.hidden(ids, state)
        return self.logits(features), state

    def hidden(self, ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """As `forward`, but the features (N, T, ...) that `logits` takes: training leaves padding out."""
        x = self.embedding_dropout(self.embedding(ids))
        attended: Tensor | None = None
        attention: Tensor | None = None
        layers = []
        for index, (layer, states) in enumerate(zip(self._stack, state.layers, strict=True)):
            out, after = self._read(layer, x, states)
            layers.append(after)
            x = self.dropout(out)
            if index == 0 and state.keys is not None and state.values is not None:
                attended, attention = self._attend(out, state.keys, state.values, state.mask)
                attended = self.dropout(attended)
                if len(self.layers) > 1:
                    x = torch.cat([x, attended], dim=-1)
        if attended is not None:
            x = torch.cat([x, attended], dim=-1)
        return x, replace(state, layers=tuple(layers), attention=attention)

    def _read(self, layer: nn.RNNBase, x: Tensor, states: States) -> tuple[Tensor, States]:
        """A layer over whole sequences, in training with some of its recurrent weights dropped."""
        # nn.RNNBase wants (1, N, H), of the dtype of its input under autocast.
        carried: States | Tensor = tuple(s.unsqueeze(0).contiguous() for s in states)
        if len(carried) == 1:
            carried = carried[0]
        if self.training and self.config.recurrent_dropout:
            weight = F.dropout(layer.all_weights[0][1], self.config.recurrent_dropout)
            out, carried = torch.func.functional_call(layer, {"weight_hh_l0": weight}, (x, carried))
        else:
            out, carried = layer(x, carried)
        after = carried if isinstance(carried, tuple) else (carried,)
        return out, tuple(s.squeeze(0) for s in after)

    def logits(self, features: Tensor) -> Tensor:
        """Logits (..., V) of the features that `hidden` gives."""
        if isinstance(self.project, nn.Linear):
            features = _linear(features, self.project.weight, self.project.bias)
        if not self.config.tie_embeddings:
            return features + self.output_bias
        return _linear(features, self.embedding.weight, self.output_bias)

    def gate_table(self) -> Tensor:
        """Layer 1's share of every token, `W_ih @ embedding + b`: (V, G). Exact, and a look-up a step."""
        weight, _, bias, _ = self._stack[0].all_weights[0]
        return F.linear(self.embedding.weight, weight, bias)

    def step(self, ids: Tensor, state: DecoderState, gate_table: Tensor) -> tuple[Tensor, DecoderState]:
        """Logits (N, V) after one more token a row, `ids` (N,); equal to `forward` on a column.

        Plain products: `nn.LSTM` called for a single step is ten times slower on a CPU.
        """
        cell = CELLS[self.config.cell]
        x = gates_x = gate_table[ids]
        attended: Tensor | None = None
        attention: Tensor | None = None
        layers = []
        for index, (layer, states) in enumerate(zip(self._stack, state.layers, strict=True)):
            weight_x, weight_h, bias_x, bias_h = layer.all_weights[0]
            if index > 0:
                gates_x = _linear(x, weight_x, bias_x)
            layers.append(cell.step(gates_x, _linear(states[0], weight_h, bias_h), states))
            x = layers[-1][0]
            if index == 0 and state.keys is not None and state.values is not None:
                attended, attention = self._attend(x.unsqueeze(1), state.keys, state.values, state.mask)
                attended = attended.squeeze(1)
                if len(self.layers) > 1:
                    x = torch.cat([x, attended], dim=-1)
        if attended is not None:
            x = torch.cat([x, attended], dim=-1)
        return self.logits(x), replace(state, layers=tuple(layers), attention=attention)

    def select(self, state: DecoderState, index: Tensor) -> DecoderState:
        """The state of rows `index` (M,): repeated, reordered or dropped."""
        layers = tuple(tuple(s[index] for s in states) for states in state.layers)
        keys, values, mask = state.keys, state.values, state.mask
        if keys is not None and values is not None:
            owner = index // (state.rows // keys.shape[0])
            runs, counts = torch.unique_consecutive(owner, return_counts=True)
            # Contexts are copied only when rows no longer share them evenly; beams never do that.
            wanted = runs if bool((counts == counts[0]).all()) else owner
            if not torch.equal(wanted, torch.arange(keys.shape[0], device=wanted.device)):
                keys, values = keys[wanted], values[wanted]
                mask = None if mask is None else mask[wanted]
        return DecoderState(layers, keys, values, mask)

    @staticmethod
    def join(states: Sequence[DecoderState]) -> DecoderState:
        """The rows of several states, none of which has a context, as one state."""
        if any(state.keys is not None for state in states):
            raise ValueError("states with a context cannot be joined")
        layers = zip(*(state.layers for state in states), strict=True)
        return DecoderState(tuple(tuple(map(torch.cat, zip(*layer, strict=True))) for layer in layers))

    def _attend(
        self, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Multi-head attention of `hidden` (N, T, H) over the context: (N, T, H) and (N, T, L)."""
        rows, steps, _ = hidden.shape
        batch, heads, _, width = keys.shape
        # Rows of one context are one long query: the context is never repeated.
        query = self.query(hidden).view(batch, rows // batch * steps, heads, width).transpose(1, 2)
        scores = query @ keys.transpose(2, 3) * width**-0.5
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)  # (B, heads, ., L)
        attended = (weights.to(values.dtype) @ values).transpose(1, 2)
        return attended.reshape(rows, steps, -1), weights.mean(dim=1).view(rows, steps, -1)
