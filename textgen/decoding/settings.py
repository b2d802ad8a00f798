"""How tokens are chosen and which may come; apart from what does it, so that command lines show it without numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from textgen.errors import UserError


@dataclass(frozen=True)
class SamplingConfig:
    """How one of the possible tokens is chosen."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most likely token, whatever else is set."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the fewest tokens whose probabilities reach p (Holtzman et al. 2020); at least one."""
    min_p: float = 0.0
    """Drop tokens less likely than this share of the most likely one."""

    def __post_init__(self) -> None:
        if math.isnan(self.temperature) or self.temperature < 0 or math.isinf(self.temperature):
            raise UserError(f"temperature: {self.temperature} must be 0 (greedy) or a positive number")
        if self.top_k < 0:
            raise UserError(f"top_k: {self.top_k} must be 0 (all) or more")
        for name in ("top_p", "min_p"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


GREEDY = SamplingConfig(temperature=0)


@dataclass(frozen=True)
class Constraints:
    """What may come next, for sampling and beams alike."""

    banned: tuple[int, ...] = ()
    """Ids never produced."""
    required: tuple[int, ...] = ()
    """Ids that must appear before the end; pressed in at the last moment if they never come."""
    not_final: tuple[int, ...] = ()
    """Ids after which the text may not end, such as `a` or `with`."""
    min_length: int = 0
    """Tokens before the end is allowed."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens produced before (Keskar et al. 2019); 1 is off."""
    repetition_window: int = 0
    """How many tokens back that looks; 0 looks at all. Of characters, all have soon been produced."""
    no_repeat_ngram: int = 0
    """No n-gram of this many tokens twice; 0 is off."""

    def __post_init__(self) -> None:
        for name in ("banned", "required", "not_final"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # Further out the products overflow and leave a row without a candidate.
        if not 0.01 <= self.repetition_penalty <= 100:
            raise UserError(f"repetition_penalty: {self.repetition_penalty} is outside 0.01 to 100")
        for name, zero in (("no_repeat_ngram", "off"), ("repetition_window", "all")):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: {getattr(self, name)} must be 0 ({zero}) or more")
        if clash := set(self.required) & set(self.banned):
            raise UserError(f"required: {sorted(clash)[0]} is banned too")
