"""Which rows of a batch this process has, where several processes share a training's batches; see `textgen.training.processes`.

Every process makes the same batches and draws the same random numbers for all of their rows, and takes its own of both: so
what is learnt does not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Rows:
    """Rows `first` to `end` of `total`."""

    first: int
    end: int
    total: int
    counted: bool = True
    """False where there are fewer rows than processes: then this one computes with a row of another, for nothing."""

    @property
    def slice(self) -> slice:
        return slice(self.first, self.end)


@dataclass(frozen=True)
class Share:
    """This process among those that share a training."""

    rank: int = 0
    count: int = 1

    def of(self, total: int) -> Rows:
        """Its rows of `total`, one or more: as many as the others have, or one more or less."""
        first, end = (total * place // self.count for place in (self.rank, self.rank + 1))
        if first == end:
            return Rows(min(first, total - 1), min(first, total - 1) + 1, total, counted=False)
        return Rows(first, end, total)


_share = Share()
_rows: ContextVar[Rows | None] = ContextVar("rows", default=None)


def share() -> Share:
    """This process's share: all of everything, unless `set_share` said otherwise."""
    return _share


def set_share(share: Share) -> None:
    """From now on this process has `share`."""
    global _share
    _share = share


@contextlib.contextmanager
def in_rows(rows: Rows) -> Iterator[None]:
    """Within it `drawn` is of batches of which this process has `rows`."""
    before = _rows.set(rows)
    try:
        yield
    finally:
        _rows.reset(before)


def current_rows() -> Rows | None:
    """Of the batch at hand; None outside of `in_rows`."""
    return _rows.get()


def drawn(shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], Drawn]) -> Drawn:
    """`draw(shape)` at random, of which `shape[0]` is this process's rows: those of what is drawn for all rows."""
    rows = _rows.get()
    if rows is None or rows.end - rows.first == rows.total:
        return draw(shape)
    if shape[0] != rows.end - rows.first:
        raise ValueError(f"{shape[0]} rows where this process has {rows.end - rows.first}")
    whole = draw((rows.total, *shape[1:]))
    return whole[rows.slice]  # type: ignore[index]
