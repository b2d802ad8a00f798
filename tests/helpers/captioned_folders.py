"""Captioned pictures written to disk, for the tests of what reads them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner.data.examples import Dataset, load_dataset
from textgen.errors import UserError


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def write(file: Path, text: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def table(folder: Path, *rows: str, header: str = "image,caption", name: str = "captions.txt") -> Path:
    return write(folder / name, "\n".join([header, *rows]) + "\n")


def captions(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {e.id: e.captions for e in dataset.examples}


def splits(dataset: Dataset) -> dict[str, str]:
    return {e.id: e.split for e in dataset.examples}


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def refuses(path: Path, *words: str) -> None:
    refused(lambda: load_dataset(path), *words)


def coco(folder: Path, name: str, *items: tuple[int, str, str]) -> Path:
    images = [{"id": i, "file_name": f} for i, f, _ in items]
    notes = [{"image_id": i, "caption": c} for i, _, c in items if c]
    return write(folder / name, json.dumps({"info": {}, "images": images, "annotations": notes}))
