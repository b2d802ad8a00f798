"""Tiny text models, trained here in a second each, a slow check of what they give, and the command line."""

import atexit
import contextlib
import io
import random
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from tests.helpers.command_lines import assert_one_line_of, run_command
from tests.helpers.step_models import build
from textgen.cli import main
from textgen.decoding.sampling import log_softmax
from textgen.engine.text_model import model_header
from textgen.engine.torch import TorchEngine
from textgen.generator import TextGenerator
from textgen.text.encoding import start_of_text
from textgen.text.tokenizer import EOS, CharTokenizer, ProseTokenizer
from textgen.train import train
from textgen.training.config import TrainConfig

TINY = TrainConfig(
    graphs="none",
    hidden=32,
    embedding=16,
    layers=1,
    dropout=0.0,
    embedding_dropout=0.0,
    sequence=25,
    batch=8,
    epochs=8,
    learning_rate=2e-2,
    ema=0.9,
    device="cpu",
    precision="float32",
)
SETTINGS = {"char": {}, "word": {"level": "word", "sequence": 10}, "lines": {"lines": True}}


def story(paragraphs: int, seed: int = 0) -> str:
    """Talk of a few people about a few things, in ASCII."""
    rng = random.Random(seed)
    people, things = ("Tom", "Ann", "the old king"), ("a boat", "the moon", "her lamp", "two dogs")

    def sentence() -> str:
        who, what = rng.choice(people), rng.choice(things)
        if rng.random() < 0.5:
            return f'"Do you see {what}?" said {who}.'
        return f"In the evening {who} saw {what}, and {rng.choice(('laughed', 'slept', 'sang'))}."

    return "\n\n".join(" ".join(sentence() for _ in range(3)) for _ in range(paragraphs)) + "\n"


def lines(count: int, seed: int = 0) -> str:
    """Short lines of three words."""
    rng = random.Random(seed)
    words = ("red", "green", "blue"), ("boat", "moon", "lamp"), ("sinks", "rises", "burns")
    return "".join(" ".join(map(rng.choice, words)) + "\n" for _ in range(count))


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="text-models-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def corpus(kind: str) -> Path:
    """The file that `trained(kind)` was trained on."""
    path = _folder() / f"{'lines' if kind == 'lines' else 'story'}.txt"
    path.write_text(lines(300) if kind == "lines" else story(36))
    return path


@cache
def trained(kind: str) -> Path:
    """The folder of a trained model: char, word, or lines, of characters that come to an end."""
    with contextlib.redirect_stderr(io.StringIO()):
        train([corpus(kind)], _folder() / kind, TrainConfig(**{**vars(TINY), **SETTINGS[kind]}))
    return _folder() / kind


@cache
def generator(kind: str) -> TextGenerator:
    return TextGenerator.load(trained(kind))


def untrained(kind: str, seed: int = 0, end_bias: float = 0.0) -> TextGenerator:
    """A generator of random weights with strong opinions."""
    texts = [lines(30) if kind == "lines" else story(3)]
    tokenizer = (ProseTokenizer if kind == "word" else CharTokenizer).fit(texts)
    decoder = build(seed, context=False, end_bias=end_bias, size=len(tokenizer))
    header = model_header(decoder, tokenizer, kind == "lines", {})
    return TextGenerator(TorchEngine(decoder), tokenizer, header, hash="")


def slow_log_probs(generator: TextGenerator, ids) -> np.ndarray:
    """Log-probability of each of `ids` after those before it, a step at a time, from the beginning of a text."""
    state = generator.model.start(None, 1)
    previous, found = start_of_text(generator.tokenizer, generator.lines), []
    for token in map(int, ids):
        logits, state = generator.model.step(np.array([previous]), state)
        found.append(log_softmax(logits.astype(np.float64))[0, token])
        previous = token
    return np.array(found)


def ended(generator: TextGenerator, text) -> list[int]:
    """The ids of a generated text, its end token included where it came."""
    return [*text.ids, EOS] if generator.lines and text.finished else list(text.ids)


def same_numbers(one: Path, other: Path) -> bool:
    """Whether two models have the same weights, bit for bit."""
    from safetensors.torch import load_file

    left, right = (load_file(folder / "model.safetensors") for folder in (one, other))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


run = partial(run_command, main)
assert_one_line = partial(assert_one_line_of, "textgen")
