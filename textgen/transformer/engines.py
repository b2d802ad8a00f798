"""`StepModel` on a Transformer: by torch, and by ONNX Runtime without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from textgen.engine.forks import renew_in_children
from textgen.engine.onnx import choice_feed
from textgen.engine.protocol import Choice, Written
from textgen.engine.session import session
from textgen.storage.weights import rounded
from textgen.transformer.config import TransformerConfig, rotations, visible

if TYPE_CHECKING:
    from textgen.transformer.network import Cache, TransformerDecoder

_PART = 256  # tokens of a prompt read in a call: attention takes memory with their square
STEPS = 64  # of a rounded weight on either side of 0; see `textgen.engine.onnx_weights`
_PRODUCTS = ("attention", "attended", "widen", "narrow")


class TorchTransformer:
    """By torch."""

    def __init__(self, decoder: TransformerDecoder):
        import torch

        self._torch = torch
        self._decoder = decoder.eval()
        self.vocab_size = decoder.config.vocab_size
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        # OpenMP waits for ever for threads that only the parent has.
        self._torch.set_num_threads(1)

    def start(self, context: np.ndarray | None, rows: int, lengths: np.ndarray | None = None) -> Cache:
        if context is not None:
            raise ValueError("a Transformer of plain text has no context")
        return self._decoder.start(None, rows)

    def prefill(self, ids: np.ndarray, state: Cache) -> tuple[np.ndarray, Cache]:
        with self._torch.inference_mode():
            for start in range(0, ids.shape[1], _PART):
                features, state = self._decoder.hidden(self._tensor(ids[:, start : start + _PART]), state)
            return self._decoder.logits(features[:, -1]).float().cpu().numpy(), state

    def step(self, ids: np.ndarray, state: Cache) -> tuple[np.ndarray, Cache]:
        return self.prefill(ids[:, None], state)

    def score(self, ids: np.ndarray, targets: np.ndarray, state: Cache) -> tuple[np.ndarray, Cache]:
        with self._torch.inference_mode():
            logits, state = self._decoder(self._tensor(ids), state)
            chosen = self._tensor(targets).unsqueeze(-1)
            return logits.float().log_softmax(-1).gather(-1, chosen).squeeze(-1).cpu().numpy(), state

    def select(self, state: Cache, index: np.ndarray) -> Cache:
        with self._torch.inference_mode():
            return self._decoder.select(state, self._tensor(index))

    def join(self, states: Sequence[Cache]) -> Cache:
        with self._torch.inference_mode():
            return self._decoder.join(states)

    def attention(self, state: Cache) -> None:
        return None

    def _tensor(self, array: np.ndarray):  # type: ignore[no-untyped-def]
        return self._torch.from_numpy(np.require(array, requirements=["C", "W"])).to(
            self._decoder.output_bias.device
        )


@dataclass(frozen=True)
class OnnxCache:
    """As `textgen.transformer.network.Cache`, in numpy."""

    keys: np.ndarray  # (layers, N, heads, P, W)
    values: np.ndarray  # (layers, N, heads, P, W)
    lengths: np.ndarray  # (N,) tokens read


class OnnxTransformer:
    """By ONNX Runtime; safe to call from several threads."""

    def __init__(
        self,
        config: TransformerConfig,
        weights: Mapping[str, np.ndarray],
        graph: bytes,
        precision: str,
        threads: int = 1,
        write_graph: bytes | None = None,
    ):
        """`weights` are the decoder's state dict, float32; `graph` that of `transformer_graph`, and `write_graph` that of
        `transformer_write_graph`, where the model has one."""
        self.config = config
        self.vocab_size = config.vocab_size
        arrays = transformer_arrays(config, weights, precision)
        self._session = session(graph, arrays, threads)
        self._writer = cache(lambda: session(write_graph, arrays, threads) if write_graph else None)

    def start(self, context: np.ndarray | None, rows: int, lengths: np.ndarray | None = None) -> OnnxCache:
        if context is not None:
            raise ValueError("a Transformer of plain text has no context")
        config = self.config
        shape = (config.num_layers, rows, config.attention_heads, 0, config.head_size)
        empty = np.zeros(shape, np.float32)
        return OnnxCache(empty, empty, np.zeros(rows, np.int64))

    def prefill(self, ids: np.ndarray, state: OnnxCache) -> tuple[np.ndarray, OnnxCache]:
        for start in range(0, ids.shape[1], _PART):
            part = ids[:, start : start + _PART]
            logits, state = self._run(part, np.array([part.shape[1] - 1]), state)
        return logits[:, 0], state

    def step(self, ids: np.ndarray, state: OnnxCache) -> tuple[np.ndarray, OnnxCache]:
        return self.prefill(ids[:, None], state)

    def score(self, ids: np.ndarray, targets: np.ndarray, state: OnnxCache) -> tuple[np.ndarray, OnnxCache]:
        logits, state = self._run(ids, np.arange(ids.shape[1]), state)  # (N, T, V)
        top = logits.max(axis=-1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
        return np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0] - total, state

    def write(
        self, ids: np.ndarray, state: OnnxCache, uniforms: np.ndarray, choice: Choice, end: int | None
    ) -> Written | None:
        count, cached = len(uniforms), state.keys.shape[3]
        writer = self._writer()
        if writer is None or cached + count > self.config.window:
            return None
        cosines, sines = rotations(
            self.config, state.lengths + np.arange(count)[:, None]
        )  # (steps, N, W / 2)
        feed = {
            **choice_feed(self.vocab_size, choice, end),
            "steps": np.array(count),
            "ids": np.ascontiguousarray(ids, dtype=np.int64),
            "keys": state.keys,
            "values": state.values,
            "mask": visible(self.config, state.lengths, cached, 1),
            "cosines": cosines[:, :, None, None],
            "sines": sines[:, :, None, None],
            "uniforms": uniforms,
            "open": np.ones(len(ids), bool),
        }
        tokens, log_probs, keys, values, _ = writer.run(None, feed)
        if not np.isfinite(log_probs).all():
            return None
        after = OnnxCache(keys, values, state.lengths + len(tokens))
        return Written(tokens, log_probs.astype(np.float64), after)

    @staticmethod
    def select(state: OnnxCache, index: np.ndarray) -> OnnxCache:
        return OnnxCache(state.keys[:, index], state.values[:, index], state.lengths[index])

    @staticmethod
    def join(states: Sequence[OnnxCache]) -> OnnxCache:
        most = max(state.keys.shape[3] for state in states)

        def wide(cells: np.ndarray) -> np.ndarray:
            return np.pad(cells, [(0, 0), (0, 0), (0, 0), (most - cells.shape[3], 0), (0, 0)])

        return OnnxCache(
            np.concatenate([wide(state.keys) for state in states], axis=1),
            np.concatenate([wide(state.values) for state in states], axis=1),
            np.concatenate([state.lengths for state in states]),
        )

    def attention(self, state: OnnxCache) -> None:
        return None

    def _run(self, ids: np.ndarray, places: np.ndarray, state: OnnxCache) -> tuple[np.ndarray, OnnxCache]:
        """Logits (N, K, V) after the tokens at `places` (K,) of `ids` (N, T)."""
        steps, window = ids.shape[1], self.config.window
        cosines, sines = rotations(self.config, state.lengths[:, None] + np.arange(steps))
        feed = {
            "ids": np.ascontiguousarray(ids, dtype=np.int64),
            "places": places,
            "keys": state.keys,
            "values": state.values,
            "cosines": cosines[:, None],
            "sines": sines[:, None],
            "mask": visible(self.config, state.lengths, state.keys.shape[3], steps),
        }
        logits, keys, values = self._session.run(None, feed)
        if keys.shape[3] > window:
            keys, values = keys[:, :, :, -window:], values[:, :, :, -window:]
        return logits, OnnxCache(keys, values, state.lengths + steps)


def transformer_arrays(
    config: TransformerConfig, weights: Mapping[str, np.ndarray], precision: str
) -> dict[str, np.ndarray]:
    """What the graph of a Transformer with `weights` (its state dict, float32) holds, by name; as
    `textgen.engine.onnx_weights.decoder_arrays`."""
    arrays: dict[str, np.ndarray] = {"embedding": weights["embedding.weight"]}

    def product(name: str, weight: np.ndarray, bias: np.ndarray) -> None:
        if precision == "int8":
            steps, scale = rounded(weight, STEPS)
            arrays[name], arrays[f"{name}.scale"] = steps.T, scale
        else:
            arrays[name] = weight.T
        arrays[f"{name}.bias"] = bias

    for layer in range(config.num_layers):
        of = f"blocks.{layer}."
        for name in _PRODUCTS:
            product(f"{name}{layer}", weights[f"{of}{name}.weight"], weights[f"{of}{name}.bias"])
        for name in ("before_attention", "before_feed_forward"):
            arrays[f"{name}{layer}"] = weights[f"{of}{name}.weight"]
            arrays[f"{name}{layer}.bias"] = weights[f"{of}{name}.bias"]
    arrays["before_output"] = weights["before_output.weight"]
    arrays["before_output.bias"] = weights["before_output.bias"]
    product("output", weights["embedding.weight"], weights["output_bias"])
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def stored_steps(config: TransformerConfig) -> dict[str, int]:
    """The matrices of a Transformer that may be stored in 8 bits, and in how many steps: as the graph rounds them."""
    names = [f"blocks.{layer}.{name}.weight" for layer in range(config.num_layers) for name in _PRODUCTS]
    return dict.fromkeys([*names, "embedding.weight"], STEPS)
