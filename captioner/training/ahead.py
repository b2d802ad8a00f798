"""Work read ahead of its use, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence


def read_ahead(make: Callable, keys: Sequence[int], depth: int = 3) -> Iterator:
    """`make(key)` of each key in order, computed in a thread a few ahead; its exceptions are raised here."""
    ready: queue.Queue = queue.Queue(depth)
    gone = threading.Event()

    def put(item: tuple) -> None:
        while not gone.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        for key in keys:
            if gone.is_set():
                return
            try:
                put((make(key), None))
            except BaseException as error:  # handed to the consumer, who raises it
                return put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in keys:
            item, error = ready.get()
            if error is not None:
                raise error
            yield item
    finally:
        gone.set()
        thread.join()
