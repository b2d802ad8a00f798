"""An encoder in 8 bits: nearly the same contexts, weights stored as they are computed, whatever engine reads them."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from captioner import Captioner
from captioner.cli import main
from captioner.network.export import export_model
from captioner.network.stored import ENCODER_INT8
from captioner.pictures.load import picture_pixels
from tests.helpers.command_lines import run_command
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.storage.weights import SCALE


@pytest.fixture(scope="module")
def pixels(shapes):
    return np.stack([picture_pixels(path, 64) for path in sorted((shapes / "Images").iterdir())])


@pytest.fixture(scope="module")
def folders(tiny_model, pixels, tmp_path_factory):
    """The tiny model in float32, and with its encoder in 8 bits."""
    root = tmp_path_factory.mktemp("models")
    wide, narrow = (
        shutil.copytree(tiny_model, root / name, ignore=shutil.ignore_patterns("training"))
        for name in ("wide", "narrow")
    )
    export_model(wide, "float32")
    export_model(narrow, "int8", calibration=pixels)
    return wide, narrow


# Of random weights, whose features are small: a trained encoder comes to 0.99.


def test_contexts_are_nearly_the_same_and_not_quite(folders, pixels):
    wide, narrow = (Captioner.load(folder, "onnx").encode(pixels[:8]) for folder in folders)
    assert np.corrcoef(wide.ravel(), narrow.ravel())[0, 1] > 0.8
    assert np.abs(wide - narrow).max() > 1e-4


def test_captions_are_mostly_the_same(folders, shapes):
    paths = sorted((shapes / "Images").iterdir())
    said = [[found[0].text for found in Captioner.load(folder, "onnx").caption(paths)] for folder in folders]
    assert np.mean([one == other for one, other in zip(*said, strict=True)]) > 0.7


def test_its_weights_are_stored_in_8_bits_but_for_the_first_convolutions(folders):
    arrays = load_file(folders[1] / bundle.WEIGHTS)
    convolutions = {name: a for name, a in arrays.items() if name.startswith("encoder.") and a.ndim == 4}
    wide = [name for name, array in convolutions.items() if array.dtype != np.int8]
    assert len(wide) == 2 and len(convolutions) > 20
    for name, array in convolutions.items():
        if name not in wide:
            assert arrays[name + SCALE].shape == (len(array),) and np.abs(array).max() <= 127
    sizes = [(folder / bundle.WEIGHTS).stat().st_size for folder in folders]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_batch_equals_singles_and_torch_reads_the_same_weights(folders, pixels):
    captioner = Captioner.load(folders[1], "onnx")
    together = captioner.encode(pixels[:5])
    for place in range(5):
        assert np.abs(captioner.encode(pixels[place : place + 1])[0] - together[place]).max() < 1e-4
    by_torch = Captioner.load(folders[1], "torch").encode(pixels[:5])
    assert np.corrcoef(by_torch.ravel(), together.ravel())[0, 1] > 0.8


def test_other_graphs_of_packed_weights_are_float32_again(folders, pixels, tmp_path):
    folder = shutil.copytree(folders[1], tmp_path / "again")
    export_model(folder, "float32")
    assert not (folder / f"{ENCODER_INT8}.onnx").exists() and (folder / "encoder.onnx").exists()
    found = Captioner.load(folder, "onnx").encode(pixels[:4])
    assert np.allclose(found, Captioner.load(folder, "torch").encode(pixels[:4]), atol=1e-3)


def test_the_command_line_makes_it_of_a_data_set(tiny_model, shapes, tmp_path, capsys):
    folder = shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("training"))
    status, _, err = run_command(main, capsys, "export", folder, "--pictures", shapes)
    assert status == 0, err
    assert (folder / f"{ENCODER_INT8}.onnx").is_file()
    assert len(Captioner.load(folder).caption(next((shapes / "Images").iterdir()))[0].words) > 2


def test_a_graph_that_is_missing_is_named(folders, tmp_path):
    folder = shutil.copytree(folders[1], tmp_path / "torn")
    (folder / f"{ENCODER_INT8}.onnx").unlink()
    with pytest.raises(UserError, match=rf"{ENCODER_INT8}\.onnx cannot be read"):
        Captioner.load(folder, "onnx")
