"""A token of text, sampling included: ours beside `nn.LSTM` stepped as in the lesson, numpy, and the memory's rate.

LSTM 512 x 2, batch 1, random weights, 65 characters or 10,000 words. Ours is the library's whole loop
(`textgen.decoding.generate.stream`), in blocks that the engine writes by itself; `stepped` is the same without them, `engine
alone` the decoder's step in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tests.benchmarks.apart import processes
from tests.benchmarks.char_rnn import TEMPERATURE, lesson, plain_numpy
from tests.benchmarks.floor import reading
from tests.benchmarks.our_models import random_engine, random_weights
from tests.benchmarks.timing import Contender, alternate, asked, spread
from tests.helpers.stepped import Stepped
from textgen.decoding.generate import stream
from textgen.engine.onnx import OnnxEngine
from textgen.engine.onnx_weights import decoder_arrays
from textgen.engine.protocol import StepModel
from textgen.generation_config import GenerationConfig
from textgen.generator import TextGenerator
from textgen.storage.graphs import PRECISIONS

HIDDEN, LAYERS = 512, 2
_ASKED = {65: ">= 50", 10_000: ">= 30"}
_LENGTH = 200
_LINE = 40  # tokens, of the 48 that the Transformer in the box looks back on
_PROMPT = 1000


def generating(engine: StepModel, length: int) -> Callable[[], None]:
    """Generates `length` tokens as `textgen generate` does."""
    config = GenerationConfig(temperature=TEMPERATURE)
    options = {"sampling": config.sampling, "constraints": config.constraints(None), "end": None, "seed": 1}

    def generate() -> None:
        for _ in stream(engine, [[1]], max_length=length, **options):
            pass

    return generate


def measure(rounds: int) -> dict:
    """Microseconds a token, and how much they are over reading the weights once."""
    import torch

    results: dict = {"threads": f"torch and numpy {torch.get_num_threads()}; ours 1; reading the weights 1"}
    for vocab_size, target in _ASKED.items():
        with processes() as apart:
            found = _one(apart, vocab_size, target, rounds)
        results |= {f"V {vocab_size:,}: {name}": value for name, value in found.items()}
    names = ("shakespeare", "novels")
    models = {name: TextGenerator.load(name, engine="onnx") for name in names}
    contenders = {
        name: Contender(partial(model.generate, length=_LENGTH, seed=1), 3, _LENGTH)
        for name, model in models.items()
    }
    transformer = TextGenerator.load("captions-transformer", engine="onnx").writer.model
    contenders["captions-transformer"] = Contender(generating(transformer, _LINE), 3, _LINE)
    samples = alternate(contenders, rounds)
    for name, seconds in samples.items():
        results[f"{name} of the box, us a token"] = spread(seconds, 1e6)
    results["captions-transformer, median"] = asked(
        1e6 * float(np.median(samples["captions-transformer"])), "<= 250"
    )
    return results


def _one(apart: Callable[..., Callable], vocab_size: int, target: str, rounds: int) -> dict:
    sizes = (vocab_size, HIDDEN, LAYERS)
    engines = {precision: random_engine(vocab_size, precision) for precision in PRECISIONS}
    read = {precision: _bytes_a_token(vocab_size, precision) for precision in PRECISIONS}
    contenders = {
        "nn.LSTM, as in the lesson": Contender(apart(lesson, *sizes, 20), 1, 20),
        "the same without gradients": Contender(apart(lesson, *sizes, 20, False), 1, 20),
        "plain numpy": Contender(apart(plain_numpy, *sizes, 50), 1, 50),
    }
    for precision, engine in engines.items():
        contenders |= {
            f"ours, {precision}": Contender(generating(engine, _LENGTH), 3, _LENGTH),
            f"ours, {precision}, stepped": Contender(generating(Stepped(engine), _LENGTH), 3, _LENGTH),
            f"ours, {precision}, engine alone": Contender(partial(_steps, engine), 3, _LENGTH),
            f"ours, {precision}, in a prompt of {_PROMPT:,}": Contender(
                partial(_prefill, engine), 3, _PROMPT
            ),
            f"reading {read[precision] / 1e6:.1f} MB of {precision}": Contender(reading(read[precision]), 30),
        }
    samples = alternate(contenders, rounds)
    median = {name: float(np.median(seconds)) for name, seconds in samples.items()}
    results: dict = {f"{name}, us a token": spread(seconds, 1e6) for name, seconds in samples.items()}
    for precision in PRECISIONS:
        ours = median[f"ours, {precision}"]
        floor = median[f"reading {read[precision] / 1e6:.1f} MB of {precision}"]
        prompt = median[f"ours, {precision}, in a prompt of {_PROMPT:,}"]
        alone = median[f"ours, {precision}, engine alone"]
        results |= {
            f"{precision}, faster than the lesson, times": asked(
                median["nn.LSTM, as in the lesson"] / ours, target
            ),
            f"{precision}, over the memory's floor": asked(ours / floor, "<= 2"),
            f"{precision}, faster than stepped, times": median[f"ours, {precision}, stepped"] / ours,
            f"{precision}, engine alone over that floor": alone / floor,
            f"{precision}, a prompt's tokens faster than steps, times": asked(ours / prompt, ">= 5"),
        }
    return results


def _bytes_a_token(vocab_size: int, precision: str) -> int:
    """Bytes of weights that a step reads: all but the rows of other tokens in the look-ups."""
    arrays = decoder_arrays(*random_weights(vocab_size, HIDDEN, LAYERS), precision)
    looked_up = ("table", "embedding")
    return sum((array[0] if name in looked_up else array).nbytes for name, array in arrays.items())


def _steps(engine: OnnxEngine) -> None:
    state, token = engine.start(None, 1), np.array([1])
    for _ in range(_LENGTH):
        _, state = engine.step(token, state)


def _prefill(engine: OnnxEngine) -> None:
    engine.prefill(np.full((1, _PROMPT), 5), engine.start(None, 1))
