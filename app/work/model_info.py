"""What a model's folder says of it: for its card on the page, without loading its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.network import stored
from captioner.network.card import training_phases
from captioner.pictures.files import told_apart
from textgen.engine import text_model
from textgen.errors import UserError
from textgen.kinds import KINDS
from textgen.storage import bundle
from textgen.storage.box import Box, size_of
from textgen.training.runs import read_log

BOXES: dict[str, Box] = {stored.KIND: stored.BOX, **{name: kind.BOX for name, kind in KINDS.items()}}
"""The models that the package ships, by their kinds."""
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^>]*>", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


@dataclass(frozen=True)
class ModelInfo:
    """One model."""

    folder: Path
    kind: str
    """What `model.json` says that it is."""
    line: str
    """What it is made of."""
    figures: Sequence[tuple[str, str]]
    """How large and how good it is: names and values."""
    phases: Sequence[tuple[str, dict[str, float]]]
    """The scores after each phase of a captioner's training."""
    log: Sequence[dict[str, Any]]
    """The lines of its training run, where the folder has them."""
    card: str
    """Markdown without HTML and pictures."""


def read_info(folder: Path) -> ModelInfo:
    """What `folder` says. Raises UserError naming the file and what is wrong with it."""
    header = bundle.any_header(folder)
    if header["kind"] not in BOXES:
        raise UserError(
            f"{folder / bundle.HEADER}: a model of kind {header['kind']!r}, which this page does not know"
        )
    with bundle.describing(folder / bundle.HEADER):
        told = BOXES[header["kind"]].summary(header)
        phases = training_phases(header) if header["kind"] == stored.KIND else []
    figures = [("Size", f"{size_of(folder) / 1e6:.1f} MB"), *told.figures]
    line = told.line.replace(" x ", " × ")
    return ModelInfo(folder, header["kind"], line, figures, phases, read_log(folder), _card(folder))


def titles(folders: Sequence[Path]) -> dict[Path, str]:
    """What to call different models: each as its folder, with those above it where another has the same name."""
    found = {}
    for folder, name in zip(folders, told_apart(folders), strict=True):
        *above, last = [folder.name] if folder.parent == text_model.BOX.folder else name.split("/")
        found[folder] = f"{last[:1].upper()}{last[1:]}" + (f" ({'/'.join(above)})" if above else "")
        if folder == stored.BOX.default_folder:
            found[folder] = "Photo captions"
    return found


def _card(folder: Path) -> str:
    try:
        text = (folder / bundle.CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    # A picture in it would be fetched from wherever it lies.
    text = _TAG.sub("", text).replace("![", "[")
    text = re.sub(r"\A\s*# .*\n", "", text)
    return _HEADING.sub("### ", text)
