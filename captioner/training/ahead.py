"""Work read ahead of its use, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True)
class _Failed:
    """What a call raised instead of its result."""

    error: BaseException


def read_ahead(make: Callable[[K], T], keys: Sequence[K], depth: int = 3) -> Iterator[T]:
    """`make(key)` of each key in order, computed in a thread a few ahead; its exceptions are raised here."""
    ready: queue.Queue[T | _Failed] = queue.Queue(depth)
    gone = threading.Event()

    def put(item: T | _Failed) -> None:
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
                put(make(key))
            except BaseException as error:  # handed to the consumer, who raises it
                return put(_Failed(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in keys:
            item = ready.get()
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        gone.set()
        thread.join()
