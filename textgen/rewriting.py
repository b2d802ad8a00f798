"""What only some families can do with a line: fill its gaps, say a part of it otherwise, lead over to another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from textgen.decoding.generate import Generated
from textgen.decoding.settings import GREEDY, SamplingConfig
from textgen.errors import UserError
from textgen.families.diffusion import MASK, line_of
from textgen.families.latent import LatentWriter
from textgen.families.revealing import DiffusionWriter
from textgen.generator import TextGenerator
from textgen.text.tokenizer import EOS, PAD

GAP = "___"
"""How a gap of one to four words is written: two underscores or more."""
_GAPS = re.compile("_{2,}")
_MOST = 100  # lines that are asked for


def fill(
    generator: TextGenerator, text: str, n: int = 1, temperature: float = 0.8, seed: int = 0
) -> list[str]:
    """`n` lines with the gaps of `text` filled, as in `a dog ___ on the ___`; of a diffusion model.

    What stands around the gaps stays as typed; of words that it does not know the model knows only that they are there
    (`TextGenerator.known` names them). Raises UserError for a model of another family, a text without a gap, and one that is
    too long.
    """
    writer = _diffusion(generator)
    _check(n, seed)
    if not _GAPS.search(text):
        raise UserError(f"fill: {text!r} has no gap; write one as {GAP}, as in: a dog {GAP} on the {GAP}")
    typed = _GAPS.split(" ".join(text.split()))
    parts: list[Sequence[int] | None] = []
    for place, part in enumerate(typed):
        parts += [None] if place else []
        parts += [generator.known(part).ids] if part else []
    found = writer.filled_in(parts, SamplingConfig(temperature), seed, range(n))
    return [_joined(typed, [generator.tokenizer.decode(gap) for gap in gaps]) for gaps in found]


def _joined(typed: Sequence[str], gaps: Sequence[str]) -> str:
    """What was typed with what stands in its gaps between."""
    return "".join(part for pair in zip(typed, [*gaps, ""], strict=True) for part in pair).strip()


def revise(
    generator: TextGenerator,
    text: str,
    n: int = 1,
    share: float = 0.4,
    temperature: float = 0.8,
    seed: int = 0,
) -> list[str]:
    """`n` lines like `text`, a `share` of its words told anew wherever they stand; of a diffusion model. Raises UserError."""
    writer = _diffusion(generator)
    _check(n, seed)
    if not 0 < share <= 1:
        raise UserError(f"share: {share} must be above 0 and at most 1")
    if _GAPS.search(text):
        raise UserError(
            f"revise: {text!r} has gaps, which are filled, not revised; leave --revise out, or the gaps"
        )
    ids = _line(generator, text)[:-1]
    found = writer.revised(ids, share, SamplingConfig(temperature), seed, range(n))
    return [generator.tokenizer.decode(line) for line in found]


def appearing(
    generator: TextGenerator, temperature: float = 0.8, seed: int = 0, gap: str = "▁"
) -> Iterator[str]:
    """A diffusion model's line as it appears, a stage each time; `gap` stands where a word is still hidden."""
    writer = _diffusion(generator)
    _check(1, seed)
    for stage in writer.stages(temperature, seed):
        ids = stage.ids[0].tolist()
        shown = line_of(ids) if MASK not in ids else [token for token in ids if token not in (EOS, PAD)]
        yield " ".join(gap if token == MASK else generator.tokenizer.tokens[token] for token in shown)


def between(generator: TextGenerator, first: str, last: str, n: int = 7) -> list[str]:
    """`n` lines on the way from one to another through the latent space of a vae or a flow, both ends as it says them.

    Raises UserError for a model of another family, and for an `n` below 2.
    """
    writer = _latent(generator)
    if not 2 <= n <= _MOST:
        raise UserError(f"n: {n} is outside 2 to {_MOST}")
    way = writer.between(_line(generator, first), _line(generator, last), n)
    return _spoken(generator, writer.speak(way))


def near(generator: TextGenerator, text: str, n: int = 5, seed: int = 0) -> list[str]:
    """`n` lines of latent vectors that a vae or a flow takes for `text`'s: what is near it in its latent space."""
    writer = _latent(generator)
    _check(n, seed)
    posterior = writer.posterior([_line(generator, text)])
    rngs = [np.random.default_rng((seed, row)) for row in range(n)]
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


def _line(generator: TextGenerator, text: str) -> list[int]:
    ids = generator.known(" ".join(text.split())).ids
    if not ids:
        raise UserError("text: is empty; give a line of words")
    return [*ids, EOS]


def _spoken(generator: TextGenerator, lines: Sequence[Generated]) -> list[str]:
    return [generator.tokenizer.decode(line.ids) for line in lines]


def _check(n: int, seed: int) -> None:
    if not 1 <= n <= _MOST:
        raise UserError(f"n: {n} is outside 1 to {_MOST}")
    if seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
