"""What training does to a picture: random crops and mirroring, as far as its captions stay true."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from captioner.data.examples import Example

_SIDED = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


def augment(image: Image.Image, size: int, smallest: float, mirror: bool, draws: np.ndarray) -> np.ndarray:
    """A random crop of `image` as a square of pixels (size, size, 3), mirrored half of the time if it may be.

    `draws`: five numbers in [0, 1): area, shape, left, top, mirroring.
    """
    area = smallest + (1 - smallest) * draws[0]
    stretch = 1.2 ** (2 * draws[1] - 1)
    width, height = (min(1.0, (area * s) ** 0.5) for s in (stretch, 1 / stretch))
    left, top = draws[2] * (1 - width), draws[3] * (1 - height)
    box = (
        left * image.width,
        top * image.height,
        (left + width) * image.width,
        (top + height) * image.height,
    )
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if mirror and draws[4] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)


def can_mirror(example: Example) -> bool:
    """Whether the captions stay true of the mirrored picture: none speaks of left or right."""
    return not any(_SIDED.search(caption) for caption in example.captions)
