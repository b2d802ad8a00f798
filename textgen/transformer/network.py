"""A decoder-only Transformer (Vaswani et al. 2017; Radford et al. 2019) that is stepped with a cache, as one more
`StepModel`.

Blocks of pre-normalised attention and feed-forward, rotary positions (Su et al. 2021), output tied with the embedding.
Letters of the shapes: N rows, T steps, P cached tokens, V vocabulary, H features, W features of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen.decoder.dropout import Dropout
from textgen.transformer.config import TransformerConfig, rotations, visible


@dataclass(frozen=True)
class Cache:
    """What a Transformer remembers of N rows; immutable, so that beams may share it.

    Rows may have read different numbers of tokens: the cells of shorter ones stand at the end.
    """

    keys: Tensor  # (layers, N, heads, P, W), turned by their positions
    values: Tensor  # (layers, N, heads, P, W)
    lengths: Tensor  # (N,) tokens read

    @property
    def rows(self) -> int:
        return self.keys.shape[1]


class _Block(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        size = config.hidden_size
        self.heads, self.width = config.attention_heads, config.head_size
        self.before_attention = nn.LayerNorm(size)
        self.attention = nn.Linear(size, 3 * size)
        self.attended = nn.Linear(size, size)
        self.before_feed_forward = nn.LayerNorm(size)
        self.widen = nn.Linear(size, config.feed_forward_size)
        self.narrow = nn.Linear(config.feed_forward_size, size)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The block's output (N, T, H), and its keys and values with the new tokens' (N, heads, P + T, W)."""
        rows, steps, size = x.shape
        mixed = self.attention(self.before_attention(x)).view(rows, steps, 3, self.heads, self.width)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        query, key = _turn(query, *turns), _turn(key, *turns)
        keys = torch.cat([keys, key.to(keys.dtype)], dim=2)
        values = torch.cat([values, value.to(values.dtype)], dim=2)
        seen = F.scaled_dot_product_attention(
            query, keys.to(query.dtype), values.to(query.dtype), mask.to(query.dtype)
        )
        x = x + self.dropout(self.attended(seen.transpose(1, 2).reshape(rows, steps, size)))
        wide = F.gelu(self.widen(self.before_feed_forward(x)))
        return x + self.dropout(self.narrow(wide)), keys, values


def _turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """`x` (N, heads, T, W), each pair of features turned by the angle of its position: (N, 1, T, W / 2) each."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class TransformerDecoder(nn.Module):
    """Token ids and a cache to logits and the next cache. It computes; it decides nothing."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.before_output = nn.LayerNorm(config.hidden_size)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = Dropout(config.dropout)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # What is added to the stream grows with the layers (Radford et al. 2019).
                adds = name.endswith(("attended.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 * ((2 * self.config.num_layers) ** -0.5 if adds else 1))
        nn.init.normal_(self.embedding.weight, std=self.config.hidden_size**-0.5)

    def start(self, context: Tensor | None, rows: int, lengths: Tensor | None = None) -> Cache:
        """The cache before the first token. It has no context: a Transformer of plain text."""
        if context is not None:
            raise ValueError("a Transformer of plain text has no context")
        config = self.config
        shape = (config.num_layers, rows, config.attention_heads, 0, config.head_size)
        empty = self.output_bias.new_zeros(shape)
        return Cache(empty, empty, torch.zeros(rows, dtype=torch.long, device=self.output_bias.device))

    def forward(self, ids: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Logits (N, T, V) after each of `ids` (N, T), and the cache after the last."""
        features, cache = self.hidden(ids, cache)
        return self.logits(features), cache

    def hidden(self, ids: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """As `forward`, but the features (N, T, H) that `logits` takes: training leaves padding out."""
        steps, config = ids.shape[1], self.config
        lengths = cache.lengths.cpu().numpy()
        places = lengths[:, None] + torch.arange(steps).numpy()
        cosines, sines = (torch.from_numpy(a).to(ids.device)[:, None] for a in rotations(config, places))
        mask = torch.from_numpy(visible(config, lengths, cache.keys.shape[3], steps)).to(ids.device)
        x = self.dropout(self.embedding(ids))
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            x, key, value = block(x, (cosines, sines), mask, cache.keys[layer], cache.values[layer])
            keys.append(key[:, :, -config.window :])
            values.append(value[:, :, -config.window :])
        after = Cache(torch.stack(keys), torch.stack(values), cache.lengths + steps)
        return x, after

    def logits(self, features: Tensor) -> Tensor:
        """Logits (..., V) of the features that `hidden` gives."""
        return F.linear(self.before_output(features), self.embedding.weight, self.output_bias)

    @staticmethod
    def select(cache: Cache, index: Tensor) -> Cache:
        """The cache of rows `index` (M,): repeated, reordered or dropped."""
        return Cache(cache.keys[:, index], cache.values[:, index], cache.lengths[index])

    @staticmethod
    def join(caches: Sequence[Cache]) -> Cache:
        """The rows of several caches as one; those that have read less have empty cells before theirs."""
        most = max(cache.keys.shape[3] for cache in caches)

        def wide(cells: Tensor) -> Tensor:
            return F.pad(cells, (0, 0, most - cells.shape[3], 0))

        return Cache(
            torch.cat([wide(cache.keys) for cache in caches], dim=1),
            torch.cat([wide(cache.values) for cache in caches], dim=1),
            torch.cat([cache.lengths for cache in caches]),
        )
