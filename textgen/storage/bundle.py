"""A model on disk: a folder with `model.json`, `model.safetensors`, a model card, `README.md`, and ONNX graphs.

Graphs hold no weights, so that a model has them once; `model.json` says which files and which weights belong together.

Loading checks the format, the kind and every weight, and runs no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textgen.errors import UserError
from textgen.storage.files import atomic_write
from textgen.storage.typed import missing, why_unreadable

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from textgen.storage.weights import Rounding, Weights

FORMAT = 2
_FLOAT16_FORMAT = 1  # all that programs of before knew
HEADER, WEIGHTS, CARD = "model.json", "model.safetensors", "README.md"
COPIED = "copied.safetensors"  # a text model's index of its training text
_FILES = (HEADER, WEIGHTS, CARD, COPIED, "*.onnx")

Header = dict[str, Any]
"""What `model.json` holds, or a part of it: JSON, whose values are checked where they are used."""


@dataclass(frozen=True)
class Bundle:
    """What a model folder holds."""

    folder: Path
    header: Header
    """kind, config, vocabulary, preprocessing, provenance."""
    weights: Weights
    """Finite."""
    hash: str
    """sha256 of the weights' file."""


def write(
    folder: Path,
    header: Header,
    weights: Mapping[str, np.ndarray],
    card: str,
    steps: Mapping[str, Rounding] | None = None,
) -> None:
    """Writes a model; each file is replaced whole, `model.json` last. Raises UserError naming what failed.

    The weights in `steps` are stored in 8 bits, as `weights.pack` has it.
    """
    from safetensors.numpy import save

    from textgen.storage.weights import pack

    data = save(pack(weights, steps))
    forget_graphs(folder)
    atomic_write(folder / WEIGHTS, lambda file: file.write(data))
    atomic_write(folder / CARD, lambda file: file.write(card.encode()))
    write_header(folder, {**header, "format": FORMAT if steps else _FLOAT16_FORMAT})


def pack_weights(stored: Bundle, steps: Mapping[str, Rounding]) -> Bundle:
    """Stores a model anew, the weights in `steps` in 8 bits, and without the graphs, which are of other weights."""
    try:
        card = (stored.folder / CARD).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{stored.folder / CARD}: cannot be read: {why_unreadable(stored.folder, error)}"
        ) from error
    header = {name: value for name, value in stored.header.items() if name != "graphs"}
    write(stored.folder, header, stored.weights, card, steps)
    return read(stored.folder, stored.header["kind"])


def model_files(folder: Path) -> list[Path]:
    """The files of the model in `folder`, and of its training: what nothing else may be written over."""
    found = [file for pattern in (*_FILES, "training/**/*") for file in folder.glob(pattern)]
    return [file for file in found if file.is_file() and not file.name.startswith(".")]


def read_header(folder: Path, kind: str) -> Header:
    """`model.json` of a model of `kind`. Raises UserError naming the file and the first wrong thing."""
    header = any_header(folder)
    if header["kind"] != kind:
        raise UserError(f"{folder / HEADER}: a model of kind {header['kind']!r}, not {kind!r}")
    return header


def any_header(folder: Path) -> Header:
    """As `read_header`, of a model of whatever kind."""
    path = folder / HEADER
    if "\0" in str(folder):  # which no file's name may hold
        raise UserError(f"{str(folder)!r}: no such folder")
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = (
            missing(folder, "no such folder")
            if not folder.exists()
            else f"not a model folder: it has no {HEADER}"
        )
        raise UserError(f"{folder}: {what}") from error
    except NotADirectoryError as error:
        raise UserError(f"{folder}: not a folder; give the folder of a model") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON, or damaged: {error}") from error
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise UserError(f"{path}: not a model of this program: it has no format number")
    if header["format"] < 1:
        raise UserError(f"{path}: format {header['format']} is none of this program's")
    if header["format"] > FORMAT:
        raise UserError(
            f"{path}: format {header['format']} is newer than this program knows ({FORMAT}); update it"
        )
    if not isinstance(header.get("kind"), str):
        raise UserError(f"{path}: a model of kind {header.get('kind')!r}, none of this program's")
    for name in ("config", "vocabulary", "provenance"):
        if not isinstance(header.get(name), dict):
            raise UserError(f"{path}: {name} is missing")
    return header


def read(folder: Path, kind: str) -> Bundle:
    """The model of `kind` in `folder`, checked. Raises UserError naming the file and the first wrong thing."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from textgen.storage.weights import Weights

    header = read_header(folder, kind)
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
        weights = Weights(load(data))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a safetensors file, or truncated") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if name := weights.not_finite():
        raise UserError(f"{path}: {name!r} holds NaN or infinite numbers")
    return Bundle(folder, header, weights, hashlib.sha256(data).hexdigest())


def forget_graphs(folder: Path) -> None:
    """Before weights or graphs are replaced: whatever stops that, what is left is a model without graphs."""
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        header = {}
    if isinstance(header, dict) and header.pop("graphs", None):
        write_header(folder, header)
    for graph in folder.glob("*.onnx"):
        graph.unlink()


def write_header(folder: Path, header: Header) -> None:
    text = json.dumps(header, indent=1, ensure_ascii=False) + "\n"
    atomic_write(folder / HEADER, lambda file: file.write(text.encode()))


def check_shapes(bundle: Bundle, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises UserError at the first weight that is missing, unknown or of another shape than `expected`."""
    path = bundle.folder / WEIGHTS
    for name, shape in expected.items():
        if name not in bundle.weights:
            raise UserError(f"{path}: {name} is missing")
        if bundle.weights[name].shape != tuple(shape):
            raise UserError(f"{path}: {name} is {bundle.weights[name].shape}, {HEADER} says {tuple(shape)}")
    if extra := sorted(set(bundle.weights) - set(expected)):
        raise UserError(f"{path}: {extra[0]!r} does not belong to this model")


@contextlib.contextmanager
def describing(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a model is built from what `path` says is told as a fault of `path`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: damaged: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def check_vocabulary(path: Path, found: int, expected: int) -> None:
    """Raises UserError unless the vocabulary is as large as the model."""
    if found != expected:
        raise UserError(f"{path}: the vocabulary has {found} entries, the model {expected}")


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """What `write` takes, of a torch module."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_weights(stored: Bundle, module: nn.Module, empty: Sequence[nn.Module]) -> None:
    """Puts checked weights into a torch `module`, of which the parts `empty` were built on the meta device."""
    import torch

    check_shapes(stored, {name: tuple(value.shape) for name, value in module.state_dict().items()})
    for part in empty:
        part.to_empty(device="cpu")
    module.load_state_dict({name: torch.from_numpy(array) for name, array in stored.weights.items()})
