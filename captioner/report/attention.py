"""Where a model looked for each word, as a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioner.network.decoding import Caption

_TILE, _LABEL, _GAP = 224, 28, 8  # pixels
_COLUMNS = 5


def heat_map(picture: Image.Image, weights: np.ndarray) -> Image.Image:
    """`picture` dimmed where `weights` (rows, columns), of its grid, are small."""
    # Bicubic, so that the grid's cells do not show; scaled by the strongest cell, or one word looks like noise.
    scaled = Image.fromarray((255 * weights / weights.max()).astype(np.uint8))
    light = np.asarray(scaled.resize(picture.size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    pixels = np.asarray(picture, dtype=np.float32)
    return Image.fromarray((pixels * (0.2 + 0.8 * light[..., None])).astype(np.uint8))


def attention_figure(picture: Image.Image, caption: Caption) -> Image.Image:
    """A sheet with the picture, then a tile a word of `caption`, which was made with `attention=True`."""
    scale = _TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    assert caption.attention is not None, "made without `attention=True`"
    tiles = [picture, *(heat_map(picture, weights) for weights in caption.attention)]
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = size[0] + _GAP, size[1] + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for index, (tile, label) in enumerate(zip(tiles, ["", *caption.words], strict=True)):
        x, y = _GAP + index % columns * width, _GAP + index // columns * height
        draw.text((x, y), label, "black", font)
        sheet.paste(tile, (x, y + _LABEL))
    return sheet
