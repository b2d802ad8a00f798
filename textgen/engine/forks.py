"""What a forked child must not share with its parent: locks that another thread held, and threads it has not got."""

from __future__ import annotations

import os
from threading import Lock
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something that does not survive a fork as it is."""

    def renew_after_fork(self) -> None:
        """Makes it usable in the child, where no other thread runs yet."""


undivided = Lock()
"""Held over work that takes locks which nobody can renew, as a library's own: a fork waits until it is done."""
_known: WeakSet[Forked] = WeakSet()


def renew_in_children(thing: Forked) -> None:
    """Has `thing.renew_after_fork` called in every child that this process forks while `thing` lives."""
    _known.add(thing)


def _renew() -> None:
    undivided.release()  # the fork took it
    for thing in list(_known):
        thing.renew_after_fork()


if hasattr(os, "register_at_fork"):  # there are none on Windows
    os.register_at_fork(before=undivided.acquire, after_in_parent=undivided.release, after_in_child=_renew)
