"""Pictures by matplotlib, which is wanted for them only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textgen.errors import UserError
from textgen.storage.files import atomic_write


def new_figure(option: str, width: float, height: float) -> Any:
    """An empty figure, in inches, for what `option` asked for. Raises UserError without matplotlib."""
    try:
        with _without_traces():
            from matplotlib.figure import Figure
            from matplotlib.font_manager import fontManager  # noqa: F401 - looks for fonts, and keeps a list of them
    except ImportError as error:
        raise UserError(
            f"{option}: needs matplotlib; install it with: pip install 'captioner[plot]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_png(figure: Any, path: Path) -> None:
    """Writes a figure, whole or not at all."""
    atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=150))


@contextlib.contextmanager
def _without_traces() -> Iterator[None]:
    """Its import makes folders and a list of fonts in the home of whoever has not used it before; not for one plot."""
    own = [
        os.path.expanduser(f"~/{folder}")
        for folder in (".config/matplotlib", ".cache/matplotlib", ".matplotlib")
    ]
    if "MPLCONFIGDIR" in os.environ or any(map(os.path.isdir, own)):
        yield
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]
