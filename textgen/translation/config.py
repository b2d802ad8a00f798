"""How translations are chosen; apart from `translate`, so that the command line shows it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from tyro.conf import arg

from textgen.errors import UserError

_MOST_BEAMS = 50


@dataclass(frozen=True)
class TranslationConfig:
    """How translations are chosen."""

    beam: int = 5
    """Beams kept side by side, widened to n; 1 is greedy."""
    n: Annotated[int, arg(aliases=("-n",))] = 1
    """Translations a line, best first."""
    length_penalty: float = 1.0
    """Power of the length that beam scores are divided by."""

    def __post_init__(self) -> None:
        for name in ("beam", "n"):
            if not 1 <= getattr(self, name) <= _MOST_BEAMS:
                raise UserError(f"{name}: {getattr(self, name)} is outside 1 to {_MOST_BEAMS}")
        if not 0 <= self.length_penalty <= 10:
            raise UserError(f"length_penalty: {self.length_penalty} is outside 0 to 10")


class TranslationSettings(TypedDict, total=False):
    """`TranslationConfig` as keywords."""

    beam: int
    n: int
    length_penalty: float
