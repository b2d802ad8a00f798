"""A long prompt read by two cores: one reads a part's upper layers while the other is ahead with the lower ones.

A layer needs of a token only what the one below made of it and its own state: the wavefront of Appleyard, Kociský and
Blunsom (2016), "Optimizing Performance of Recurrent Neural Networks on GPUs", with two cores and parts of some tokens.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Lock, Thread

import numpy as np

from textgen.engine.cores import cores
from textgen.engine.forks import renew_in_children
from textgen.engine.session import Session

_PART = 48  # tokens
_LONG = 4 * _PART  # from which on two cores are quicker, of an LSTM 512 x 2
_Parts = Generator[list[np.ndarray], None, None]
_PATIENCE = 1.0  # seconds, after which it is asked whether the other thread still lives


class Halves:
    """The lower and the upper layers of a decoder without a context; see `textgen.graphs.halves`."""

    def __init__(self, lower: Session, upper: Session, lower_size: int):
        """`lower_size`: how many of a row's numbers are the state of the lower layers."""
        self._lower, self._upper, self._lower_size = lower, upper, lower_size
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        self._running = Lock()

    def read(
        self, ids: np.ndarray, memory: np.ndarray, places: np.ndarray
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Logits at `places`, ascending, of `ids` (T, N), in parts (K, N, V) one after the other, and the memory (N, M) after
        them.

        By two cores where it is worth it, and no other call has them already.
        """
        running = self._running
        both = len(ids) >= _LONG and cores() > 1 and running.acquire(blocking=False)
        try:
            return self._read(ids, memory, places, both)
        except _Gone:
            return self._read(ids, memory, places, both=False)
        finally:
            if both:
                running.release()

    def _read(
        self, ids: np.ndarray, memory: np.ndarray, places: np.ndarray, both: bool
    ) -> tuple[list[np.ndarray], np.ndarray]:
        lower, upper = (np.ascontiguousarray(half) for half in np.split(memory, [self._lower_size], axis=1))
        parts = self._below(ids, lower, _PART if both else len(ids))
        found, start = [], 0
        with closing(_ahead(parts) if both else parts) as coming:
            for seen, after in coming:
                lower, end = after, start + len(seen)
                mine = places[(places >= start) & (places < end)] - start
                # A part of which nothing is wanted says its last token's, which costs little.
                wanted = mine if len(mine) else np.array([len(seen) - 1])
                logits, upper = self._upper.run(None, {"seen": seen, "memory": upper, "places": wanted})
                found += [logits] if len(mine) else []
                start = end
        return found, np.concatenate([lower, upper], axis=1)

    def _below(self, ids: np.ndarray, memory: np.ndarray, size: int) -> _Parts:
        """What the lower layers make of so many tokens after the other, and their state."""
        for start in range(0, len(ids), size):
            seen, memory = self._lower.run(None, {"ids": ids[start : start + size], "memory": memory})
            yield [seen, memory]


class _Gone(Exception):
    """The other thread is not there any more: this is a child that was forked meanwhile."""


def _ahead(parts: _Parts) -> _Parts:
    """`parts`, computed by another thread while those before are used; by this one where no thread may be started."""
    ready: SimpleQueue[list[np.ndarray] | BaseException | None] = SimpleQueue()
    wanted = True

    def work() -> None:
        try:
            for part in parts:
                ready.put(part)
                if not wanted:
                    return
            ready.put(None)
        except BaseException as error:
            ready.put(error)

    other = Thread(target=work)
    try:
        other.start()
    except RuntimeError:  # too many are there, or the interpreter ends
        yield from parts
        return
    try:
        while (part := _next(ready, other)) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part
    finally:
        wanted = False


def _next(
    ready: SimpleQueue[list[np.ndarray] | BaseException | None], other: Thread
) -> list[np.ndarray] | BaseException | None:
    while True:
        lived = other.is_alive()
        try:
            return ready.get(timeout=_PATIENCE if lived else 0)
        except Empty:
            if not lived:
                raise _Gone from None
