"""An encoder in 8 bits: nearly the same contexts, weights stored as they are computed, whatever engine reads them."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from captioner import Captioner
from captioner.network import export, quantize
from captioner.network.encoder import build_encoder
from captioner.network.export import export_model
from captioner.network.model import CaptionModel
from captioner.network.stored import BRIDGE, ENCODER_INT8, model_header, read_model, write_model
from captioner.pictures.load import picture_pixels
from textgen.decoder.config import DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.storage.weights import SCALE


@pytest.fixture(scope="module")
def pixels(shapes):
    return np.stack([picture_pixels(path, 64) for path in sorted((shapes / "Images").iterdir())])


# Of random weights, whose features are small: a trained encoder comes to 0.99.


def test_contexts_are_nearly_the_same_and_not_quite(tiny_model, narrow_model, pixels):
    wide = Captioner.load(tiny_model, "torch").encode(pixels[:8])
    narrow = Captioner.load(narrow_model, "onnx").encode(pixels[:8])
    assert np.corrcoef(wide.ravel(), narrow.ravel())[0, 1] > 0.8
    assert np.abs(wide - narrow).max() > 1e-4


def test_captions_are_mostly_the_same(tiny_model, narrow_model, shapes):
    paths = sorted((shapes / "Images").iterdir())
    captioners = Captioner.load(tiny_model, "torch"), Captioner.load(narrow_model, "onnx")
    said = [[found[0].text for found in captioner.caption(paths)] for captioner in captioners]
    assert np.mean([one == other for one, other in zip(*said, strict=True)]) > 0.5  # chance is an eighth


def test_its_weights_are_stored_in_8_bits_but_for_the_first_convolutions(tiny_model, narrow_model):
    arrays = load_file(narrow_model / bundle.WEIGHTS)
    convolutions = {name: a for name, a in arrays.items() if name.startswith("encoder.") and a.ndim == 4}
    wide = [name for name, array in convolutions.items() if array.dtype != np.int8]
    assert len(wide) == 2 and len(convolutions) > 20
    for name, array in convolutions.items():
        if name not in wide:
            assert arrays[name + SCALE].shape == (len(array),) and np.abs(array).max() <= 127
    sizes = [(path / bundle.WEIGHTS).stat().st_size for path in (tiny_model, narrow_model)]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_batch_equals_singles_and_torch_reads_the_same_weights(narrow_model, pixels):
    captioner = Captioner.load(narrow_model, "onnx")
    together = captioner.encode(pixels[:5])
    for place in range(5):
        assert np.abs(captioner.encode(pixels[place : place + 1])[0] - together[place]).max() < 1e-4
    by_torch = Captioner.load(narrow_model, "torch").encode(pixels[:5])
    assert np.corrcoef(by_torch.ravel(), together.ravel())[0, 1] > 0.8


def test_features_go_into_the_bridge_as_the_bytes_they_are(tiny_model, pixels, tmp_path, monkeypatch):
    # The tiny model's features are no bytes: its last activation computes in float32.
    _, tokenizer, size, header, _ = read_model(tiny_model)
    config = DecoderConfig(**header["config"]["decoder"])
    model = CaptionModel(build_encoder("mobilenet_v2"), RNNDecoder(config))
    graph = export._exported(model, size)
    monkeypatch.setattr(export, "_exported", lambda *_: graph)  # takes long
    models = []
    for name in ("before", "after"):
        models.append(tmp_path / name)
        models[-1].mkdir()
        write_model(models[-1], model, model_header(model, tokenizer, size, header["provenance"]))
        with monkeypatch.context() as patch:
            if name == "before":  # as models were exported that did not know of it
                patch.setattr(quantize, "_whole_bridge", lambda graph, name: {})
            export_model(models[-1], "int8", calibration=pixels[:8])
    graphs = [(folder / f"{ENCODER_INT8}.onnx").read_bytes() for folder in models]
    assert [(BRIDGE + SCALE).encode() in graph for graph in graphs] == [False, True]
    old, new = (Captioner.load(folder, "onnx").encode(pixels[:8]) for folder in models)
    assert np.abs(old).max() > 0 and np.abs(old - new).max() < 1e-5 * np.abs(old).max()


def test_other_graphs_of_packed_weights_are_float32_again(narrow_model, pixels, tmp_path):
    again = shutil.copytree(narrow_model, tmp_path / "again")
    export_model(again, "float32")
    assert not (again / f"{ENCODER_INT8}.onnx").exists() and (again / "encoder.onnx").exists()
    found = Captioner.load(again, "onnx").encode(pixels[:4])
    assert np.allclose(found, Captioner.load(again, "torch").encode(pixels[:4]), atol=1e-3)


def test_a_graph_that_is_missing_is_named(narrow_model, tmp_path):
    torn = shutil.copytree(narrow_model, tmp_path / "torn")
    (torn / f"{ENCODER_INT8}.onnx").unlink()
    with pytest.raises(UserError, match=rf"{ENCODER_INT8}\.onnx cannot be read"):
        Captioner.load(torn, "onnx")
