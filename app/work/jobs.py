"""Work in a thread of its own, so that the page hears meanwhile that nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, TypeVar

from app.work.gate import Gate
from captioner.metrics.stopping import Check

T = TypeVar("T")


class Stopped(Exception):
    """Ends the work that nobody waits for."""


class Job(Generic[T]):
    """`work(check)` in one place of the gate, from the beginning of a `with` statement.

    At the end of the statement, whatever ends it, the next call of `check` raises `Stopped`, which gives the place back.
    """

    def __init__(self, work: Callable[[Check], T], gate: Gate):
        self._work, self._gate = work, gate
        self._left = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Job[T]:
        self._future = self._thread.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.shutdown(wait=False)

    def done(self, seconds: float) -> bool:
        """Whether it is done, after as many seconds at most."""
        return bool(wait([self._future], seconds).done)

    def result(self) -> T:
        """What the work returned, or raises what it raised: `Busy` where there was no place."""
        return self._future.result()

    def _run(self) -> T:
        with self._gate.place():
            self._check()
            return self._work(self._check)

    def _check(self) -> None:
        if self._left.is_set():
            raise Stopped
