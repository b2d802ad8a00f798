"""Copies of a picture are found by what they show, not by name, size or format; different pictures are not."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from captioner.pictures.load import load_image
from captioner.pictures.similar import SAME, copies, difference_hash, difference_hashes
from tests.helpers.paths import PHOTOS

CHANGES = {
    "another format": lambda image: image,
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "squashed to a square": lambda image: image.resize((224, 224)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_a_copy_is_found(tmp_path, photo, change):
    path = tmp_path / "copy.webp"
    CHANGES[change](load_image(photo)).save(path, quality=60)
    assert list(copies(difference_hashes([photo, path]))) == [(0, 1)]


def test_different_photos_are_far_apart():
    hashes = difference_hashes(PHOTOS)
    apart = [int((a != b).sum()) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 3 * SAME and list(copies(hashes)) == []


def test_flat_and_unreadable_pictures_are_no_copies_of_one_another(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for n, path in enumerate(paths[:3]):
        Image.new("RGB", (60, 40), (200, 200, 200 + n)).save(path)
    paths[3].write_bytes(b"no picture")
    assert difference_hashes([*paths, tmp_path / "none.png"]) == [None] * 5
    assert list(copies([None] * 5)) == [] == list(copies([]))


def test_all_pairs_are_found_in_blocks(tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.random((7, 256)) < 0.5
    hashes = [*bits, None, bits[2], *(~bits)]
    nearly = bits[5].copy()
    nearly[:SAME] ^= True
    hashes.append(nearly)
    for block in (1, 3, 100):
        assert set(copies(hashes, block)) == {(2, 8), (5, len(hashes) - 1)}
    nearly[SAME] ^= True
    assert set(copies(hashes)) == {(2, 8)}


def test_the_hash_is_a_bit_a_cell():
    assert difference_hash(PHOTOS[0]).shape == (256,)
