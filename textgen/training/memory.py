"""What the process has taken, and what the C library does with freed memory."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator, Mapping

# mallopt's parameters, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8


def keep_freed_memory() -> None:
    """Lets glibc keep freed memory for the next tensor instead of returning it to the system.

    Two thirds of a CPU training's time went into page faults for memory that had just been given back.
    Does nothing on other C libraries.
    """
    _tell_allocator({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**28})


def return_freed_memory() -> None:
    """Lets glibc return blocks of a megabyte and more to the system as soon as they are freed.

    A server that had held 200 MB of uploads for a moment kept them for good; with a heap for each of many threads
    that come and go, it kept 30 MB more of fifty visitors. Does nothing on other C libraries.
    """
    _tell_allocator({_MMAP_THRESHOLD: 2**20, _ARENA_MAX: 1})


def return_free_pages() -> None:
    """Returns what is free now, however small its blocks, to the system. Does nothing on other C libraries."""
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform.startswith("linux"):
            ctypes.CDLL(None).malloc_trim(0)


def _tell_allocator(parameters: Mapping[int, int]) -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in parameters.items():
        mallopt(parameter, value)


def peak_memory() -> int:
    """Most bytes of physical memory that this process has held; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    # Bytes on a Mac, kilobytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """For work that makes lists by the hundred thousand, none in a cycle: looking for cycles takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
