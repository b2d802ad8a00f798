"""Which engine steps a model, and what is said of graphs that are missing, damaged or of another model (row 10)."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from captioner import Captioner
from captioner.network.encoder import build_encoder
from captioner.network.export import export_model as export_captioner
from captioner.network.model import CaptionModel
from captioner.network.stored import model_header, write_model
from tests.conftest import draw
from tests.helpers.onnx_models import copied, decoder
from tests.helpers.paths import ROOT
from tests.helpers.text_models import assert_one_line, run, trained
from tests.textgen.storage.test_bundle import WORDS, provenance, refusal
from textgen.decoder.config import DecoderConfig
from textgen.engine import choice as engine_choice
from textgen.engine.choice import choose_engine
from textgen.engine.onnx import OnnxEngine
from textgen.engine.text_model import load_model
from textgen.engine.torch import TorchEngine
from textgen.graphs.text_model import export_model
from textgen.storage import bundle
from textgen.storage.graphs import FORMAT
from textgen.text.tokenizer import WordTokenizer

pytestmark = pytest.mark.slow  # exports models and starts processes


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A model of each package with graphs, and its twin of other weights."""
    folder = tmp_path_factory.mktemp("models")
    text, pictures = copied(trained("lines"), folder / "textgen-one"), folder / "captioner-one"
    export_model(text, "int8")
    config = DecoderConfig(
        len(WORDS) + 4, embedding_size=16, hidden_size=16, context_size=16, attention_heads=2
    )
    torch.manual_seed(0)
    model = CaptionModel(build_encoder("mobilenet_v3_small"), decoder(config)).eval()
    write_model(pictures, model, model_header(model, WordTokenizer(WORDS), 64, provenance()))
    export_captioner(pictures, "int8")
    for one in (text, pictures):
        replace_weights(copied(one, folder / one.name.replace("-one", "-other")), 1)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(params=["textgen", "captioner"])
def package(request):
    return request.param


@pytest.fixture
def folder(package, stored, tmp_path):
    """A model with graphs, to be damaged."""
    return copied(stored[f"{package}-one"], tmp_path / package)


def load(package, folder, engine="auto"):
    return load_model(folder, engine) if package == "textgen" else Captioner.load(folder, engine)


def engine_of(package, folder, engine="auto"):
    loaded = load(package, folder, engine)
    return type(loaded[0] if package == "textgen" else loaded._engine)


def replace_weights(folder, change):
    path = folder / bundle.WEIGHTS
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("output_bias"))
    save_file({**tensors, name: tensors[name] + np.float16(change)}, path)


def graphs(**changes):
    def edit(folder, other):
        path = folder / bundle.HEADER
        header = json.loads(path.read_text())
        said = {**header["graphs"], **changes}
        header["graphs"] = {name: value for name, value in said.items() if value is not None}
        path.write_text(json.dumps(header))

    return edit


def section(value):
    def edit(folder, other):
        path = folder / bundle.HEADER
        path.write_text(json.dumps({**json.loads(path.read_text()), "graphs": value}))

    return edit


def other_sizes(folder, other):
    path = folder / bundle.HEADER
    header = json.loads(path.read_text())
    if "preprocessing" in header:
        header["preprocessing"]["size"] = 96
    else:
        header["config"]["decoder"]["attention_heads"] = 2  # of no effect without a context
    path.write_text(json.dumps(header))


def file(name, change):
    def edit(folder, other):
        (folder / name).write_bytes(change((folder / name).read_bytes(), (other / name).read_bytes()))

    return edit


def rewritten(data):
    """The graph that a model runs first is none, and `model.json` says that it should be there."""

    def edit(folder, other):
        said = json.loads((folder / bundle.HEADER).read_text())["graphs"]["files"]
        name = "search" if "start" in said else "step"
        (folder / f"{name}.onnx").write_bytes(data)
        graphs(files={**said, name: hashlib.sha256(data).hexdigest()})(folder, other)

    return edit


def without(name):
    def edit(folder, other):
        said = json.loads((folder / bundle.HEADER).read_text())["graphs"]["files"]
        graphs(files={key: value for key, value in said.items() if key != name})(folder, other)

    return edit


# What is done to a model -> the file that is named, and what is said of it.
DAMAGE = {
    "a graph is missing": (lambda folder, other: (folder / "step.onnx").unlink(), "step.onnx", "cannot be"),
    "a graph is a folder": (
        lambda folder, other: ((folder / "read.onnx").unlink(), (folder / "read.onnx").mkdir()),
        "read.onnx",
        "cannot be read: Is a directory",
    ),
    "a graph is empty": (file("step.onnx", lambda data, other: b""), "step.onnx", "truncated"),
    "half a graph": (file("read.onnx", lambda data, other: data[: len(data) // 2]), "read.onnx", "truncated"),
    "a graph's last byte": (file("step.onnx", lambda data, other: data[:-1]), "step.onnx", "truncated"),
    "a longer graph": (file("step.onnx", lambda data, other: data + b"x"), "step.onnx", "another model"),
    "weights replaced": (
        lambda folder, other: replace_weights(folder, 0.5),
        bundle.WEIGHTS,
        "not the weights that the graphs are of",
    ),
    "weights of another model": (
        file(bundle.WEIGHTS, lambda data, other: other),
        bundle.WEIGHTS,
        "not the weights that the graphs are of",
    ),
    "a newer format": (
        graphs(format=FORMAT + 1),
        bundle.HEADER,
        "newer than this program knows",
    ),
    "an older format": (
        graphs(format=FORMAT - 1),
        bundle.HEADER,
        "older than this program reads",
    ),
    "a format below the first": (graphs(format=0), bundle.HEADER, "graphs"),
    "no format": (graphs(format=None), bundle.HEADER, "damaged"),
    "a format in words": (graphs(format="one"), bundle.HEADER, "damaged"),
    "a list": (section([1]), bundle.HEADER, "damaged"),
    "a word": (section("yes"), bundle.HEADER, "damaged"),
    "another size of the picture, or of the decoder": (other_sizes, bundle.HEADER, "not the config that"),
    "no files": (graphs(files=None), bundle.HEADER, "damaged"),
    "files in a list": (graphs(files=["step", "read"]), bundle.HEADER, "damaged"),
    "a file with a NUL": (graphs(files={"a\0b": ""}), bundle.HEADER, "damaged"),
    "no graph": (graphs(files={}), bundle.HEADER, "damaged"),
    "the step is not among them": (without("step"), bundle.HEADER, "damaged"),
    "nor the whole text": (without("read"), bundle.HEADER, "damaged"),
    "no weights": (graphs(weights=None), bundle.WEIGHTS, "not the weights"),
    "no precision": (graphs(precision=None), bundle.HEADER, "precision"),
    "an unknown precision": (graphs(precision="int4"), bundle.HEADER, "precision: unknown 'int4'"),
    "a precision in a list": (graphs(precision=["int8"]), bundle.HEADER, "precision"),
    "another precision": (graphs(precision="float32"), bundle.WEIGHTS, "does not fit the weights"),
    "a graph that is none": (rewritten(b"<!DOCTYPE html>\n"), bundle.WEIGHTS, "does not fit"),
    "a graph of nothing": (rewritten(b""), bundle.WEIGHTS, "does not fit"),
}


@pytest.mark.parametrize(("damage", "file", "said"), DAMAGE.values(), ids=DAMAGE)
def test_graphs_that_do_not_belong_are_one_line_that_names_the_file_and_the_cure(
    package, folder, stored, damage, file, said
):
    damage(folder, stored[f"{package}-other"])
    for engine in ("auto", "onnx"):
        message = refusal(load, package, folder, engine)
        assert message.startswith(str(folder / file)) and said in message
        assert f"{package} export {folder}" in message
    assert engine_of(package, folder, "torch") is TorchEngine  # which needs no graphs
    if package == "textgen":
        if (folder / "read.onnx").is_dir():
            (folder / "read.onnx").rmdir()
        export_model(folder, "int8")
        assert engine_of(package, folder) is OnnxEngine


def test_a_graph_of_another_model_is_refused_though_it_would_fit(folder, stored, package):
    """Of another encoder, or of other sizes: the header of the one, the graph of the other."""
    name = "step" if package == "textgen" else "encoder"
    (folder / f"{name}.onnx").write_bytes((stored["captioner-one"] / "step.onnx").read_bytes())
    message = refusal(load, package, folder)
    assert message.startswith(f"{folder / name}.onnx is truncated, or of another model; make it anew: ")


def test_a_captioner_whose_encoder_or_start_has_no_graph_is_refused(stored, tmp_path):
    for name in ("encoder", "start"):
        folder = copied(stored["captioner-one"], tmp_path / name)
        without(name)(folder, None)
        assert refusal(Captioner.load, folder).startswith(str(folder))


# --- what is chosen


def test_a_model_with_graphs_runs_by_onnx_and_any_by_torch(package, folder):
    assert engine_of(package, folder) is engine_of(package, folder, "onnx") is OnnxEngine
    assert engine_of(package, folder, "torch") is TorchEngine


@pytest.mark.parametrize("empty", [None, {}, [], False], ids=str)
def test_a_model_without_graphs_runs_by_torch_and_says_so_when_onnx_is_asked_for(package, folder, empty):
    section(empty)(folder, None)
    assert engine_of(package, folder) is engine_of(package, folder, "torch") is TorchEngine
    message = refusal(load, package, folder, "onnx")
    assert message == f"{folder}: has no ONNX graphs; make them: {package} export {folder}"


@pytest.mark.parametrize("name", ["tensorflow", "", "ONNX"])
def test_an_unknown_engine_names_those_there_are(package, folder, name):
    assert refusal(load, package, folder, name) == f"engine: unknown {name!r}; known: auto, onnx, torch"


def test_an_unknown_engine_on_the_command_line_is_one_line(stored, capsys):
    argv = ("generate", "red", "--model", stored["textgen-one"], "--engine", "tf")
    status, out, error = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert_one_line(error, "engine: unknown 'tf'", "auto, onnx, torch")


def test_without_torch_the_extra_is_named(package, folder, monkeypatch):
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: None)
    extra = "torch is not installed: pip install 'captioner[train]'"
    assert engine_of(package, folder) is OnnxEngine
    assert refusal(load, package, folder, "torch") == extra
    section(None)(folder, None)
    assert refusal(load, package, folder) == f"{folder}: has no ONNX graphs, and {extra}"
    assert refusal(choose_engine, "auto", False, folder) == f"{folder}: has no ONNX graphs, and {extra}"


def test_exporting_twice_gives_the_same_files_and_leaves_the_weights(package, folder):
    def files():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.*")}

    before = files()
    (folder / "step.onnx").write_bytes(b"")
    (export_model if package == "textgen" else export_captioner)(folder, "int8")
    assert files() == before and {"step.onnx", "read.onnx", bundle.WEIGHTS} <= before.keys()
    assert engine_of(package, folder) is OnnxEngine


def test_an_export_in_an_unknown_precision_changes_nothing(package, folder):
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    export = export_model if package == "textgen" else export_captioner
    assert refusal(export, folder, "int4") == "precision: unknown 'int4'; known: float32, int8"
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before


# --- without torch

NO_TORCH = """
import sys
{code}
heavy = {{"torch", "torchvision", "onnx", "onnxscript"}} & set(sys.modules)
assert not heavy, heavy
"""
LOADS = {
    "textgen": "from textgen.generator import TextGenerator\nTextGenerator.load({folder!r}, 'onnx').generate('red')",
    "captioner": "from captioner import Captioner\nCaptioner.load({folder!r}, 'onnx').caption({photo!r})",
}
COMMANDS = {
    "textgen": "from textgen.cli import main\n"
    "assert main(['generate', 'red', '--model', {folder!r}, '--engine', 'onnx']) == 0",
    "captioner": "from captioner.cli import main\n"
    "assert main(['caption', {photo!r}, '--model', {folder!r}, '--engine', 'onnx']) == 0",
}


@pytest.mark.parametrize("code", [LOADS, COMMANDS], ids=["the library", "the command line"])
def test_the_onnx_engine_does_not_import_torch(package, folder, tmp_path, code):
    photo = tmp_path / "photo.png"
    draw("red", "circle").save(photo)
    code = NO_TORCH.format(code=code[package].format(folder=str(folder), photo=str(photo)))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=99)
    assert done.returncode == 0, done.stderr
