"""A tiny translator, trained here in seconds, between English of three words and a language made up for it."""

import atexit
import contextlib
import io
import itertools
import random
import tempfile
from functools import cache
from pathlib import Path

import torch

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.engine.torch import TorchEngine
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.sequences.torch_encoder import TorchEncoder
from textgen.text.subwords import SubwordTokenizer
from textgen.translation.model import TranslationModel
from textgen.translation.stored import export_model, model_header
from textgen.translation.training import train_pairs
from textgen.translation.training_config import PairsConfig
from textgen.translation.translator import Translator

COLOURS = {"red": "rot", "green": "grün", "blue": "blau", "black": "schwarz"}
THINGS = {"boat": "Boot", "moon": "Mond", "lamp": "Lampe", "tree": "Baum"}
DEEDS = {"sinks": "sinkt", "rises": "steigt", "burns": "brennt", "falls": "fällt"}
NAMES = ("Tom", "Mary", "Ann", "Holmes", "Watson")
TINY = PairsConfig(
    languages=("English", "Other"),
    vocabulary=420,
    encoder_layers=1,
    encoder_hidden=24,
    layers=2,
    hidden=32,
    embedding=24,
    heads=2,
    dropout=0.0,
    word_dropout=0.0,
    tokens=100,
    epochs=30,
    learning_rate=1e-2,
    ema=0.9,
    graphs="none",
    device="cpu",
    precision="float32",
)


def pairs() -> list[tuple[str, str]]:
    """Every colour, thing and deed: `The red boat sinks.` is `Sinkt das Boot rot.`; some with a name that is kept."""
    found = []
    for colour, thing, deed in itertools.product(COLOURS, THINGS, DEEDS):
        found.append(
            (
                f"The {colour} {thing} {deed}.",
                f"{DEEDS[deed].capitalize()} das {THINGS[thing]} {COLOURS[colour]}.",
            )
        )
    for name, thing, deed in itertools.product(NAMES, THINGS, DEEDS):
        found.append(
            (f"{name}'s {thing} {deed}.", f"{DEEDS[deed].capitalize()} das {THINGS[thing]} von {name}.")
        )
    random.Random(0).shuffle(found)
    return found


def table(rows) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in rows)


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="translators-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def files() -> tuple[Path, Path]:
    """The train and dev pairs that `trained()` learnt from."""
    train, dev = _folder() / "train.tsv", _folder() / "dev.tsv"
    train.write_text(table(pairs()[16:]))
    dev.write_text(table(pairs()[:16]))
    return train, dev


@cache
def trained() -> Path:
    """The folder of a trained model without graphs."""
    train, dev = files()
    with contextlib.redirect_stderr(io.StringIO()):
        train_pairs([train], [dev], _folder() / "model", TINY)
    return _folder() / "model"


@cache
def exported(precision: str = "float32") -> Path:
    """The same with graphs."""
    import shutil

    folder = _folder() / precision
    shutil.copytree(trained(), folder, ignore=shutil.ignore_patterns("training"))
    export_model(folder, precision)
    return folder


@cache
def translator(engine: str = "torch") -> Translator:
    return Translator.load(trained() if engine == "torch" else exported(), engine)


@cache
def tokenizer() -> SubwordTokenizer:
    return SubwordTokenizer.fit((text for pair in pairs() for text in pair), 420)


def untrained(seed: int = 0, pooled: bool = False) -> Translator:
    """A translator of random weights, with strong opinions."""
    encoder = EncoderConfig(embedding_size=8, hidden_size=6, num_layers=2, pooled=pooled)
    decoder = DecoderConfig(
        len(tokenizer()),
        embedding_size=8,
        hidden_size=8,
        context_size=encoder.output_size,
        context_lengths=True,
        attention_heads=2,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = TranslationModel(RecurrentEncoder(encoder), RNNDecoder(decoder)).eval()
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.5)
    header = model_header(model, tokenizer(), ("English", "Other"), {})
    encode = TorchEncoder(model, torch.device("cpu"))
    return Translator(encode, TorchEngine(model.decoder), tokenizer(), header, hash="")
