"""Long work that can be stopped between its parts."""

from collections.abc import Callable

Check = Callable[[], object]
"""Called between two parts of the work, from whichever thread does it; what it raises ends the work."""


def go_on() -> None:
    """The check that stops nothing."""
