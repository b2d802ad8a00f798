"""Contenders in processes of their own: how long one takes depends on what its process did before.

Others' steps allocate and return megabytes, which costs page faults in a fresh process, as people run it, and half of
them after something larger has been freed there (glibc raises its threshold for good).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

_contender: Callable


@contextmanager
def processes() -> Iterator[Callable[..., Callable]]:
    """A function `apart`, whose processes end with the block: their time is then known to be ours.

    `apart(make, *arguments)` is what `make(*arguments)` gives there, to be called from here; some tenths of a
    millisecond are added.
    """
    with ExitStack() as pools:

        def apart(make: Callable[..., Callable], *arguments) -> Callable:
            pool = ProcessPoolExecutor(
                1, mp_context=get_context("spawn"), initializer=_prepare, initargs=(make, arguments)
            )
            pools.enter_context(pool)
            return lambda *given: pool.submit(_call, given).result()

        yield apart


def _prepare(make: Callable[..., Callable], arguments: tuple) -> None:
    global _contender
    _contender = make(*arguments)


def _call(given: tuple):
    return _contender(*given)
