"""An iterator that two threads cannot share unnoticed: each would get a part, and take it for the whole."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from threading import Lock
from typing import TypeVar

from textgen.errors import UserError

T = TypeVar("T")


class OneReader(Iterator[T]):
    """Passes on what a generator yields, to one thread at a time; one after the other may be several.

    Once two read at the same time, both are refused, and whoever reads afterwards, by a UserError with the line
    `refusal`.
    """

    def __init__(self, items: Generator[T, None, None], refusal: str):
        self._items = items
        self._refusal = refusal
        self._reading = Lock()
        self._shared = False

    def __next__(self) -> T:
        if self._shared or not self._reading.acquire(blocking=False):
            self._shared = True
            raise UserError(self._refusal)
        try:
            item = next(self._items)
        finally:
            self._reading.release()
        if self._shared:
            raise UserError(self._refusal)
        return item

    def close(self) -> None:
        """Ends it, as of a generator: what it would yield is not computed."""
        with self._reading:
            self._items.close()
