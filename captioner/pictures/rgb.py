"""Any mode of a decoded picture - deep grey, palettes, transparency - to 8-bit RGB as a viewer shows it."""

import numpy as np
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture as RGB: deep grey scaled to 8 bits, transparency on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey_to_8_bits(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")  # a copy, even of RGB


def _grey_to_8_bits(image: Image.Image) -> np.ndarray:
    """(height, width) uint8 of deep grey, scaled by the range of its format where that is known."""
    grey: np.ndarray = np.asarray(image, dtype=np.float64 if image.mode == "F" else np.float32)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        low, high = 0.0, 65535.0
    else:
        # 32 bits have no customary white: take the least customary range that holds the values, or their own.
        finite = grey[np.isfinite(grey)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        tops = [top for top in (1.0, 255.0, 65535.0) if high <= top and (top > 1 or image.mode == "F")]
        if low >= 0 and tops:
            low, high = 0.0, tops[0]
    scaled = (grey - low) * (255 / max(high - low, 1e-30))
    bright = np.nan_to_num(scaled.clip(0, 255).round()).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):  # Pillow applies this key to 8 bits only
        bright[grey == clear] = 255
    return bright
