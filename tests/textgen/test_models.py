"""The text models in the box: small, as good as their cards say, and cured of cycles by temperature."""

import json

import pytest

from tests.helpers.paths import MODELS, SHARED
from textgen.evaluate import evaluate
from textgen.generator import TextGenerator
from textgen.sweep import sweep
from textgen.sweep_config import SweepConfig
from textgen.text.tokenizer import SPECIAL_TOKENS

pytestmark = pytest.mark.slow  # reads novels with the models in the box

NAMES = ("shakespeare", "novels")


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return TextGenerator.load(request.param)


FAMILIES = ("lstm", "transformer", "vae", "flow", "gan", "energy", "diffusion")


def test_the_box_holds_these_models_and_is_small():
    largest = {
        "shakespeare": 4.2e6,
        "novels": 4e6,
        "english-german": 9e6,
        "english-french": 9e6,
        "authors": 2e6,
        **{f"captions-{name}": 3e6 for name in FAMILIES},
    }
    assert {path.parent.name for path in MODELS.glob("*/model.json")} == set(largest)
    for name, most in largest.items():
        assert sum(path.stat().st_size for path in (MODELS / name).iterdir()) <= most, name


def test_a_prompt_is_read_on_without_special_tokens(model):
    for text in model.generate(["It was a dark night", "ROMEO:", ""], n=3, length=60, seed=1):
        for found in text:
            assert str(found).startswith(found.prompt) and len(found.text) >= 60
            assert not any(token in found.text for token in SPECIAL_TOKENS)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("name", NAMES)
def test_greedy_decoding_repeats_itself_and_temperature_cures_it(name, engine):
    config = SweepConfig(temperatures=(0.0, 0.8), length=600)
    greedy, sampled = sweep(TextGenerator.load(name, engine), (), config)["rows"]
    # In 8 bits the state never quite repeats: the text goes round without a cycle.
    assert greedy["cycles"] >= (0.4 if engine == "torch" else 0) and sampled["cycles"] == 0
    assert greedy["distinct_3"] < 0.65 and sampled["distinct_3"] > 0.9
    assert greedy["perplexity"] < sampled["perplexity"]


def test_no_model_tells_where_it_was_trained(model):
    text = json.dumps(model.header["provenance"])
    assert "/root" not in text and "/home" not in text and "textgen train ../shared/text/" in text


@pytest.mark.parametrize(
    ("name", "corpus", "nats"), [("shakespeare", "tinyshakespeare.txt", 1.42), ("novels", "novels", 3.93)]
)
@pytest.mark.parametrize(("engine", "lost"), [("torch", 0), ("onnx", 0.005)])
def test_the_held_out_loss_is_what_the_card_says(name, corpus, nats, engine, lost):
    path = SHARED / "text" / corpus
    if not path.exists():
        pytest.skip(f"needs {corpus}, which is not here")
    generator = TextGenerator.load(name, engine)
    report = evaluate(generator, [path], streams=32)
    assert report["notes"] == []
    assert report["nats_per_token"] < nats + lost
    stated = generator.header["provenance"]["held_out"]["nats"]
    assert report["nats_per_token"] == pytest.approx(stated, abs=2e-3)
