"""A bounded gate before the models: so many compute at once, so many wait in turn, the next is told at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from app.work.limits import Limits
from textgen.errors import UserError

T = TypeVar("T")


class Busy(UserError):
    """All places are taken and the queue is full, or the wait was too long."""

    def __init__(self) -> None:
        super().__init__("Many people are here at the moment; please try again in a few seconds.")


class Gate:
    """Lets `limits.inferences` computations run at once; safe to use from several threads.

    A visitor is let in once, or told `Busy`; those who are in are served strictly in turn, so that a long text
    cannot starve a caption.
    """

    def __init__(self, limits: Limits):
        self._wait = limits.wait_seconds
        self._free = limits.inferences
        self._room = limits.inferences + limits.queue
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """For one computation. Raises Busy when there is no room, or no turn within the time to wait."""
        with self._visit(), self._turn():
            yield

    def steps(self, stream: Iterable[T]) -> Generator[T, None, None]:
        """The items of `stream`, each computed in a turn of its own; no turn is held while the caller has an item.

        A stream that is dropped half way, as when a tab is closed, leaves at once. Raises Busy as `place` does.
        """
        items = iter(stream)
        with self._visit():
            while True:
                with self._turn():
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

    @contextmanager
    def _visit(self) -> Iterator[None]:
        with self._lock:
            if not self._room:
                raise Busy
            self._room -= 1
        try:
            yield
        finally:
            with self._lock:
                self._room += 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            with self._lock:
                # Handed over, not put back: whoever asks next must not overtake those who wait.
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._free += 1

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(self._wait):
            return
        with self._lock:
            if mine in self._waiting:  # else it was given a place at the last moment
                self._waiting.remove(mine)
                raise Busy
