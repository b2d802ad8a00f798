"""Pictures of which no caption is right: noise, flat colours, gradients, pages of text, screens, line drawings.

They are drawn, not collected: a model must say that it is not sure of such, and dev splits of photos have none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WORDS = [
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "I",
    "at",
    "be",
    "this",
    "have",
    "from",
    "or",
    "one",
    "had",
    "by",
]


def odd_pictures(count: int, size: int, seed: int) -> np.ndarray:
    """`count` pictures (count, size, size, 3), uint8, every kind in turn."""
    rng = np.random.default_rng(seed)
    kinds = list(_KINDS)
    return np.stack([np.asarray(kinds[i % len(kinds)](rng, size)) for i in range(count)])


def _flat(rng: np.random.Generator, size: int) -> Image.Image:
    grey = int(rng.choice([0, 0, 255, 128]))
    colour = (grey,) * 3 if rng.random() < 0.6 else tuple(int(c) for c in rng.integers(0, 256, 3))
    return Image.new("RGB", (size, size), colour)


def _noise(rng: np.random.Generator, size: int) -> Image.Image:
    side = int(rng.choice([size, size // 2, size // 8]))
    pixels = rng.integers(0, 256, (side, side, 3 if rng.random() < 0.7 else 1), dtype=np.uint8)
    image = Image.fromarray(np.broadcast_to(pixels, (side, side, 3)).copy())
    return image.resize((size, size), Image.Resampling.NEAREST)


def _gradient(rng: np.random.Generator, size: int) -> Image.Image:
    ends = rng.integers(0, 256, (2, 3))
    along = np.linspace(0, 1, size)[:, None, None]
    pixels = np.broadcast_to(ends[0] + along * (ends[1] - ends[0]), (size, size, 3)).astype(np.uint8)
    return Image.fromarray(np.rot90(pixels, int(rng.integers(4))).copy())


def _page(rng: np.random.Generator, size: int) -> Image.Image:
    """A page of text, or a table."""
    image = Image.new("RGB", (size, size), "white")
    pen, height = ImageDraw.Draw(image), int(rng.integers(8, 20))
    font = ImageFont.load_default(height - 2)
    for y in range(height, size - height, height + int(rng.integers(1, 4))):
        line = " ".join(rng.choice(_WORDS, 16))
        pen.text((size // 12, y), line[: int(rng.integers(5, 70))], fill="black", font=font)
    if rng.random() < 0.4:
        for x in np.linspace(size // 12, size - size // 12, 5):
            pen.line([(x, 0), (x, size)], fill="grey")
    return image


def _screen(rng: np.random.Generator, size: int) -> Image.Image:
    """Windows, bars and buttons."""
    image = Image.new("RGB", (size, size), tuple(int(c) for c in rng.integers(180, 256, 3)))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(10)
    for _ in range(int(rng.integers(3, 9))):
        x, y = (int(v) for v in rng.integers(0, size * 3 // 4, 2))
        w, h = (int(v) for v in rng.integers(size // 8, size // 2, 2))
        pen.rectangle(
            [x, y, x + w, y + h], fill=tuple(int(c) for c in rng.integers(0, 256, 3)), outline="grey"
        )
        pen.text((x + 4, y + 4), " ".join(rng.choice(_WORDS, 3)), fill="black", font=font)
    pen.rectangle([0, 0, size, size // 14], fill="grey")
    return image


def _drawing(rng: np.random.Generator, size: int) -> Image.Image:
    """Lines, circles and polygons on a plain ground."""
    image = Image.new("RGB", (size, size), "white" if rng.random() < 0.7 else "beige")
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 8))):
        colour = "black" if rng.random() < 0.6 else tuple(int(c) for c in rng.integers(0, 200, 3))
        points = [
            tuple(int(v) for v in point) for point in rng.integers(0, size, (int(rng.integers(2, 6)), 2))
        ]
        if rng.random() < 0.5:
            (x0, y0), (x1, y1) = points[:2]
            pen.ellipse([min(x0, x1), min(y0, y1), max(x0, x1) + 1, max(y0, y1) + 1], outline=colour, width=3)
        else:
            pen.line(points, fill=colour, width=int(rng.integers(1, 5)))
    return image


_KINDS: tuple[Callable[[np.random.Generator, int], Image.Image], ...] = (
    _flat,
    _noise,
    _gradient,
    _page,
    _screen,
    _drawing,
)
