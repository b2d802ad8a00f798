"""Folders of photos as bulk jobs are given them."""

from pathlib import Path

from tests.helpers.paths import EXAMPLES

NAMES = ("cat", "coffee", "photographer")


def photo(name: str) -> bytes:
    """One of the examples."""
    return (EXAMPLES / f"{name}.jpg").read_bytes()


def photo_folder(photos: Path) -> Path:
    """Twelve photos in two folders, one that is none, and a file of another kind."""
    for place in range(12):
        path = photos / ("a" if place % 2 else "b") / f"{place:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(NAMES[place % len(NAMES)]))
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("nothing")
    return photos
