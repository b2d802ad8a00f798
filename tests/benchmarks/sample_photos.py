"""Photos of any size, made from the examples in the box."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.helpers.paths import EXAMPLES

USUAL, TWELVE_MEGAPIXELS = (640, 480), (4000, 3000)


def jpeg(size: tuple[int, int] = USUAL, name: str = "coffee.jpg") -> bytes:
    """An example as a JPEG of `size`, (width, height)."""
    file = io.BytesIO()
    with Image.open(EXAMPLES / name) as photo:
        photo.resize(size).save(file, "JPEG", quality=88)
    return file.getvalue()


def photos() -> list[bytes]:
    """Each of the examples as a JPEG of 640 x 480 pixels."""
    return [jpeg(name=path.name) for path in sorted(EXAMPLES.glob("*.jpg"))]


def folder_of(count: int, folder: Path) -> None:
    """Fills `folder` with `count` photos, the examples over and over: links, which take no room."""
    files = []
    for index, data in enumerate(photos()):
        files.append(folder / f"original{index}.bin")
        files[-1].write_bytes(data)
    for index in range(count):
        (folder / f"{index:05}.jpg").hardlink_to(files[index % len(files)])


def different(count: int) -> list[bytes]:
    """`count` photos that are all different: the examples, mirrored and cropped a little more each time."""
    names = [path.name for path in sorted(EXAMPLES.glob("*.jpg"))]
    found = []
    for number in range(count):
        turn, name = divmod(number, len(names))
        with Image.open(EXAMPLES / names[name]) as photo:
            width, height = photo.size
            left, top = turn * width // 40, turn % 3 * height // 12
            part = photo.crop((left, top, width - left // 2, height))
            if turn % 2:
                part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            file = io.BytesIO()
            part.resize(USUAL).save(file, "JPEG", quality=88)
        found.append(file.getvalue())
    return found
