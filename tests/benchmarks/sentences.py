"""A sentence translated and a passage classified, beside a Transformer of opus-mt's shape, and as processes.

The peer is a MarianMTModel of random weights with the sizes of Helsinki-NLP/opus-mt-en-de: time does not depend on them.
It says as many tokens as our translation has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from tests.benchmarks.apart import processes
from tests.benchmarks.timing import Contender, alternate, asked, process, spread
from tests.benchmarks.transformer_captioners import MISSING, transformers_installed
from textgen.classification.classifier import Classifier
from textgen.classification.stored import BOX as CLASSIFIERS
from textgen.translation.stored import BOX
from textgen.translation.translator import Translator

SENTENCE = "The old man was reading in the garden."  # of eight words
_LINES = 2_000
_SUBJECTS = ("The old man", "A little girl", "My brother", "Mary", "Nobody here", "The doctor")
_DEEDS = ("was reading", "wants to sleep", "has lost a key", "never came back", "is waiting", "speaks French")
_PLACES = (
    "in the garden",
    "at home",
    "near the station",
    "with a friend",
    "on Monday",
    "because of the rain",
)


def lines(count: int = _LINES) -> list[str]:
    """Different sentences, as a file has them."""
    rng = np.random.default_rng(0)
    return [
        f"{rng.choice(_SUBJECTS)} {rng.choice(_DEEDS)} {rng.choice(_PLACES)}, number {number}."
        for number in range(count)
    ]


def marian(tokens: int, said: int, beams: int) -> Callable[[int], None]:
    """Translates batches of a number of rows, of `tokens` tokens each, into `said` tokens."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=58_101,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_position_embeddings=512,
        pad_token_id=58_100,
        eos_token_id=0,
        decoder_start_token_id=58_100,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config).eval()

    @torch.no_grad()
    def translate(rows: int) -> None:
        ids = torch.randint(1, 50_000, (rows, tokens))
        model.generate(ids, num_beams=beams, min_new_tokens=said, max_new_tokens=said)

    return translate


def measure(rounds: int) -> dict:
    """Milliseconds a sentence, sentences a second of a file, seconds of a process; what needs a model is left out."""
    results: dict = {}
    if BOX.names():
        results |= _translating(rounds)
    else:
        results["translation"] = "left out: there is no translator in the box"
    if CLASSIFIERS.names():
        passage = " ".join(lines(12))
        classifier = Classifier.load(engine="onnx")
        contenders = {
            "a passage of 100 words classified, ms": Contender(partial(classifier.classify, passage), 5),
            "with the words that decided, ms": Contender(partial(classifier.deciding, passage), 2),
        }
        for name, seconds in alternate(contenders, rounds).items():
            results[name] = spread(seconds, 1e3)
    return results


def _translating(rounds: int) -> dict:
    translator = Translator.load(engine="onnx")
    tokens = len(translator.tokenizer.encode(SENTENCE))
    said = len(translator.tokenizer.encode(str(translator.translate(SENTENCE)))) + 1
    work = lines()
    contenders = {
        "beam 5": Contender(partial(translator.translate, SENTENCE), 5),
        "greedy": Contender(partial(translator.translate, SENTENCE, beam=1), 5),
        "a file, greedy": Contender(partial(translator.translate, work, beam=1), 1, len(work)),
        "a file, beam 5": Contender(partial(translator.translate, work[:400]), 1, 400),
    }
    results: dict = {"the sentence's subwords, and its translation's": f"{tokens}, {said}"}
    peer = transformers_installed()
    with processes() as apart:
        if peer:
            one, batch = apart(marian, tokens, said, 5), apart(marian, tokens, said, 1)
            contenders["opus-mt's shape, beam 5"] = Contender(partial(one, 1), 1)
            contenders["opus-mt's shape, greedy, 32 side by side"] = Contender(partial(batch, 32), 1, 32)
        samples = alternate(contenders, rounds)
    median = {name: float(np.median(seconds)) for name, seconds in samples.items()}
    results |= {f"a sentence, {name}, ms": spread(seconds, 1e3) for name, seconds in samples.items()}
    results["a sentence of eight words, beam 5, median ms"] = asked(1e3 * median["beam 5"], "<= 12")
    results["a file, greedy, sentences a second"] = asked(1 / median["a file, greedy"], ">= 400")
    if peer:
        results["faster than opus-mt's shape, beam 5, times"] = asked(
            median["opus-mt's shape, beam 5"] / median["beam 5"], ">= 8"
        )
        results["faster than opus-mt's shape, a file, times"] = asked(
            median["opus-mt's shape, greedy, 32 side by side"] / median["a file, greedy"], ">= 8"
        )
    else:
        results["opus-mt's shape"] = MISSING
    command = [sys.executable, "-m", "textgen", "translate", SENTENCE, "--engine", "onnx"]
    runs = [process(command) for _ in range(rounds + 1)][1:]
    results["textgen translate, as a process, median s"] = asked(
        float(np.median([run[0] for run in runs])), "<= 0.7"
    )
    results["textgen translate, peak MB"] = max(run[1] for run in runs)
    return results
