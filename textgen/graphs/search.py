"""Beam search as one ONNX graph: a loop with a decoder's step inside, so that a caption is one call of the runtime.

It computes what `textgen.decoding.beam` computes of each step: which tokens continue which beams best. What has ended, and
which is best of that, is told from it afterwards. Letters: B contexts, W beams, N = B x W rows, C candidates of a context,
R of a row, F forbidden ids, T tokens so far at most, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.graphs.nodes import BOOL, DOUBLE, FLOAT, INT, Nodes, Shape, Value, serialised
from textgen.graphs.step import context_inputs, decoder_nodes


def search_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The loop of a decoder with `arrays`, serialised.

    Inputs: `steps`, at most; `ids` (N,), the last ones of the prompts; `memory` (N, M); `scores` (B, W), 0 or -inf before
    the first token; `past` (N, T), filled with -1, and `before` (N, T), with what is no number of tokens; `banned` (N, F), of
    which the last is `end` (1, 1); `not_final` (V,); `least` (1,), the tokens before the end; `powers` (T, 1), by which the
    last tokens are one number, and `apart` (1,), 0, or 1 where n-grams may come twice; `row_count` (1,) and `count` (1,), R and
    C; of a context `keys`, `values` and `mask`.
    Outputs, of each step: `beams`, `tokens` and `totals` (steps, B, C), best first, and `lead` (steps, N, 1), which is not
    finite where a row has no token to go on with.
    """
    on = Nodes(arrays)
    scores: Shape = ["B", "W"]
    inputs: dict[str, Value] = {
        "steps": (INT, []),
        "ids": (INT, ["N"]),
        "memory": (FLOAT, ["N", config.memory_size]),
        "scores": (DOUBLE, scores),
        "past": (INT, ["N", "T"]),
        "before": (INT, ["N", "T"]),
        "banned": (INT, ["N", "F"]),
        "end": (INT, [1, 1]),
        "not_final": (BOOL, [config.vocab_size]),
        "least": (INT, [1]),
        "powers": (INT, ["T", 1]),
        "apart": (INT, [1]),
        "row_count": (INT, [1]),
        "count": (INT, [1]),
        **context_inputs(config),
    }
    found: Shape = ["steps", "B", "C"]
    outputs: dict[str, Value] = {
        "beams": (INT, found),
        "tokens": (INT, found),
        "totals": (DOUBLE, found),
        "lead": (FLOAT, ["steps", "N", 1]),
    }
    fixed = _fixed(on)
    ended = on("Expand", on.constant(0), fixed["batch"])

    def step(inside: Nodes, place: str, carried: Sequence[str]) -> tuple[str, list[str], list[str]]:
        return _step(inside, config, fixed, place, carried)

    _, results = on.loop(
        "steps",
        {
            "ids": inputs["ids"],
            "memory": inputs["memory"],
            "scores": inputs["scores"],
            "past": inputs["past"],
            "before": inputs["before"],
            ended: (INT, ["B"]),
        },
        step,
        list(outputs.values()),
    )
    for name, result in zip(outputs, results, strict=True):
        on("Identity", result, output=name)
    return serialised(on, inputs, outputs, "search")


def _fixed(on: Nodes) -> dict[str, str]:
    """What every step wants of the shapes, by what it is."""
    batch, width = on("Shape", "scores", start=0, end=1), on("Shape", "scores", start=1, end=2)
    zero, one = on.scalar(0), on.scalar(1)
    first = on("Mul", on("Range", zero, on("Squeeze", batch), one), width)
    return {
        "batch": batch,
        "width": width,
        "first row": on("Unsqueeze", first, on.constant(-1)),  # (B, 1)
        "each beam": on("Concat", on("Shape", "scores"), on.constant(-1), axis=0),  # (B, W, R)
        "each context": on("Concat", batch, on.constant(-1), axis=0),  # (B, W x R)
        "places": on("Range", zero, on("Squeeze", "count"), one),  # (C,)
        "never": on(
            "Expand",
            on.constant(-np.inf),
            on("Shape", on("Slice", "banned", on.constant(1), on.constant(2**31), on.constant(1))),
        ),
    }


def _step(
    on: Nodes, config: DecoderConfig, fixed: Mapping[str, str], place: str, carried: Sequence[str]
) -> tuple[str, list[str], list[str]]:
    """Whether another step is wanted, what it carries on, and what this one found."""
    ids, memory, scores, past, before, ended = carried
    logits, memory = decoder_nodes(on, config, ids, memory)
    allowed, beginning = _allowed(on, fixed, on("LogSoftmax", logits, axis=-1), ids, past, before, place)
    gains, tokens = on.several("TopK", allowed, "row_count", count=2)  # (N, R)
    lead = on("Slice", gains, on.constant(0), on.constant(1), on.constant(1))
    gains = on("Reshape", on("Cast", gains, to=DOUBLE), fixed["each beam"])
    totals = on("Add", gains, on("Unsqueeze", scores, on.constant(-1)))
    totals, places = on.several(
        "TopK", on("Reshape", totals, fixed["each context"]), "count", count=2
    )  # (B, C)
    beams = on("Div", places, "row_count")
    tokens = on("GatherElements", on("Reshape", tokens, fixed["each context"]), places, axis=1)

    # The W best that go on: those that end come last, the others in their order.
    ends = on("Equal", tokens, "end")
    late = on("Mul", on("Cast", ends, to=INT), "count")
    _, going = on.several("TopK", on("Add", late, fixed["places"]), fixed["width"], count=2, largest=0)
    last = on("GatherElements", tokens, going, axis=1)  # (B, W)
    scores = on("GatherElements", totals, going, axis=1)
    scores = on("Where", on("Equal", last, "end"), on.double(-np.inf), scores)
    owners = on("Add", on("GatherElements", beams, going, axis=1), fixed["first row"])
    owners = on("Reshape", owners, on.constant(-1))  # (N,)
    ids = on("Reshape", last, on.constant(-1))

    past = _moved(on, past, owners, on("Reshape", ids, on.constant(-1, 1)))
    before = _moved(on, before, owners, on("Gather", beginning, owners))

    real = on("Greater", totals, on.double(-np.inf))
    finished = on("Cast", on("And", ends, real), to=INT)
    finished = on("Slice", finished, on.constant(0), fixed["width"], on.constant(1))
    ended = on("Add", ended, on("ReduceSum", finished, on.constant(1), keepdims=0))
    alive = on("Greater", on("ReduceMax", scores, on.constant(1), keepdims=0), on.double(-np.inf))
    open_ = on("Cast", on("And", on("Less", ended, fixed["width"]), alive), to=INT)
    wanted = on("Cast", on("ReduceMax", open_, keepdims=0), to=BOOL)
    after = [ids, on("Gather", memory, owners), scores, past, before, ended]
    return wanted, after, [beams, tokens, totals, lead]


def _moved(on: Nodes, past: str, owners: str, newest: str) -> str:
    """The `past` (N, T) of the rows that go on, `newest` (N, 1) first."""
    kept = on("Slice", on("Gather", past, owners), on.constant(0), on.constant(-1), on.constant(1))
    return on("Concat", newest, kept, axis=1)


def _allowed(
    on: Nodes, fixed: Mapping[str, str], log_probs: str, ids: str, past: str, before: str, place: str
) -> tuple[str, str]:
    """Log-probabilities with -inf for what may not come next, and the last tokens of each row as one number (N, 1).

    The newest token stands first in the past; beside each stands the number of those before it.
    """
    beginning = on("MatMul", past, "powers")
    again = on("Equal", before, on("Add", beginning, "apart"))
    early = on("Or", on("Gather", "not_final", ids), on("Less", place, "least"))
    said = on("Concat", on("Unsqueeze", early, on.constant(-1)), again, axis=1)
    forbidden = on("Where", said, on.constant(-np.inf), on.constant(np.inf))
    forbidden = on("Concat", fixed["never"], forbidden, axis=1)
    which = on("Concat", "banned", past, axis=1)  # the end is the last of those banned
    return on("ScatterElements", log_probs, which, forbidden, axis=1, reduction="min"), beginning
