"""Contenders in processes of their own: how long one takes depends on what its process did before.

Others' steps allocate and return megabytes, which costs page faults in a fresh process, as people run it, and half of
them after something larger has been freed there (glibc raises its threshold for good).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

_contender: Callable


def apart(make: Callable[..., Callable], *arguments) -> Callable:
    """What `make(*arguments)` gives there, to be called from here; some tenths of a millisecond are added."""
    pool = ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_prepare, initargs=(make, arguments)
    )
    return lambda *given: pool.submit(_call, given).result()


def _prepare(make: Callable[..., Callable], arguments: tuple) -> None:
    global _contender
    _contender = make(*arguments)


def _call(given: tuple):
    return _contender(*given)
