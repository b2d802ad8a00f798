"""One thread at a time at what callers hand over and may hand over twice: pictures not yet read, open files.

Pillow reads a picture when its pixels are first wanted, through the file's one position; two threads that do so at
once get rows of one another's, and no error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_INNER = (
    "raw",
    "fileobj",
    "file",
)  # what buffers, members of archives and temporary files call the file they read


class _Turns:
    """A lock for each object that is in somebody's hands; none is kept of the others."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a forked child, where the threads that had their turn are none."""
        self._guard = Lock()
        self._locks: dict[int, tuple[Lock, int]] = {}

    @contextmanager
    def at(self, thing: object) -> Iterator[None]:
        key = id(thing)  # its own for as long as the caller's hands are on it
        with self._guard:
            lock, waiting = self._locks.get(key) or (Lock(), 0)
            self._locks[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._locks.pop(key)
                if waiting > 1:
                    self._locks[key] = lock, waiting - 1


_turns = _Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.forget)


@contextmanager
def alone_with_file(file: object) -> Iterator[None]:
    """For as long as the statement lasts, no other thread is in one of these with `file`, or one that reads the same."""
    for _ in range(4):  # a member of an archive is a buffer around a part of a buffer around a file
        inner = next((found for name in _INNER if hasattr(found := getattr(file, name, None), "read")), None)
        if inner is None:
            break
        file = inner
    with _turns.at(file):
        yield


@contextmanager
def alone_with_picture(picture: object) -> Iterator[None]:
    """The same of a Pillow picture, and of the file that it has still to be read from."""
    # The picture first: once it is read it has no file, and those who wait must not pass by another door.
    with _turns.at(picture):
        if hasattr(file := getattr(picture, "fp", None), "read"):
            with alone_with_file(file):
                yield
        else:
            yield
