"""How captions are chosen; apart from `decoding`, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from textgen.decoding.settings import SamplingConfig
from textgen.errors import UserError

# Of what one picture may be asked for; memory grows with each of them.
_MOST_BEAMS, _MOST_SAMPLES, _LONGEST = 100, 1000, 1000


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are chosen: beam search, or sampling when a temperature is given."""

    n: int = 1
    """Captions a picture."""
    beam: int = 3
    """Beams kept side by side; widened to n."""
    temperature: float | None = None
    """Sample at this temperature instead of beam search; 0 is greedy."""
    top_k: int = 0
    """Sample from the k most likely words only; 0 is all."""
    top_p: float = 1.0
    """Sample from the likeliest words that reach this probability."""
    seed: int | None = None
    """Same seed, same captions, whatever the batch; a fresh one unless told."""
    max_length: int = 30
    """Words; a longer caption is cut and marked."""
    length_penalty: float = 1.0
    """Power of the length that beam scores are divided by."""

    rerank: Annotated[str | None, arg(metavar="NAME|DIR")] = None
    """An energy-based model of `textgen` that chooses among the beams by how they read as sentences."""
    rerank_weight: float = 1.0
    """How much its word counts against the captioner's."""

    def __post_init__(self) -> None:
        most = _MOST_BEAMS if self.temperature is None else _MOST_SAMPLES
        for name, value, limit in (
            ("n", self.n, most),
            ("beam", self.beam, _MOST_BEAMS),
            ("max_length", self.max_length, _LONGEST),
        ):
            if not 1 <= value <= limit:
                raise UserError(f"{name}: {value} is outside 1 to {limit:,}")
        if self.seed is not None and self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")
        if not 0 <= self.length_penalty <= 10:
            raise UserError(f"length_penalty: {self.length_penalty} is outside 0 to 10")
        if self.temperature is None and (self.top_k or self.top_p != 1):
            raise UserError("top_k, top_p: they need a temperature; beam search does not sample")
        if self.rerank and self.temperature is not None:
            raise UserError("rerank: chooses among beams; sampled captions stay as they fell")
        if not 0 <= self.rerank_weight < float("inf"):
            raise UserError(f"rerank_weight: {self.rerank_weight} must be 0 or more")
        self.sampling  # noqa: B018 - refuses a bad temperature, top_k or top_p now, by name

    @property
    def sampling(self) -> SamplingConfig | None:
        if self.temperature is None:
            return None
        return SamplingConfig(self.temperature, self.top_k, self.top_p)

    def describe(self) -> str:
        """The settings that decide a caption, for a report's signature."""
        if self.temperature is None:
            chosen = f"|rerank:{self.rerank}|rerank-weight:{self.rerank_weight:g}" if self.rerank else ""
            beams = f"beam:{self.beam}|length-penalty:{self.length_penalty:g}|max-length:{self.max_length}"
            return beams + chosen
        draw = f"temperature:{self.temperature:g}|top-k:{self.top_k}|top-p:{self.top_p:g}|seed:{self.seed}"
        return f"{draw}|max-length:{self.max_length}"


DEFAULT_DECODING = DecodingConfig()
