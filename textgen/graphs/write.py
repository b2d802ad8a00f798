"""Sampling as one ONNX graph: a loop with a decoder's step inside, so that a block of tokens is one call of the runtime.

It chooses what `textgen.decoding.sampling` chooses; the uniforms that decide are given. Letters: N rows, K choices, V
vocabulary, P parts of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.graphs.nodes import BOOL, DOUBLE, FLOAT, INT, Nodes, Value, serialised
from textgen.graphs.step import context_inputs, decoder_nodes

_PART = 128  # weights added up at a time: running sums of all are slow


Step = Callable[[Nodes, str, str, Sequence[str]], tuple[str, Sequence[str]]]
"""Nodes of a model's step: after ids (N,), the place of the step and what the model remembers, its logits (N, V) and that anew."""


def write_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The loop of a decoder with `arrays`, serialised: `sampling_loop` with `memory` (N, M), and of a context `keys`, `values`
    and `mask`."""

    def step(on: Nodes, place: str, ids: str, states: Sequence[str]) -> tuple[str, Sequence[str]]:
        logits, memory = decoder_nodes(on, config, ids, states[0])
        return logits, [memory]

    memory: Value = (FLOAT, ["N", config.memory_size])
    return sampling_loop(Nodes(arrays), config.vocab_size, {"memory": memory}, context_inputs(config), step)


Apart = Callable[[Nodes], Mapping[str, Value]]
"""Nodes before a loop: what is carried from step to step instead of the states, by its names."""
Together = Callable[[Nodes, Sequence[str]], Sequence[str]]
"""Nodes behind it: the states of what was carried."""


def sampling_loop(
    on: Nodes,
    vocab_size: int,
    states: Mapping[str, Value],
    others: Mapping[str, Value],
    step: Step,
    otherwise: tuple[Apart, Together] | None = None,
) -> bytes:
    """The loop around `step` of a model that remembers `states` and is given `others`, serialised.

    A step is given what the model remembers in the form that `otherwise` makes of the states, where they have another.

    Inputs, besides both: `steps`, at most; `ids` (N,), the last tokens; `uniforms` (steps, N); `never` (V,), 0 or -inf;
    `temperature`; `best_only`, whether to choose among the `kept` (1,) likeliest that reach `top_p`; `min_p`; `end` (1,), or
    -1; `open` (N,), rows that have not ended. Outputs: `tokens` and `log_probs` (steps, N), of which no more are made once all
    rows have ended, and the states, `_after`.
    """
    inputs: dict[str, Value] = {
        "steps": (INT, []),
        "ids": (INT, ["N"]),
        **states,
        "uniforms": (DOUBLE, ["K", "N"]),
        "never": (FLOAT, [vocab_size]),
        "temperature": (FLOAT, []),
        "best_only": (BOOL, []),
        "kept": (INT, [1]),
        "top_p": (DOUBLE, []),
        "min_p": (DOUBLE, []),
        "end": (INT, [1]),
        "open": (BOOL, ["N"]),
        **others,
    }
    found: dict[str, Value] = {"tokens": (INT, ["steps", "N"]), "log_probs": (FLOAT, ["steps", "N"])}
    outputs = found | {f"{name}_after": kind for name, kind in states.items()}

    def body(inside: Nodes, place: str, carried: Sequence[str]) -> tuple[str, list[str], list[str]]:
        ids, open_, *before = carried
        logits, after = step(inside, place, ids, before)
        allowed = inside("Add", logits, "never")
        uniforms = inside("Gather", "uniforms", place)
        ids = inside.either(
            "best_only",
            lambda branch: _among_best(branch, allowed, uniforms),
            lambda branch: _among_all(branch, vocab_size, allowed, uniforms),
            (INT, ["N"]),
        )
        open_ = inside("And", open_, inside("Not", inside("Equal", ids, "end")))
        wanted = inside("ReduceMax", inside("Cast", open_, to=INT), keepdims=0)
        return inside("Cast", wanted, to=BOOL), [ids, open_, *after], [ids, _log_probs(inside, logits, ids)]

    apart, together = otherwise or (lambda on: states, lambda on, after: after)
    carried = {name: inputs[name] for name in ("ids", "open")} | {**apart(on)}
    after, columns = on.loop("steps", carried, body, list(found.values()))
    for name, result in zip(outputs, (*columns, *together(on, after[2:])), strict=True):
        on("Identity", result, output=name)
    return serialised(on, inputs, outputs, "write")


def _log_probs(on: Nodes, logits: str, ids: str) -> str:
    """Log-probabilities (N,) of `ids` (N,)."""
    every = on("LogSoftmax", logits, axis=-1)
    return on(
        "Squeeze", on("GatherElements", every, on("Unsqueeze", ids, on.constant(-1)), axis=1), on.constant(-1)
    )


def _among_all(on: Nodes, vocab_size: int, allowed: str, uniforms: str) -> str:
    """Tokens (N,) drawn from all by `uniforms` (N,)."""
    best = on("ReduceMax", allowed, on.constant(-1))
    weights = on("Exp", on("Div", on("Sub", allowed, best), "temperature"))
    weights = on("Where", on("Less", weights, on("Cast", "min_p", to=FLOAT)), on.constant(0.0), weights)
    reached = on("Unsqueeze", uniforms, on.constant(-1))
    if vocab_size <= 4 * _PART:
        return on("Squeeze", _drawn(on, weights, reached)[0], on.constant(-1))
    spare = -vocab_size % _PART
    parts = on("Pad", weights, on.constant(0, 0, 0, spare)) if spare else weights
    parts = on("Reshape", parts, on.constant(0, -1, _PART))  # (N, P, PART)
    part, share = _drawn(on, on("ReduceSum", parts, on.constant(-1), keepdims=0), reached)
    place, _ = _drawn(on, on("GatherND", parts, part, batch_dims=1), share)
    return on("Squeeze", on("Add", on("Mul", part, on.constant(_PART)), place), on.constant(-1))


def _among_best(on: Nodes, allowed: str, uniforms: str) -> str:
    """Tokens (N,) drawn by `uniforms` (N,) from the likeliest only."""
    found, tokens = on.several("TopK", allowed, "kept", count=2)  # best first, of equal ones the first
    best = on("Slice", found, on.constant(0), on.constant(1), on.constant(1))
    weights = on("Cast", on("Exp", on("Div", on("Sub", found, best), "temperature")), to=DOUBLE)
    before = on("CumSum", weights, on.scalar(1), exclusive=1)
    limit = on("Mul", on("ReduceSum", weights, on.constant(-1)), "top_p")
    beyond = on("GreaterOrEqual", before, limit)
    first = on("Equal", before, on.double(0.0))
    dropped = on("And", beyond, on("Not", first))
    dropped = on("Or", dropped, on("Less", weights, "min_p"))
    weights = on("Where", dropped, on.double(0.0), weights)
    place, _ = _drawn(on, weights, on("Unsqueeze", uniforms, on.constant(-1)))
    return on("Squeeze", on("GatherElements", tokens, place, axis=1), on.constant(-1))


def _drawn(on: Nodes, weights: str, share: str) -> tuple[str, str]:
    """Which of `weights` (N, K) holds this share (N, 1) of their sum, (N, 1), and how far into it, from 0 to 1."""
    wide = on("Cast", weights, to=DOUBLE)
    running = on("CumSum", wide, on.scalar(1))
    total = on("Slice", running, on.constant(-1), on.constant(2**31), on.constant(1))
    reached = on("Mul", share, total)
    passed = on("Cast", on("LessOrEqual", running, reached), to=INT)
    place = on("ReduceSum", passed, on.constant(-1))
    ahead = on("Sub", on("GatherElements", running, place, axis=1), reached)
    into = on("Sub", on.double(1.0), on("Div", ahead, on("GatherElements", wide, place, axis=1)))
    # Rounding may make it the whole, which would be the next one's beginning.
    return place, on("Min", on.double(1 - 1e-12), on("Max", on.double(0.0), into))
