"""The models that a package ships, by name, and what a list of them says of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from textgen.errors import UserError
from textgen.storage.bundle import HEADER, Header, read_header
from textgen.storage.typed import missing, shown, typed_path


@dataclass(frozen=True)
class Summary:
    """A model in a few words."""

    line: str
    """What it is made of."""
    data: str
    """What it was trained on."""
    figures: Sequence[tuple[str, str]]
    """How good it is: names and values."""


class Listed(TypedDict):
    """A model in the box, as a list of them has it."""

    name: str
    kind: str
    bytes: int
    """On disk."""
    model: str
    """What it is made of."""
    data: str
    figures: dict[str, str]


@dataclass(frozen=True)
class Box:
    """A folder of a package, with a folder for each model of one kind."""

    folder: Path
    kind: str
    default: str
    """The model that is meant where none is named."""
    summary: Callable[[Header], Summary]
    """Of a model's `model.json`."""

    @property
    def default_folder(self) -> Path:
        return self.folder / self.default

    def names(self) -> list[str]:
        """Of the models of its kind; a folder may hold several boxes."""
        found = sorted(path.parent for path in self.folder.glob(f"*/{HEADER}"))
        return [folder.name for folder in found if self._is_ours(folder)]

    def _is_ours(self, folder: Path) -> bool:
        try:
            header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False  # what is damaged is nobody's; who names it is told
        return isinstance(header, dict) and header.get("kind") == self.kind

    def folders(self) -> list[Path]:
        return [self.folder / name for name in self.names()]

    def find(self, model: str | os.PathLike[str] | None = None) -> Path:
        """The folder of a model in the box by its name, or of any other by its path. Raises UserError when there is none."""
        if model is None:
            if not self.default_folder.is_dir():
                raise UserError(f"no {self.kind} is in the box; name a trained model's folder: --model DIR")
            return self.default_folder
        given = os.fspath(model)
        name = given.rstrip("/")
        if name and name == os.path.basename(name) and (self.folder / name / HEADER).is_file():
            return self.folder / name  # of another kind it may be, which is said where it is read
        # An empty name would be the folder that one happens to be in.
        if not given or not Path(given).exists():
            called = shown(given) if given.isprintable() and given else repr(given)
            told = missing(given, f"no such model or folder; in the box: {', '.join(self.names())}")
            raise UserError(f"{called}: {told}")
        return typed_path(model)

    def refuse_own(self, folder: Path) -> None:
        """Raises UserError for a model in the box, which everybody who uses the program would find changed."""
        if any(os.path.realpath(folder) == os.path.realpath(own) for own in self.folders()):
            raise UserError(
                f"{folder}: a model in the box, which stays as it is; copy the folder, and name the copy"
            )

    def title(self, folder: Path) -> str:
        """What a report calls the model in `folder`."""
        return "model in the box" if folder == self.default_folder else folder.resolve().name

    def listing(self) -> list[Listed]:
        """Of each model in the box: name, bytes on disk, what it is made of, its data and its figures."""
        found: list[Listed] = []
        for folder in self.folders():
            told = self.summary(read_header(folder, self.kind))
            found.append(
                Listed(
                    name=folder.name,
                    kind=self.kind,
                    bytes=size_of(folder),
                    model=told.line,
                    data=told.data,
                    figures=dict(told.figures),
                )
            )
        return found


def size_of(folder: Path) -> int:
    """Bytes of a model's files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
