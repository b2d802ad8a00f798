"""Models that go to other processes by name: a pickle or a copy says where it was loaded from, and loads it anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from textgen.errors import UserError
from textgen.storage.box import Box


class Origin(NamedTuple):
    """Where a model was loaded from."""

    model: str
    """A name in the box, the same on every machine, or a folder's path."""
    engine: str
    """As it was asked for."""

    @classmethod
    def of(cls, folder: Path, box: Box, engine: str) -> Origin:
        return cls(folder.name if folder.parent == box.folder else str(folder.absolute()), engine)


class _Loadable(Protocol):
    hash: str

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, engine: str = "auto") -> Self: ...


M = TypeVar("M", bound=_Loadable)


class Reloadable:
    """What holds a loaded model: sessions, locks and threads cannot be copied, but loaded once more."""

    hash: str
    origin: Origin | None = None
    """None where it was not loaded from a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is None:
            raise UserError(
                f"a {type(self).__name__} that was not loaded from a folder cannot be copied or sent to another "
                "process; store its model, and load it there"
            )
        return _load_again, (type(self), self.origin, self.hash)


def _load_again(kind: type[M], origin: Origin, hash: str) -> M:
    found = kind.load(origin.model, origin.engine)
    if found.hash != hash:
        raise UserError(f"{origin.model}: holds another model than when it was loaded first; load it anew")
    return found
