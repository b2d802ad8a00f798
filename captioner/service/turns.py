"""Who is served when: so many compute at once, so many wait, the next is told to come again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from captioner.service.answers import Busy


class Turns:
    """A bounded gate: `at_once` run, `queue` wait in turn, for `wait_seconds` at most."""

    def __init__(self, at_once: int, queue: int, wait_seconds: float):
        self._running = asyncio.Semaphore(at_once)
        self._room = at_once + queue
        self._wait = wait_seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """For one computation. Raises Busy when there is no room, or no turn within the time to wait."""
        if not self._room:
            raise Busy
        self._room -= 1
        try:
            try:
                await asyncio.wait_for(self._running.acquire(), self._wait)
            except TimeoutError:
                raise Busy(self._wait) from None
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._room += 1


@dataclass(eq=False)
class _Waiting:
    key: Hashable
    item: Any
    done: asyncio.Future[Any]
    begun: bool = False


class Batches:
    """Items of different requests, worked side by side where their settings are the same.

    `work(key, items)` gives a result an item, in order; it is called in threads of its own, `workers` at a time. An item
    waits for others only while all workers are busy.
    """

    def __init__(
        self,
        work: Callable[[Any, Sequence[Any]], Sequence[Any]],
        workers: int,
        most: int,
        queue: int,
        wait_seconds: float,
    ):
        self._work, self._most, self._queue, self._wait = work, most, queue, wait_seconds
        self._waiting: deque[_Waiting] = deque()
        self._workers = workers
        self._threads = self._pool()
        self._free = workers
        self._under_way: set[asyncio.Task[None]] = set()

    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="batch")

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def check_room(self, count: int) -> None:
        """Raises Busy where as many items have none."""
        if len(self._waiting) + count > self._queue:
            raise Busy

    async def result(self, key: Hashable, items: Sequence[Any]) -> list[Any]:
        """The results of a request's items. Raises Busy when there is no room for all, or no turn in time."""
        self.check_room(len(items))
        loop = asyncio.get_running_loop()
        mine = [_Waiting(key, item, loop.create_future()) for item in items]
        self._waiting.extend(mine)
        self._start()
        try:
            await asyncio.wait([one.done for one in mine], timeout=self._wait)
            if not all(one.begun for one in mine):
                raise Busy(self._wait)
            return [await one.done for one in mine]
        finally:
            # Who has gone, or waited too long, leaves the queue.
            for one in mine:
                one.done.cancel()
            self._waiting = deque(one for one in self._waiting if not one.done.done())

    def _start(self) -> None:
        while self._free and (batch := self._next()):
            self._free -= 1
            task = asyncio.create_task(self._run(batch))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _next(self) -> list[_Waiting]:
        """The first that waits, and those behind it with the same settings."""
        waiting = [one for one in self._waiting if not one.done.done()]
        batch = [one for one in waiting if one.key == waiting[0].key][: self._most] if waiting else []
        for one in batch:
            one.begun = True
        self._waiting = deque(one for one in waiting if not one.begun)
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            await self._work_on(batch)
        finally:
            self._free += 1
            self._start()

    async def _work_on(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            items = [one.item for one in batch]
            found = await loop.run_in_executor(self._threads, self._work, batch[0].key, items)
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].done.done():
                    batch[0].done.set_exception(error)
                return
            for one in batch:  # so that a defect that one of them meets harms no other
                await self._work_on([one])
        else:
            for one, result in zip(batch, found, strict=True):
                if not one.done.done():
                    one.done.set_result(result)

    async def close(self) -> None:
        """Waits for what is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        self._threads.shutdown()
        self._threads = (
            self._pool()
        )  # of the application when it is begun again; no thread is there before it is needed
