"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from textgen.arguments import MaybeFloat

MaxMegapixels = Annotated[MaybeFloat, arg(metavar="N")]
Data = Annotated[Positional[Path], arg(metavar="DATA")]
