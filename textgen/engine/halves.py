"""A long prompt read by two cores: one reads a part's upper layers while the other is a part ahead with the lower ones.

A layer needs of a token only what the one below made of it and its own state: the wavefront of Appleyard, Kociský and
Blunsom (2016), "Optimizing Performance of Recurrent Neural Networks on GPUs", with two cores and parts of some tokens.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np

from textgen.engine.forks import renew_in_children
from textgen.engine.session import Session

_PART = 48  # tokens
LONG = 4 * _PART
"""Tokens from which two cores are quicker than one."""


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
    ) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Logits at `places`, ascending, of `ids` (T, N), in parts (K, N, V) one after the other, and the memory (N, M) after
        them.

        None where another call has both cores already.
        """
        if not self._running.acquire(blocking=False):
            return None
        try:
            return self._read(ids, memory, places)
        finally:
            self._running.release()

    def _read(
        self, ids: np.ndarray, memory: np.ndarray, places: np.ndarray
    ) -> tuple[list[np.ndarray], np.ndarray]:
        starts = range(0, len(ids), _PART)
        lower, upper = (np.ascontiguousarray(part) for part in np.split(memory, [self._lower_size], axis=1))
        found = []
        with ThreadPoolExecutor(1) as other:

            def ahead(start: int, memory: np.ndarray) -> list[np.ndarray]:
                return self._lower.run(None, {"ids": ids[start : start + _PART], "memory": memory})

            coming = other.submit(ahead, 0, lower)
            for start in starts:
                seen, lower = coming.result()
                end = start + len(seen)
                if end < len(ids):
                    coming = other.submit(ahead, end, lower)
                mine = places[(places >= start) & (places < end)] - start
                # A part of which nothing is wanted says its last token's, which costs little.
                wanted = mine if len(mine) else np.array([len(seen) - 1])
                logits, upper = self._upper.run(None, {"seen": seen, "memory": upper, "places": wanted})
                found += [logits] if len(mine) else []
        return found, np.concatenate([lower, upper], axis=1)
