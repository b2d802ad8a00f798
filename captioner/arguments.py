"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Model = Annotated[str | None, arg(metavar="NAME|DIR")]
MaxMegapixels = Annotated[float | None, arg(metavar="N")]
Data = Annotated[Positional[Path], arg(metavar="DATA")]
