"""Promise 2: loading a model never runs code and never half-succeeds (row 10)."""

import dataclasses
import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from captioner.network.encoder import build_encoder
from captioner.network.model import CaptionModel
from captioner.network.stored import KIND, model_header, read_model, write_model
from captioner.training.config import TrainConfig
from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.text.tokenizer import WordTokenizer

WORDS = ["a", "dog", "runs", "on", "grass"]
HEADER = {"kind": KIND, "config": {"size": 3}, "vocabulary": {"tokens": ["a"]}, "provenance": {"seed": 1}}
ARRAYS = {"matrix": np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4), "bias": np.zeros(4, np.float32)}


def refusal(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def provenance():
    return {
        "command": "captioner train data --out model",
        "data": "CSV",
        "data_hash": "0" * 64,
        "pictures": {"train": 2, "dev": 1},
        "settings": dataclasses.asdict(TrainConfig()),
        "dev": {},
        "torch": torch.__version__,
    }


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"embedding_size": 16, "hidden_size": 16, "context_size": 16, "attention_heads": 2}
    decoder = RNNDecoder(DecoderConfig(vocab_size=len(WORDS) + 4, **sizes))
    return CaptionModel(build_encoder("mobilenet_v3_small"), decoder).eval()


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, model, model_header(model, WordTokenizer(WORDS), 64, provenance()))
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    """The stored model, to be damaged."""
    for path in stored.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


# --- what is written is what is read


def test_a_bundle_comes_back_as_it_was_written(tmp_path):
    bundle.write(tmp_path / "new", HEADER, ARRAYS, "# Card\n")
    found = bundle.read(tmp_path / "new", KIND)
    assert found.header == {"format": 1, **HEADER} == bundle.read_header(tmp_path / "new", KIND)
    assert found.hash == hashlib.sha256((tmp_path / "new" / bundle.WEIGHTS).read_bytes()).hexdigest()
    assert found.weights.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.weights[name].dtype == np.float32
        np.testing.assert_array_equal(found.weights[name], array.astype(np.float16))
    assert (tmp_path / "new" / bundle.CARD).read_text() == "# Card\n"


def test_a_caption_model_comes_back_with_the_same_function(model, stored):
    read, tokenizer, size, header, _ = read_model(stored)
    assert tokenizer == WordTokenizer(WORDS) and size == 64
    assert header == {"format": 1, **model_header(model, tokenizer, 64, provenance())}
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], tensor, rtol=2**-11, atol=2**-24)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    torch.testing.assert_close(read.eval().context(pixels), model.context(pixels), rtol=0.02, atol=0.01)


@pytest.mark.parametrize("value", [65520.0, -1e6, float("inf"), float("nan")])
def test_weights_beyond_float16_are_refused_and_nothing_is_written(tmp_path, value):
    message = refusal(bundle.write, tmp_path, HEADER, {**ARRAYS, "big": np.array([1.0, value])}, "card")
    assert message.startswith("big: not finite in float16")
    assert list(tmp_path.iterdir()) == []


def test_the_largest_float16_is_kept(tmp_path):
    bundle.write(tmp_path, HEADER, {"big": np.array([65504.0, -65504.0])}, "card")
    assert bundle.read(tmp_path, KIND).weights["big"].tolist() == [65504.0, -65504.0]


# --- row 10: the header


def edited(**changes):
    def edit(text):
        header = {**json.loads(text), **changes}
        return json.dumps({key: value for key, value in header.items() if value is not None})

    return edit


def decoder(**changes):
    def edit(text):
        header = json.loads(text)
        header["config"]["decoder"].update(changes)
        return json.dumps(header)

    return edit


HEADERS = {
    "empty": (lambda text: "", "not JSON, or damaged"),
    "truncated": (lambda text: text[: len(text) // 2], "not JSON, or damaged"),
    "not JSON": (lambda text: "<!DOCTYPE html>\n<title>404</title>\n", "not JSON, or damaged"),
    "not UTF-8": (lambda text: b"\xff\xfe{}", "not JSON, or damaged"),
    "a list": (lambda text: "[1, 2]", "it has no format number"),
    "a list too deep": (lambda text: "[" * 100_000, "not JSON, or damaged"),
    "no format": (edited(format=None), "it has no format number"),
    "a format in words": (edited(format="one"), "it has no format number"),
    "a newer format": (edited(format=bundle.FORMAT + 1), "is newer than this program knows"),
    "a format below the first": (edited(format=0), "format 0 is none of this program's"),
    "another kind": (edited(kind="textgen"), "a model of kind 'textgen', not 'captioner'"),
    "no kind": (edited(kind=None), "a model of kind None"),
    "no config": (edited(config=None), "config is missing"),
    "config is a list": (edited(config=[]), "config is missing"),
    "no vocabulary": (edited(vocabulary=None), "vocabulary is missing"),
    "no provenance": (edited(provenance=None), "provenance is missing"),
    "no decoder": (edited(config={"encoder": "resnet18"}), "damaged: 'decoder'"),
    "no preprocessing": (edited(preprocessing=None), "damaged: 'preprocessing'"),
    "a size in words": (edited(preprocessing={"size": "large"}), "large"),
    "another vocabulary size": (decoder(vocab_size=8), "the vocabulary has 9 entries, the model 8"),
    "an unknown cell": (decoder(cell="lstmm"), "cell: unknown 'lstmm'"),
    "an unknown option": (decoder(colour="red"), "damaged: "),
    "sizes in words": (decoder(hidden_size="wide"), "damaged: "),
    "a fraction as a size": (decoder(hidden_size=16.0), "damaged: "),
    "a size beyond any memory": (decoder(hidden_size=2**40), "damaged: "),
    "a picture of no pixels": (edited(preprocessing={"size": 0}), "size"),
    "a picture beyond any memory": (edited(preprocessing={"size": 10**9}), "size"),
    "numbers as words": (edited(vocabulary={"kind": "word", "tokens": [1, 2, 3, 4, 5]}), "vocabulary: "),
    "a word twice": (edited(vocabulary={"kind": "word", "tokens": ["a", "a"]}), "'a' is in it twice"),
    "an unknown vocabulary": (edited(vocabulary={"kind": "bpe", "tokens": []}), "unknown kind 'bpe'"),
}


@pytest.mark.parametrize(("damage", "expected"), HEADERS.values(), ids=HEADERS)
def test_a_wrong_header_is_one_line_that_names_it(folder, damage, expected):
    path = folder / bundle.HEADER
    text = damage(path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    message = refusal(read_model, folder)
    assert message.startswith(str(folder)) and path.name in message and expected in message


def test_an_unknown_encoder_names_the_file_and_the_nearest(folder):
    path = folder / bundle.HEADER
    path.write_text(path.read_text().replace('"mobilenet_v3_small"', '"mobilenet_v3_smal"'))
    message = refusal(read_model, folder)
    assert message.startswith(
        f"{path}: encoder: unknown 'mobilenet_v3_smal'; did you mean mobilenet_v3_small?"
    )


def test_a_folder_that_is_no_model_is_named(tmp_path):
    assert refusal(read_model, tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"
    assert refusal(read_model, tmp_path) == f"{tmp_path}: not a model folder: it has no model.json"
    (tmp_path / "photo.jpg").write_bytes(b"")
    assert refusal(read_model, tmp_path / "photo.jpg").startswith(f"{tmp_path / 'photo.jpg'}")


# --- row 10: the weights


def lying_length(data):
    return struct.pack("<Q", 2**40) + data[8:]


WEIGHTS = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "longer than its header says": lambda data: data + b"more",
    "a header longer than the file": lying_length,
    "zeros": lambda data: bytes(len(data)),
    "html": lambda data: b"<!DOCTYPE html>\n<title>404</title>",
    "of an unknown type": lambda data: data.replace(b'"F16"', b'"Q16"'),
}


@pytest.mark.parametrize("damage", WEIGHTS.values(), ids=WEIGHTS)
def test_damaged_weights_are_one_line_that_names_the_file(folder, damage):
    path = folder / bundle.WEIGHTS
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(read_model, folder) == f"{path}: not a safetensors file, or truncated"


@pytest.mark.parametrize("save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
def test_a_pickle_renamed_is_refused_and_runs_nothing(folder, save):
    path = folder / bundle.WEIGHTS
    save(Bomb(folder / "ran"), path)
    assert refusal(read_model, folder) == f"{path}: not a safetensors file, or truncated"
    assert not (folder / "ran").exists()


def test_what_is_no_folder_is_said_so(folder):
    file = folder / bundle.HEADER
    assert refusal(read_model, file) == f"{file}: not a folder; give the folder of a model"
    assert refusal(read_model, Path("a\0b")) == r"'a\x00b': no such folder"


def test_missing_weights_are_named(folder):
    (folder / bundle.WEIGHTS).unlink()
    assert refusal(read_model, folder).startswith(f"{folder / bundle.WEIGHTS}: cannot be read: No such file")


NAME = "decoder.output_bias"
TENSORS = {
    "NaN": ({NAME: np.full(9, np.nan, np.float16)}, f"{NAME!r} holds NaN or infinite numbers"),
    "infinite": ({NAME: np.full(9, -np.inf, np.float32)}, f"{NAME!r} holds NaN or infinite numbers"),
    "finite in float64 only": ({NAME: np.full(9, 1e300)}, f"{NAME!r} holds NaN or infinite numbers"),
    "missing": ({NAME: None}, f"{NAME} is missing"),
    "extra": ({"decoder.extra": np.zeros(2)}, "'decoder.extra' does not belong to this model"),
    "with a name of two lines": ({"a\nb": np.zeros(2)}, "'a\\nb' does not belong to this model"),
    "of another shape": ({NAME: np.zeros(8)}, f"{NAME} is (8,), model.json says (9,)"),
}


@pytest.mark.parametrize(("changes", "expected"), TENSORS.values(), ids=TENSORS)
def test_a_wrong_tensor_is_named(folder, changes, expected):
    path = folder / bundle.WEIGHTS
    tensors = {**load_file(path), **changes}
    save_file({name: array for name, array in tensors.items() if array is not None}, path)
    assert refusal(read_model, folder) == f"{path}: {expected}"
