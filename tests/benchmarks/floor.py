"""What the hardware allows: the rates of matrix products and of reading memory, and the encoder beside them.

The encoder can be no quicker than its multiplications at the rate of a large float32 matrix product, the decoder no
quicker than its weights can be read once a token (`text_steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from captioner.network.stored import stored_eyes
from tests.benchmarks.our_models import stored
from tests.benchmarks.timing import Contender, alternate, asked, spread
from tests.helpers.paths import MODEL_IN_THE_BOX

_SIDE = 1024
_MEGABYTES = (1, 3, 10, 30, 100)


def reading(size: int) -> Callable[[], object]:
    """Reads `size` bytes once, on one thread: the maximum of bytes goes at the rate of the C library's memchr."""
    buffer = np.ones(size, np.uint8)
    return buffer.max


def measure(model: Path | None, rounds: int) -> dict:
    """GFLOP/s and GB/s; the encoder's milliseconds over those of its multiplications at the first rate."""
    import torch

    from captioner.network.stored import read_model

    matrix = torch.rand(_SIDE, _SIDE)

    def product(threads: int) -> None:
        torch.set_num_threads(threads)
        matrix @ matrix

    bundle = stored(model)
    size = bundle.header["preprocessing"]["size"]
    pixels = np.random.default_rng(0).integers(256, size=(1, size, size, 3), dtype=np.uint8)
    contenders = {}
    for threads in (1, 2):
        contenders[f"product {threads}"] = Contender(partial(product, threads), 5)
        contenders[f"encoder {threads}"] = Contender(partial(stored_eyes(bundle, "", threads), pixels), 10)
    contenders |= {f"read {size}": Contender(reading(size * 10**6), 10) for size in _MEGABYTES}
    default = torch.get_num_threads()
    samples = alternate(contenders, rounds)
    torch.set_num_threads(default)

    whole, *_ = read_model(model or MODEL_IN_THE_BOX)
    flops = _flops(whole, torch.from_numpy(pixels))
    results: dict = {"encoder and bridge, GFLOP": flops / 1e9}
    for threads in (1, 2):
        rate = 2 * _SIDE**3 / samples[f"product {threads}"]
        floor, seconds = flops / np.median(rate), samples[f"encoder {threads}"]
        results[f"float32 matrix product, {threads} threads, GFLOP/s"] = spread(rate / 1e9)
        results[f"encoder, {threads} threads, ms"] = spread(seconds, 1000)
        results[f"encoder's floor, {threads} threads, ms"] = float(1000 * floor)
        results[f"encoder over its floor, {threads} threads"] = asked(np.median(seconds) / floor, "<= 1.5")
    for size in _MEGABYTES:
        rate = size / 1000 / samples[f"read {size}"]
        results[f"reading {size} MB again and again, 1 thread, GB/s"] = spread(rate)
    return results


def _flops(model, pixels) -> int:
    """Floating-point operations of encoder and bridge, a multiplication and an addition counted as two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval().context(pixels)
    return counter.get_total_flops()
