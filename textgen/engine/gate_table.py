"""What layer 1 makes of every token, in 8 bits: looked up instead of computed at each step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from textgen.engine.session import session
from textgen.storage.weights import Weights, rounded

GRAPH = Path(__file__).with_name("gate_table.onnx")  # of `textgen.graphs.table`
_PART = 256  # rows at a time: all in float32 would take four times the memory, and longer to come than to be filled


def rounded_table(
    weights: Weights, embedding: str, matrix: str, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`embedding` (V, E) times `matrix` (G, E), with `bias` (G,): whole numbers (V, G), int8, and the scale (V, 1) of each row."""
    tokens, products = weights.rows(embedding), weights.rows(matrix)
    if tokens and products:
        return _of_whole(tokens, products, bias)
    rows, columns = weights[embedding], weights[matrix].T
    parts = [
        rounded(rows[start : start + _PART] @ columns + bias, 127) for start in range(0, len(rows), _PART)
    ]
    steps, scales = (np.concatenate(each) for each in zip(*parts, strict=True))
    return steps, scales[:, None]


def _of_whole(
    tokens: tuple[np.ndarray, np.ndarray], products: tuple[np.ndarray, np.ndarray], bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of weights that are stored in 8 bits: ONNX Runtime multiplies those in a third of the time that numpy takes for floats."""
    (rows, row_scales), (columns, column_scales) = tokens, products
    run = session(GRAPH.read_bytes(), {}, 0).run
    fixed = {
        "columns": np.ascontiguousarray(columns.T),
        "column_scales": column_scales.astype(np.float32),
        "bias": bias,
    }
    steps = np.empty((len(rows), len(columns)), np.int8)
    scales = np.empty((len(rows), 1), np.float32)
    for start in range(0, len(rows), _PART):
        part = slice(start, start + _PART)
        feed = {
            "rows": rows[part].view(np.uint8) ^ 128,  # x + 128, as the graph takes it
            "row_scales": row_scales[part, None].astype(np.float32),
        }
        steps[part], scales[part] = run(None, feed | fixed)
    return steps, scales
