"""`StepModel` by ONNX Runtime: no torch, and near the speed at which the weights can be read from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.engine.onnx_weights import arrays_of, decoder_arrays
from textgen.engine.protocol import PART
from textgen.engine.session import Session, session
from textgen.errors import UserError
from textgen.storage.bundle import WEIGHTS, Bundle, describing
from textgen.storage.graphs import read_graphs


@dataclass(frozen=True)
class OnnxState:
    """What a decoder remembers of N rows; as `textgen.decoder.rnn.DecoderState`, in numpy."""

    memory: np.ndarray  # the states of its layers side by side: (N, layers x states x H)
    keys: np.ndarray | None = None  # (B, heads, L, H / heads)
    values: np.ndarray | None = None  # (B, heads, L, H / heads)
    mask: np.ndarray | None = None  # (B, 1, 1, L): 0, or -inf beyond a context's length; None without lengths
    attention: np.ndarray | None = (
        None  # of the last call, before the mean over heads: (B, heads, N / B x T, L)
    )


class OnnxEngine:
    """A decoder's graphs with its weights; safe to call from several threads."""

    def __init__(
        self,
        config: DecoderConfig,
        weights: Mapping[str, np.ndarray],
        graphs: Mapping[str, bytes],
        precision: str,
        threads: int = 1,
    ):
        """`weights` are the decoder's state dict, float32; `graphs` those of `decoder_graphs`, by name."""
        self.config = config
        self.vocab_size = config.vocab_size
        self._arrays = decoder_arrays(config, weights, precision)
        self._graphs, self._threads = graphs, threads
        self._step = self._session("step")
        self._start = self._session("start") if config.context_size else None

    @classmethod
    def of(cls, config: DecoderConfig, stored: Bundle, again: str, prefix: str = "") -> OnnxEngine:
        """The engine of a stored model, whose decoder's weights begin with `prefix`; `again` makes graphs anew.

        Raises UserError naming the file and the first wrong thing.
        """
        names = ("step", "read", "start") if config.context_size else ("step", "read")
        graphs = read_graphs(stored, again, names)
        with describing(stored.folder / WEIGHTS):
            try:
                return cls(config, stored.weights.part(prefix), graphs.files, graphs.precision)
            except UserError as error:
                raise UserError(f"{error}; make the graphs anew: {again}") from error

    def _session(self, name: str) -> Session:
        return session(self._graphs[name], arrays_of(name, self._arrays), self._threads)

    @cached_property
    def _read(self) -> Session:
        # Captions never need it, and it would take the weights' memory a second time.
        return self._session("read")

    def start(self, context: np.ndarray | None, rows: int, lengths: np.ndarray | None = None) -> OnnxState:
        if context is None or self._start is None:
            return OnnxState(np.zeros((rows, self.config.memory_size), np.float32))
        batch = len(context)
        if rows % batch:
            raise ValueError(f"{rows} rows cannot be shared evenly by {batch} contexts")
        mask = None
        if not self.config.context_lengths:
            mean = context.mean(axis=1)
        else:
            lengths = np.full(batch, context.shape[1]) if lengths is None else lengths
            counts = np.arange(context.shape[1]) < lengths[:, None]  # (B, L)
            mean = (context * counts[..., None]).sum(axis=1) / lengths[:, None].astype(np.float32)
            mask = np.where(counts, np.float32(0), np.float32(-np.inf))[:, None, None]
        if not np.isfinite(mean).all():  # rounding to 8 bits would make numbers of it
            raise UserError(
                "the model computed NaN or infinity; its weights are damaged or its training diverged"
            )
        feed = {"context": np.ascontiguousarray(context), "mean": mean}
        memory, keys, values = self._start.run(None, feed)
        return OnnxState(np.repeat(memory, rows // batch, axis=0), keys, values, mask)

    def prefill(self, ids: np.ndarray, state: OnnxState) -> tuple[np.ndarray, OnnxState]:
        if ids.shape[1] == 1:
            return self.step(ids[:, 0], state)
        size = PART if state.keys is None else ids.shape[1]
        for start in range(0, ids.shape[1], size):
            part = ids[:, start : start + size]
            logits, state = self._run(self._read, state, ids=part.T, places=np.array([part.shape[1] - 1]))
        return logits[0], state

    def step(self, ids: np.ndarray, state: OnnxState) -> tuple[np.ndarray, OnnxState]:
        return self._run(self._step, state, ids=ids)

    def score(self, ids: np.ndarray, targets: np.ndarray, state: OnnxState) -> tuple[np.ndarray, OnnxState]:
        logits, state = self._run(self._read, state, ids=ids.T, places=np.arange(ids.shape[1]))  # (T, N, V)
        top = logits.max(axis=-1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
        return (np.take_along_axis(logits, targets.T[..., None], axis=-1)[..., 0] - total).T, state

    def select(self, state: OnnxState, index: np.ndarray) -> OnnxState:
        keys, values, mask = state.keys, state.values, state.mask
        if keys is not None and values is not None:
            owner = index // (len(state.memory) // len(keys))
            share = len(index) // len(keys)
            if (
                len(index) % len(keys)
                or (owner.reshape(len(keys), share) != np.arange(len(keys))[:, None]).any()
            ):
                wanted = self._wanted(owner)
                keys, values = keys[wanted], values[wanted]
                mask = None if mask is None else mask[wanted]
        return OnnxState(state.memory[index], keys, values, mask)

    @staticmethod
    def _wanted(owner: np.ndarray) -> np.ndarray:
        """Which contexts remain for rows whose `owner` (N,) are no longer all contexts in order."""
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        counts = np.diff(starts, append=len(owner))
        # Each row has its own only where rows no longer share contexts evenly; beams never do that.
        return owner[starts] if len(set(counts.tolist())) == 1 else owner

    @staticmethod
    def join(states: Sequence[OnnxState]) -> OnnxState:
        if any(state.keys is not None for state in states):
            raise ValueError("states with a context cannot be joined")
        return OnnxState(np.concatenate([state.memory for state in states]))

    def attention(self, state: OnnxState) -> np.ndarray | None:
        if state.attention is None:
            return None
        return state.attention.mean(axis=1).reshape(len(state.memory), -1, state.attention.shape[-1])

    def _run(self, graph: Session, state: OnnxState, **inputs: np.ndarray) -> tuple[np.ndarray, OnnxState]:
        feed: dict[str, np.ndarray] = {
            name: np.ascontiguousarray(array, dtype=np.int64) for name, array in inputs.items()
        }
        feed["memory"] = state.memory
        if state.keys is None or state.values is None:
            logits, memory = graph.run(None, feed)
            return logits, OnnxState(memory)
        feed |= {"keys": state.keys, "values": state.values}
        if state.mask is not None:
            feed["mask"] = state.mask
        logits, memory, attention = graph.run(None, feed)
        return logits, OnnxState(memory, state.keys, state.values, state.mask, attention)
