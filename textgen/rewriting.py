"""What only some families can do with a line: fill its gaps, lead over to another, say it a little otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from textgen.decoding.generate import Generated
from textgen.decoding.sampling import GREEDY, SamplingConfig
from textgen.errors import UserError
from textgen.families.diffusion import MASK, DiffusionWriter
from textgen.families.latent import LatentWriter
from textgen.generator import TextGenerator
from textgen.text.tokenizer import EOS, PAD

GAP = "___"
"""How a gap of one to four words is written: two underscores or more."""
_GAPS = re.compile(r"\s*_{2,}\s*")
_MOST = 100  # lines that are asked for


def fill(
    generator: TextGenerator, text: str, n: int = 1, temperature: float = 0.8, seed: int = 0
) -> list[str]:
    """`n` lines with the gaps of `text` filled, as in `a dog ___ on the ___`; of a diffusion model.

    Raises UserError for a model of another family, a text without a gap, and one that is too long.
    """
    writer = _diffusion(generator)
    _check_count(n)
    if not _GAPS.search(text):
        raise UserError(f"fill: {text!r} has no gap; write one as {GAP}, as in: a dog {GAP} on the {GAP}")
    parts = _parts(generator, text)
    found = writer.filled_in(parts, SamplingConfig(temperature), _checked(seed), range(n))
    return [generator.tokenizer.decode(line) for line in found]


def appearing(
    generator: TextGenerator, temperature: float = 0.8, seed: int = 0, gap: str = "▁"
) -> Iterator[str]:
    """A diffusion model's line as it appears, a stage each time; `gap` stands where a word is still hidden."""
    writer = _diffusion(generator)
    rng = np.random.default_rng((_checked(seed), 0))
    given = np.full((1, writer.places), MASK)
    for stage in writer.stages(given, SamplingConfig(temperature), [rng], np.array([1])):
        ids = stage[0].tolist()
        ids = ids[: ids.index(EOS)] if EOS in ids else ids
        yield " ".join(
            gap if token == MASK else generator.tokenizer.tokens[token] for token in ids if token != PAD
        )


def between(generator: TextGenerator, first: str, last: str, steps: int = 7) -> list[str]:
    """Lines on the way from one to another through the latent space of a vae or a flow, both ends as it says them.

    Raises UserError for a model of another family, and for fewer than 2 `steps`.
    """
    writer = _latent(generator)
    if not 2 <= steps <= _MOST:
        raise UserError(f"steps: {steps} is outside 2 to {_MOST}")
    way = writer.between(_line(generator, first), _line(generator, last), steps)
    return _spoken(generator, writer.speak(way))


def near(generator: TextGenerator, text: str, n: int = 5, seed: int = 0) -> list[str]:
    """`n` lines of latent vectors that a vae or a flow takes for `text`'s: what is near it in its latent space."""
    writer = _latent(generator)
    _check_count(n)
    posterior = writer.posterior([_line(generator, text)])
    rngs = [np.random.default_rng((_checked(seed), row)) for row in range(n)]
    noise = np.stack([rng.standard_normal(writer.latent_size) for rng in rngs])
    return _spoken(generator, writer.speak(posterior.sample(noise), GREEDY))


def _diffusion(generator: TextGenerator) -> DiffusionWriter:
    if not isinstance(generator.writer, DiffusionWriter):
        raise UserError(f"{_family(generator)} writes from left to right; a diffusion model fills gaps")
    return generator.writer


def _latent(generator: TextGenerator) -> LatentWriter:
    if not isinstance(generator.writer, LatentWriter):
        raise UserError(f"{_family(generator)} has no latent space; a vae or a flow has one")
    return generator.writer


def _family(generator: TextGenerator) -> str:
    return f"model: a model of the family {generator.header['config'].get('family', 'autoregressive')}"


def _parts(generator: TextGenerator, text: str) -> list[Sequence[int] | None]:
    """What is given of a line, None where there is a gap."""
    parts: list[Sequence[int] | None] = []
    for place, part in enumerate(_GAPS.split(text.strip())):
        parts += [None] if place else []
        parts += [generator.tokenizer.encode(part)] if part else []
    return parts


def _line(generator: TextGenerator, text: str) -> list[int]:
    ids = generator.tokenizer.encode(" ".join(text.split()))
    if not ids:
        raise UserError("text: is empty; give a line of words")
    return [*ids, EOS]


def _spoken(generator: TextGenerator, lines: Sequence[Generated]) -> list[str]:
    return [generator.tokenizer.decode(line.ids) for line in lines]


def _check_count(n: int) -> None:
    if not 1 <= n <= _MOST:
        raise UserError(f"n: {n} is outside 1 to {_MOST}")


def _checked(seed: int) -> int:
    if seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
    return seed
