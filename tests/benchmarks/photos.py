"""A photo's file to its caption, one at a time: ours beside the way everyone does it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.load import picture_pixels
from tests.benchmarks.apart import processes
from tests.benchmarks.our_models import captioner_engine, stored_precision, with_engine
from tests.benchmarks.sample_photos import TWELVE_MEGAPIXELS, jpeg
from tests.benchmarks.timing import Contender, alternate, asked, spread
from tests.helpers.stepped import Stepped
from textgen.engine.onnx import OnnxEngine

_ASKED = {"tutorial": ">= 8", "sgrvinod": ">= 30", "ViT-GPT2": ">= 90", "BLIP": ">= 150"}
_OURS = "ours"


def measure(model: Path | None, rounds: int) -> dict:
    """Milliseconds of a 640 x 480 JPEG, and of twelve megapixels; and where ours go."""
    import torch

    from tests.benchmarks.transformer_captioners import (
        MISSING,
        TOKENS,
        blip,
        transformers_installed,
        vit_gpt2,
    )
    from tests.benchmarks.tutorial_captioners import same_model, sgrvinod

    ours, photo = Captioner.load(model, engine="onnx"), jpeg()
    said = stored_precision(model)
    other = "int8" if said == "float32" else "float32"
    in_other = with_engine(ours, captioner_engine(model, other))
    stepped = with_engine(ours, Stepped(captioner_engine(model, said)))
    with processes() as apart:
        as_tutorials = apart(same_model, model)
        results: dict = {
            "threads": f"torch {torch.get_num_threads()}; ours: encoder all cores, the rest 1",
            "ours says": ours.caption(photo, beam=3)[0].text,
            "tutorial says (nothing forbids it repetitions)": as_tutorials(photo),
        }
        contenders = {
            _OURS: Contender(partial(ours.caption, photo, beam=3), 10),
            "ours, stepped": Contender(partial(stepped.caption, photo, beam=3), 10),
            "ours, 12 megapixels": Contender(partial(ours.caption, jpeg(TWELVE_MEGAPIXELS), beam=3), 5),
            f"ours, decoder in {other}": Contender(partial(in_other.caption, photo, beam=3), 10),
            "tutorial": Contender(partial(as_tutorials, photo), 5),
            "sgrvinod": Contender(partial(apart(sgrvinod), photo), 2),
        }
        if transformers_installed():
            contenders["ViT-GPT2"] = Contender(partial(apart(vit_gpt2), photo))
            contenders["BLIP"] = Contender(partial(apart(blip), photo))
        samples = alternate(contenders, rounds)
    titles = {
        _OURS: f"ours, beam 3, decoder in {said}",
        "tutorial": "the same model as in tutorials, beam 3",
        "sgrvinod": "sgrvinod: ResNet-101, LSTM 512, beam 5, 12 words",
        "ViT-GPT2": f"ViT-GPT2, beam 4, {TOKENS} tokens",
        "BLIP": f"BLIP-base, beam 3, {TOKENS} tokens",
    }
    for name, seconds in samples.items():
        results[f"{titles.get(name, name)}, ms"] = spread(seconds, 1000)
    results["ours, of its time stepped"] = np.median(samples[_OURS]) / np.median(samples["ours, stepped"])
    results["median, ms"] = asked(1000 * np.median(samples[_OURS]), "<= 12")
    results["median, 12 megapixels, ms"] = asked(1000 * np.median(samples["ours, 12 megapixels"]), "<= 80")
    for name, target in _ASKED.items():
        if name in samples:
            times = np.median(samples[name]) / np.median(samples[_OURS])
            results[f"ours faster than {name}, times"] = asked(times, target)
        else:
            results[name] = MISSING
    return results | _parts(ours, captioner_engine(model, said), photo, rounds)


def _parts(ours: Captioner, decoder: OnnxEngine, photo: bytes, rounds: int) -> dict:
    """Milliseconds of each part of a caption, timed alone."""
    pixels = picture_pixels(photo, ours.size)[None]
    context, config = ours.encode(pixels), DecodingConfig()
    noting = _Noting(decoder)
    words = with_engine(ours, noting).decode(context, config)[0][0].words
    samples = alternate(
        {
            "file to pixels": Contender(partial(picture_pixels, photo, ours.size), 10),
            "encoder": Contender(partial(ours.encode, pixels), 10),
            "beam search": Contender(partial(ours.decode, context, config), 10),
            "decoder in the beam search": Contender(noting.again, 10),
        },
        rounds,
    )
    results = {f"part: {name}, ms": spread(seconds, 1000) for name, seconds in samples.items()}
    results["words; decoder's calls"] = f"{len(words)}; {len(noting.calls)}"
    return results


class _Noting:
    """Keeps the calls that a caption makes of its engine, to make them again without the search around them."""

    def __init__(self, engine: OnnxEngine):
        self._engine = engine
        self.calls: list = []

    def __getattr__(self, name: str):
        method = getattr(self._engine, name)

        def call(*arguments):
            self.calls.append((method, arguments))
            return method(*arguments)

        return call

    def again(self) -> None:
        for method, arguments in self.calls:
            method(*arguments)
