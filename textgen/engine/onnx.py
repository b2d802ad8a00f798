"""`StepModel` by ONNX Runtime: no torch, and near the speed at which the weights can be read from memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.engine.halves import Halves
from textgen.engine.onnx_weights import arrays_of, decoder_arrays
from textgen.engine.protocol import NGRAM, PART, Choice, Continuations, Rules, Written
from textgen.engine.session import AloneOrBeside, Session, session
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
        self._start = self._session("start") if config.context_size else None
        # Now, so that graphs that do not fit are found when the model is loaded; the others when they are first wanted.
        _ = self._step if self._start is None or "search" not in graphs else self._search

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
        return session(self._graphs[name], arrays_of(name, self._arrays, self.config), self._threads)

    @cached_property
    def _read(self) -> Session:
        # Captions never need it, and it would take the weights' memory a second time.
        return self._session("read")

    @cached_property
    def _halves(self) -> Halves | None:
        if not {"lower", "upper"} <= set(self._graphs):
            return None  # there is one layer, or a context, or it was exported before there were such graphs
        size = self.config.memory_size * self.config.cut // self.config.num_layers
        return Halves(self._session("lower"), self._session("upper"), size)

    @cached_property
    def _step(self) -> Session:
        return self._session("step")

    @cached_property
    def _search(self) -> AloneOrBeside | None:
        if "search" not in self._graphs:
            return None  # of a model that was exported before there was such a graph: it is stepped
        return AloneOrBeside(self._graphs["search"], arrays_of("search", self._arrays, self.config))

    @cached_property
    def _write(self) -> Session | None:
        # One thread: of a single row there is too little to do for the cores to agree on.
        return self._session("write") if "write" in self._graphs else None

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
            (logits,), state = self._whole(part, state, np.array([part.shape[1] - 1]))
        return logits[0], state

    def step(self, ids: np.ndarray, state: OnnxState) -> tuple[np.ndarray, OnnxState]:
        return self._run(self._step, state, ids=ids)

    def search(
        self, ids: np.ndarray, state: OnnxState, width: int, rules: Rules, end: int, max_length: int
    ) -> Continuations | None:
        early = (
            not rules.min_length and np.isin(ids, rules.not_final).any()
        )  # of a prompt's last token it cannot tell
        if self._search is None or rules.no_repeat_ngram > NGRAM or early:
            return None
        feed = {
            **_search_feed(self.vocab_size, len(ids), width, rules, end, max_length),
            "ids": np.repeat(ids, width),
            "memory": np.repeat(state.memory, width, axis=0),
            **self._seen(state),
        }
        beams, tokens, totals, lead = self._search.run(feed, single=len(ids) == 1)
        return Continuations(beams, tokens, totals) if np.isfinite(lead).all() else None

    def write(
        self, ids: np.ndarray, state: OnnxState, uniforms: np.ndarray, choice: Choice, end: int | None
    ) -> Written | None:
        if self._write is None:
            return None
        feed = {
            **choice_feed(self.vocab_size, choice, end),
            **self._seen(state),
            "steps": np.array(len(uniforms)),
            "ids": np.ascontiguousarray(ids, dtype=np.int64),
            "memory": state.memory,
            "uniforms": uniforms,
            "open": np.ones(len(ids), bool),
        }
        tokens, log_probs, memory = self._write.run(None, feed)
        if not np.isfinite(log_probs).all():
            return None
        return Written(tokens, log_probs.astype(np.float64), replace(state, memory=memory, attention=None))

    def score(self, ids: np.ndarray, targets: np.ndarray, state: OnnxState) -> tuple[np.ndarray, OnnxState]:
        parts, state = self._whole(ids, state, np.arange(ids.shape[1]))
        ends = np.cumsum([len(part) for part in parts])
        given = np.split(targets.T, ends[:-1])
        return np.concatenate(list(map(_log_probs, parts, given))).T, state

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

    def _whole(
        self, ids: np.ndarray, state: OnnxState, places: np.ndarray
    ) -> tuple[list[np.ndarray], OnnxState]:
        """Logits of `ids` (N, T) at `places`, in parts (K, N, V) one after the other, and the state after them."""
        ids = np.ascontiguousarray(ids.T, dtype=np.int64)
        if self._halves is None:
            logits, state = self._run(self._read, state, ids=ids, places=places)
            return [logits], state
        parts, memory = self._halves.read(ids, state.memory, places)
        return parts, OnnxState(memory)

    def _run(self, graph: Session, state: OnnxState, **inputs: np.ndarray) -> tuple[np.ndarray, OnnxState]:
        feed: dict[str, np.ndarray] = {
            name: np.ascontiguousarray(array, dtype=np.int64) for name, array in inputs.items()
        }
        feed["memory"] = state.memory
        logits, memory, *attention = graph.run(None, feed | self._seen(state))
        return logits, OnnxState(memory, state.keys, state.values, state.mask, *attention)

    @staticmethod
    def _seen(state: OnnxState) -> dict[str, np.ndarray]:
        """What a graph is given of a context."""
        found = {"keys": state.keys, "values": state.values, "mask": state.mask}
        return {name: array for name, array in found.items() if array is not None}


def _log_probs(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of `targets` (T, N) by `logits` (T, N, V): (T, N)."""
    top = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
    found: np.ndarray = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0] - total
    return found


@lru_cache(maxsize=32)
def choice_feed(vocab_size: int, choice: Choice, end: int | None) -> dict[str, np.ndarray]:
    """What a write graph is given besides the model's state; see `textgen.graphs.write`."""
    never = np.zeros(vocab_size, np.float32)
    never[list(choice.banned)] = -np.inf
    greedy = choice.temperature == 0
    kept = 1 if greedy else choice.top_k if 0 < choice.top_k < vocab_size else vocab_size
    return {
        "never": never,
        "temperature": np.array(1 if greedy else min(max(choice.temperature, 1e-20), 1e30), np.float32),
        "best_only": np.array(kept < vocab_size or choice.top_p < 1),
        "kept": np.array([kept]),
        "top_p": np.array(choice.top_p),
        "min_p": np.array(choice.min_p),
        "end": np.array([-1 if end is None else end]),
    }


@lru_cache(maxsize=32)
def _search_feed(
    vocab_size: int, batch: int, width: int, rules: Rules, end: int, max_length: int
) -> dict[str, np.ndarray]:
    """What a search graph is given besides the model's state; see `textgen.graphs.search`."""
    scores = np.full((batch, width), -np.inf)
    scores[:, 0] = 0
    size, length = rules.no_repeat_ngram, max(max_length, NGRAM)
    powers = [(vocab_size + 1) ** n if n + 1 < size else 0 for n in range(length)]
    shape = batch * width, length
    return {
        "steps": np.array(max_length),
        "scores": scores,
        "past": np.full(shape, -1),
        "before": np.full(shape, np.iinfo(np.int64).min),
        "banned": np.tile(np.array([*rules.banned, end]), (batch * width, 1)),
        "end": np.array([[end]]),
        "not_final": np.isin(np.arange(vocab_size), rules.not_final),
        "least": np.array([rules.min_length]),
        "powers": np.array(powers)[:, None],
        "apart": np.array([0 if size else 1]),
        "row_count": np.array([min(2 * width, vocab_size)]),
        "count": np.array([min(2 * width, width * vocab_size)]),
    }
