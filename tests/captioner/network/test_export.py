"""Captions by ONNX Runtime are those of torch: the eyes of several kinds, whole models, many threads, the one in the box."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from captioner import Captioner
from captioner.data.examples import load_dataset
from captioner.network import backbones
from captioner.network.decoding_config import DecodingConfig
from captioner.network.encoder import Encoder
from captioner.network.export import _exported, _without_weights, export_model
from captioner.network.eyes import onnx_eyes, torch_eyes
from captioner.network.model import CaptionModel
from captioner.network.stored import read_model
from tests.conftest import COLOURS, SHAPES, draw
from tests.helpers.onnx_models import copied, decoder, onnx_engine
from tests.helpers.paths import MODEL_IN_THE_BOX, MODELS, SHARED
from tests.helpers.step_models import build
from tests.helpers.text_models import trained
from textgen.classification.classifier import Classifier
from textgen.decoder.config import DecoderConfig
from textgen.decoding.writing import StepWriter
from textgen.engine.onnx import OnnxEngine
from textgen.engine.torch import TorchEngine
from textgen.generator import TextGenerator
from textgen.graphs.text_model import export_model as export_text_model
from textgen.storage import bundle
from textgen.storage.graphs import PRECISIONS, Graphs, has_graphs, read_graphs, write_graphs
from textgen.transformer.engines import OnnxTransformer
from textgen.translation.translator import Translator

pytestmark = pytest.mark.slow  # exports whole encoders

DECODINGS = {
    "beams": {},
    "best of four": {"n": 4, "beam": 2},
    "greedy": {"temperature": 0},
    "sampled": {"n": 3, "temperature": 1.2, "seed": 4, "top_k": 5},
}


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory):
    """The trained captioner with graphs; by precision."""
    folders = {name: copied(tiny_model, tmp_path_factory.mktemp("model") / name) for name in PRECISIONS}
    export_model(folders["float32"], "float32")
    copied(folders["float32"], folders["int8"])
    stored = bundle.read(folders["int8"], "captioner")
    graphs = read_graphs(stored, "")
    made = read_model(folders["int8"])[0].decoder
    rounded = {**graphs.files, **onnx_engine(made, "int8")._graphs}
    write_graphs(stored, Graphs("int8", rounded))
    return folders


@pytest.fixture(scope="module")
def captioners(exported):
    """Torch's, ONNX Runtime's in float32, and with a decoder in 8 bits."""
    found = [Captioner.load(exported["float32"], "torch"), *map(Captioner.load, exported.values())]
    assert [type(captioner._engine) for captioner in found] == [TorchEngine, OnnxEngine, OnnxEngine]
    return found


@pytest.fixture(scope="module")
def pictures():
    return [
        draw(colour, shape, offset=offset) for colour in COLOURS for shape in SHAPES for offset in (-3, 0, 4)
    ]


def texts(found):
    return [[(caption.text, caption.finished) for caption in captions] for captions in found]


# --- the same captions


@pytest.mark.parametrize("settings", DECODINGS.values(), ids=DECODINGS)
def test_captions_are_those_of_torch(captioners, pictures, settings):
    torch_, onnx, _ = captioners
    found, expected = (captioner.caption(pictures, **settings) for captioner in (onnx, torch_))
    assert texts(found) == texts(expected)
    assert len({captions[0].text for captions in found}) > 3
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose([c.log_prob for c in mine], [c.log_prob for c in theirs], atol=1e-3)


def test_contexts_and_attention_are_those_of_torch(captioners, pictures):
    torch_, *others = captioners
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    expected = torch_.encode(pixels)
    for onnx in others:
        found = onnx.encode(pixels)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)
    found, expected = (
        captioner.caption(pictures, attention=True, temperature=0) for captioner in (others[0], torch_)
    )
    for [mine], [theirs] in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.attention, theirs.attention, atol=1e-4)


def test_8_bits_say_nearly_the_same(captioners, pictures):
    torch_, _, rounded = captioners
    found, expected = rounded.caption(pictures), torch_.caption(pictures)
    same = sum(mine == theirs for mine, theirs in zip(texts(found), texts(expected), strict=True))
    assert same >= 0.9 * len(pictures)
    differences = [mine.log_prob - theirs.log_prob for [mine], [theirs] in zip(found, expected, strict=True)]
    assert 0 < np.abs(differences).max() < 1


def test_a_batch_equals_singles(captioners, pictures):
    for captioner in captioners[1:]:
        for settings in DECODINGS.values():
            singles = [captioner.caption(picture, **settings) for picture in pictures[:7]]
            for batch in (2, 5):
                assert texts(captioner.caption(pictures[:7], batch=batch, **settings)) == texts(singles)


def test_exporting_leaves_the_weights_and_needs_no_second_copy_of_them(tiny_model, exported):
    weights = (tiny_model / bundle.WEIGHTS).read_bytes()
    for folder in exported.values():
        assert (folder / bundle.WEIGHTS).read_bytes() == weights
        assert sum(path.stat().st_size for path in folder.glob("*.onnx")) < len(weights) / 10


# --- the eyes of other kinds


UNFOLDED = ["a norm before its convolution, as densenet has"]  # densenet itself takes long to export


def eyes(name):
    """A model of random weights through which a picture is seen: its batch norms fitted to noise."""
    torch.manual_seed(0)
    if name in UNFOLDED:
        cut = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, stride=16), nn.ReLU())
    else:
        cut = backbones.build_backbone(name).module
    cut.train()
    for module in cut.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        cut(torch.randn(4, 3, 64, 64))
    config = DecoderConfig(9, embedding_size=8, hidden_size=8, context_size=16, attention_heads=2)
    features = cut(torch.zeros(2, 3, 64, 64)).shape[1]
    encoder = Encoder(name, backbones.Backbone(cut.eval(), features))
    return CaptionModel(encoder, decoder(config)).eval()


# Shufflenet moves channels about, resnet adds.
@pytest.mark.parametrize("name", [*UNFOLDED, "shufflenet_v2_x1_0", "resnet18"])
def test_other_encoders_see_the_same_in_batches_of_any_size(name):
    model = eyes(name)
    weights = {key: np.ascontiguousarray(array) for key, array in bundle.weights_of(model).items()}
    graph = _without_weights(_exported(model, 64), weights)
    own = {key: array for key, array in weights.items() if not key.startswith("decoder.")}
    see, expected = onnx_eyes(graph, own, 1), torch_eyes(model)
    for batch in (1, 2, 5):
        pixels = np.random.default_rng(batch).integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
        contexts = expected(pixels)
        assert np.ptp(contexts, axis=0).max() > 0.1 or batch == 1  # not blind
        found = see(pixels)
        assert found.shape == contexts.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, contexts, atol=1e-4 * np.abs(contexts).max())


# --- many threads


def answers_of(ask, questions, threads=8):
    """What `ask` answers to each question, alone, and from many threads at once."""
    alone = [ask(question) for question in questions]
    with ThreadPoolExecutor(threads) as pool:
        return alone, [list(pool.map(ask, questions)) for _ in range(3)]


def test_threads_get_the_captions_they_would_get_alone(exported, pictures):
    for folder in exported.values():
        captioner = Captioner.load(folder, "onnx")  # fresh: what is made at the first call is made in a crowd

        def ask(place, captioner=captioner):
            settings = list(DECODINGS.values())[place % len(DECODINGS)]
            found = captioner.caption(pictures[place % len(pictures)], attention=place % 2 == 0, **settings)
            maps = [None if c.attention is None else c.attention.tobytes() for c in found]
            return [(c.text, c.log_prob) for c in found], maps

        with ThreadPoolExecutor(8) as pool:
            crowd = list(pool.map(ask, range(24)))
        alone, together = answers_of(ask, range(24))
        assert [crowd, *together] == [alone] * 4


def test_threads_get_the_texts_they_would_get_alone(tmp_path):
    for precision in PRECISIONS:
        folder = copied(trained("char"), tmp_path / precision)
        export_text_model(folder, precision)
        generator = TextGenerator.load(folder, "onnx")

        def ask(seed, generator=generator):
            prompt = ("", "Tom ", "In the evening the old king")[seed % 3]
            return generator.generate(prompt, seed=seed, length=40, n=1 + seed % 3)

        with ThreadPoolExecutor(8) as pool:
            crowd = list(pool.map(ask, range(24)))
        alone, together = answers_of(ask, range(24))
        assert [crowd, *together] == [alone] * 4


def test_threads_step_one_engine_without_touching_each_others_states():
    engine = onnx_engine(build(context=False), "int8")

    def walk(seed):
        random, state = np.random.default_rng(seed), engine.start(None, 3)
        for _ in range(60):
            logits, state = engine.step(random.integers(0, 9, 3), state)
        return logits.tobytes()

    alone, together = answers_of(walk, range(16))
    assert together == [alone] * 3


def test_a_picture_that_is_being_seen_keeps_no_other_waiting(monkeypatch):
    looking, done = threading.Event(), threading.Event()

    class Session:
        def __init__(self, graph, arrays, threads):
            self.threads = threads

        def run(self, names, feed):
            if self.threads == 0:  # all cores
                looking.set()
                assert done.wait(60)
            return [self.threads]

    monkeypatch.setattr("textgen.engine.session.session", Session)
    see, pixels = onnx_eyes(b"", {}), np.zeros((1, 8, 8, 3), np.uint8)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(see, pixels)
        assert looking.wait(60)
        assert see(pixels) == 1
        done.set()
        assert first.result() == 0 and see(pixels) == 0


# --- the models in the box


@pytest.mark.parametrize("folder", [MODEL_IN_THE_BOX, *sorted(MODELS.glob("*/"))], ids=lambda path: path.name)
def test_the_graphs_in_the_box_load(folder):
    kind = bundle.any_header(folder)["kind"]
    if not has_graphs(bundle.read_header(folder, kind)):
        pytest.skip(f"{folder} has no graphs")
    if kind == "captioner":
        captioner = Captioner.load(folder)
        assert type(captioner._engine) is OnnxEngine
        assert captioner.caption(draw("red", "circle"))[0].finished
    elif kind == "translator":
        translator = Translator.load(folder)
        assert type(translator.model) is OnnxEngine and len(translator.translate("A dog runs.").text) > 5
    elif kind == "classifier":
        assert Classifier.load(folder).classify("A dog runs.").probability > 0
    elif folder.name.startswith("captions-"):
        engine = {"captions-transformer": OnnxTransformer}.get(folder.name, OnnxEngine)
        generator = TextGenerator.load(folder)
        assert not isinstance(generator.writer, StepWriter) or type(generator.model) is engine
        assert all(text.ids for text in generator.generate("", n=3, length=20, seed=1))
    else:
        generator = TextGenerator.load(folder)
        assert type(generator.model) is OnnxEngine
        assert len(generator.generate("The king", length=20, seed=1)[0].ids) == 20


def test_the_model_in_the_box_says_the_same_of_photos(tmp_path):
    if not (SHARED / "flickr8k" / "captions.txt").is_file():
        pytest.skip("Flickr8k is not beside the checkout (../shared/flickr8k)")
    folder = copied(MODEL_IN_THE_BOX, tmp_path / "model")
    export_model(folder, "float32")
    torch_, onnx = (Captioner.load(folder, engine) for engine in ("torch", "onnx"))
    paths = [example.path for example in load_dataset(SHARED / "flickr8k").split("dev")[:100]]
    found, expected = (
        [captions[0].text for captions in captioner.caption_each(paths, DecodingConfig())]
        for captioner in (onnx, torch_)
    )
    assert len(found) == 100 and len(set(found)) > 80
    assert sum(mine == theirs for mine, theirs in zip(found, expected, strict=True)) >= 99
