"""The kinds of models that `textgen` has: where each one's box is, and how it is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from textgen.classification import stored as classification
from textgen.errors import UserError
from textgen.families import stored as text
from textgen.storage.box import Box
from textgen.storage.bundle import HEADER, any_header
from textgen.translation import stored as translation


class Stored(Protocol):
    """The module that stores models of one kind."""

    KIND: str
    BOX: Box

    def export_model(self, folder: Path, precision: str, pack: bool = False) -> None:
        """Adds graphs to the model in `folder`; with `pack` its weights are stored in 8 bits."""


KINDS: dict[str, Stored] = {module.KIND: module for module in (text, translation, classification)}


def find_any(model: str | None) -> Path:
    """The folder of a model of any kind, as `Box.find`; what is not found is told with the names of all."""
    own = text.BOX
    try:
        return own.find(model)
    except UserError as error:
        names = [name for kind in KINDS.values() for name in kind.BOX.names()]
        raise UserError(str(error).replace(", ".join(own.names()), ", ".join(names))) from error


def kind_of(folder: Path) -> Stored:
    """The kind of the model in `folder`. Raises UserError naming what is wrong with its `model.json`."""
    kind = any_header(folder)["kind"]
    if kind not in KINDS:
        raise UserError(f"{folder / HEADER}: a model of kind {kind!r}; textgen has {', '.join(KINDS)}")
    return KINDS[kind]
