"""Which engine steps a model: ONNX Runtime where the model has graphs, else torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from textgen.errors import UserError

ENGINES = ("auto", "onnx", "torch")
TORCH_MISSING = "torch is not installed: pip install 'captioner[train]'"


def require_train(what: str) -> None:
    """Raises UserError when something of the extra [train], without which there is no `what`, is not installed."""
    missing = [name for name in ("torch", "torchvision", "onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise UserError(f"{what}: needs {names}, not installed here: pip install 'captioner[train]'")


def choose_engine(asked: str, has_graphs: bool, folder: Path) -> str:
    """`onnx` or `torch`. Raises UserError for an unknown name, and when what was asked for is not installed."""
    if asked not in ENGINES:
        raise UserError(f"engine: unknown {asked!r}; known: {', '.join(ENGINES)}")
    if asked == "onnx" or (asked == "auto" and has_graphs):
        return "onnx"
    if find_spec("torch") is None:
        raise UserError(
            f"{folder}: has no ONNX graphs, and {TORCH_MISSING}" if asked == "auto" else TORCH_MISSING
        )
    return "torch"
