"""A decoder without a context in two halves, its lower and its upper layers: two cores read a prompt, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.graphs.nodes import FLOAT, INT, Nodes, Value, serialised
from textgen.graphs.step import logits_of, recurrent, token_gates


def half_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray], upper: bool) -> bytes:
    """The graph of the lower or the upper layers of a decoder with `arrays`, serialised; they are cut at `config.cut`.

    Inputs: of the lower half `ids` (T, N), of the upper one `seen` (T, N, H), what the lower one gave, and `places` (K,),
    the time steps whose logits are wanted; `memory` (N, layers x states x H) of its own layers.
    Outputs: `seen` or `logits` (K, N, V); `memory_after`.
    """
    on = Nodes(arrays)
    layers = range(config.cut, config.num_layers) if upper else range(config.cut)
    states = CELL_SIZES[config.cell].states
    count = len(layers) * states
    between: Value = (FLOAT, ["T", "N", config.hidden_size])
    memory: Value = (FLOAT, ["N", count * config.hidden_size])
    before = (
        on.several("Split", "memory", count=count, axis=-1, num_outputs=count) if count > 1 else ["memory"]
    )
    x, after = "seen", []
    for place, layer in enumerate(layers):
        gates = on.product(f"input{layer}", x) if layer else token_gates(on, "ids")
        x, following = recurrent(
            on, config, layer, gates, before[place * states : (place + 1) * states], whole=True
        )
        after += following
    on("Concat", *after, output="memory_after", axis=-1)
    if not upper:
        on("Identity", x, output="seen")
        return serialised(
            on, {"ids": (INT, ["T", "N"]), "memory": memory}, {"seen": between, "memory_after": memory}
        )
    logits = logits_of(on, on("Gather", x, "places", axis=0))
    on("Identity", logits, output="logits")
    inputs: dict[str, Value] = {"seen": between, "memory": memory, "places": (INT, ["K"])}
    return serialised(on, inputs, {"logits": (FLOAT, ["K", "N", config.vocab_size]), "memory_after": memory})
