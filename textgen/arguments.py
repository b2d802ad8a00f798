"""Arguments that several commands take.

tyro loads a type checker, 30 ms of a command, for what is neither a class nor `typing.Union`: for `X | None` (up to Python 3.13)
and for tuples. So commands that are waited for have these instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

from tyro.conf import Positional, arg

MaybeText = Optional[str]  # noqa: UP045
MaybeInt = Optional[int]  # noqa: UP045
MaybeFloat = Optional[float]  # noqa: UP045
MaybePath = Optional[Path]  # noqa: UP045


class Words(tuple[str, ...]):
    """Words as they were typed, one or several or none; see `textgen.command_line`."""

    __slots__ = ()


Model = Annotated[MaybeText, arg(metavar="NAME|DIR")]
Files = Annotated[Positional[tuple[Path, ...]], arg(metavar="CORPUS...")]
