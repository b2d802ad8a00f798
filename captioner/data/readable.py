"""Which pictures of a data set cannot be read: asked of all of them before a training begins, not by each as its turn comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from captioner.data.examples import Example
from captioner.pictures.load import picture_pixels
from captioner.pictures.refusals import ImageError

_NAMED = 50  # pictures in a message


def unreadable(examples: Sequence[Example], size: int) -> dict[str, str]:
    """Ids of the pictures that cannot be read to `size` pixels a side, and why not; a few hundred a second and core."""
    from tqdm import tqdm

    with ThreadPoolExecutor() as threads:
        found = threads.map(partial(_why_not, size=size), examples)
        watched = tqdm(found, total=len(examples), desc="pictures", mininterval=1, leave=False)
        return {example.id: why for example, why in zip(examples, watched, strict=True) if why}


def _why_not(example: Example, size: int) -> str | None:
    try:
        picture_pixels(example.path, size)
    except ImageError as error:
        return str(error)
    return None


def named(bad: Mapping[str, str]) -> str:
    """All of them in a line: how many, each with its reason, the first where there are many."""
    shown = "; ".join(list(bad.values())[:_NAMED])
    more = f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    return f"{len(bad):,} picture{'s' * (len(bad) != 1)} cannot be read: {shown}{more}"
