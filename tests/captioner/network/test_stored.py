"""A model of before: format 1, made by the commit c533749, captions as it did then."""

import json
import zipfile

import numpy as np
import pytest

from captioner import Captioner
from captioner.network.stored import KIND
from tests.helpers.paths import EXAMPLES, PHOTOS, ROOT
from textgen.storage.bundle import read_header

OLD = (
    ROOT / "tests" / "data" / "captioner-format-1.zip"
)  # a MobileNetV3, most of its weights 0, trained on drawn shapes


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Its folder, and by engine and photo the three captions that it gave then, with their log-probabilities."""
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(OLD) as files:
        files.extractall(folder)
    return folder, json.loads((folder / "captions.json").read_text("utf-8"))


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_model_of_format_1_captions_as_it_did(old, engine):
    folder, told = old
    assert read_header(folder, KIND)["format"] == 1
    captioner, photos = Captioner.load(folder, engine), {path.stem: path for path in PHOTOS}
    for photo, expected in told[engine].items():
        found = captioner.caption(photos[photo], n=3)
        assert [caption.text for caption in found] == [text for text, _ in expected]
        # How 8 bits are rounded may depend on the processor.
        np.testing.assert_allclose(
            [caption.log_prob for caption in found], [log_prob for _, log_prob in expected], atol=0.05
        )


def test_a_model_of_format_1_was_never_calibrated(old):
    assert Captioner.load(old[0]).caption(EXAMPLES / "cat.jpg")[0].confidence is None
