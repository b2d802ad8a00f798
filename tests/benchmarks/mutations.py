"""Mutated files: photos, model folders, tables and JSON, damaged at random, each in a right result or one line.

Every file is made from (seed, number), so that any can be made again: `mutated(data, seed, number)`. Workers hold at most
`_MEMORY`; what takes longer than `_SECONDS` counts as a hang, what dies as a crash.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import re
import resource
import signal
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.timing import asked
from tests.helpers.paths import EXAMPLES, ROOT
from textgen.errors import UserError

SEED = 20261126
PHOTOS, OTHERS = 20_000, 2_000
_SECONDS, _MEGABYTES = 10, 250
_CHUNK = 50  # mutations that a worker is given at a time
_OLD = ROOT / "tests" / "data" / "captioner-format-1.zip"
Judge = Callable[[bytes, Path], str]
"""A mutated file, and a folder to work in: "result" or "refused"; raises AssertionError for a wrong result."""


def mutated(data: bytes, seed: int, number: int) -> bytes:
    """`data` with one to four of: bytes changed, cut out, doubled, filled with one value, moved; or its end cut off."""
    rng = np.random.default_rng((seed, number))
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not found:
            break
        # Half of the places are near the start, where headers are.
        reach = len(found) if rng.random() < 0.5 else min(len(found), 600)
        at, length = int(rng.integers(reach)), int(2 ** rng.uniform(0, 10))
        match rng.integers(6):
            case 0:
                for place in rng.integers(reach, size=rng.integers(1, 9)):
                    found[place] = int(rng.integers(256))
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[at : at + length]
            case 3:
                found[at : at + length] = bytes([int(rng.choice([0, 255, 34, 44]))]) * min(
                    length, len(found) - at
                )
            case 4:
                part = found[at : at + length]
                del found[at : at + length]
                found[int(rng.integers(len(found) + 1)) :][:0] = part
            case _:
                del found[int(rng.integers(len(found))) :]
    return bytes(found)


@cache
def photos() -> list[bytes]:
    """A photo in each format, with and without transparency, colour tables, metadata and frames."""
    from PIL import Image

    image = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((160, 107))
    exif = Image.Exif()
    exif[0x0112] = 6

    def encoded(picture: Image.Image, format: str, **options: Any) -> bytes:
        file = io.BytesIO()
        picture.save(file, format, **options)
        return file.getvalue()

    turned = image.rotate(90)
    return [
        encoded(image, "JPEG", exif=exif),
        encoded(image, "JPEG", progressive=True),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "PNG"),
        encoded(image.convert("P"), "PNG", transparency=3),
        encoded(image.convert("RGBA"), "WEBP"),
        encoded(image, "WEBP", lossless=True),
        encoded(image, "GIF", save_all=True, append_images=[turned]),
        encoded(image, "BMP"),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "TIFF", save_all=True, append_images=[turned]),
        encoded(image, "PPM"),
        encoded(image, "AVIF"),
        encoded(image, "MPO", save_all=True, append_images=[turned]),
    ]


def _photo(data: bytes, folder: Path) -> str:
    from captioner.pictures.load import load_image
    from captioner.pictures.refusals import ImageError

    try:
        image = load_image(data, size=(224, 224))
    except ImageError as error:
        assert str(error).isprintable(), f"no one line: {error}"
        return "refused"
    assert image.mode == "RGB" and 1 <= image.width * image.height <= 50e6, image
    return "result"


@cache
def _old() -> tuple[dict[str, bytes], str]:
    """A model's files, and what it says of the cat."""
    with zipfile.ZipFile(_OLD) as files:
        model = {name: files.read(name) for name in files.namelist()}
    return model, json.loads(model.pop("captions.json"))["onnx"]["cat"][0][0]


def _model(name: str) -> Judge:
    """Of a model of which the file `name` is mutated."""

    def judge(data: bytes, folder: Path) -> str:
        from captioner import Captioner

        files, caption = _old()
        for other, kept in files.items():
            (folder / other).write_bytes(data if other == name else kept)
        try:
            found = Captioner.load(folder, "onnx").caption(EXAMPLES / "cat.jpg")[0].text
        except UserError as error:
            assert "\n" not in str(error), f"no one line: {error}"
            return "refused"
        # In model.json the vocabulary and the card's text may differ and be well formed.
        assert found == caption or name == "model.json", f"another caption: {found}"
        return "result"

    return judge


def _table(name: str) -> Judge:
    """Of predictions that `captioner score` reads."""
    truth = {f"{n}.jpg": [f"a dog runs over field {n}", "an animal outside"] for n in range(20)}

    def judge(data: bytes, folder: Path) -> str:
        from captioner.score import score
        from captioner.score_config import ReportConfig

        (folder / name).write_bytes(data)
        (folder / "truth.json").write_text(json.dumps(truth))
        try:
            report = score(folder / name, [folder / "truth.json"], ReportConfig(bootstrap=0))
        except UserError as error:
            assert "\n" not in str(error), f"no one line: {error}"
            return "refused"
        assert report["pictures"] == 20, f"{report['pictures']} pictures of 20"
        return "result"

    return judge


def _texts(data: bytes, folder: Path) -> str:
    """Of a CSV that `textgen train` reads."""
    from textgen.text.corpus import load_corpus

    (folder / "news.csv").write_bytes(data)
    try:
        corpus = load_corpus([folder / "news.csv"], columns=("text",))
    except UserError as error:
        assert "\n" not in str(error), f"no one line: {error}"
        return "refused"
    assert max(map(len, corpus.train + corpus.held_out)) < 2000, "a text that holds others"
    return "result"


def _said() -> dict[str, str]:
    return {f"{n}.jpg": f'a dog, brown, runs over "field {n}"' for n in range(20)}


@cache
def kinds() -> dict[str, tuple[int, list[bytes], Judge]]:
    """What is mutated: how often, its wholes, and who judges."""
    files, _ = _old()
    rows = ["image,caption", *('{},"{}"'.format(k, v.replace('"', '""')) for k, v in _said().items())]
    news = ["title,text", *(f'headline {n},"the text, number {n}, of ""news"""' for n in range(200))]
    results = json.dumps([{"image_id": key, "caption": text} for key, text in _said().items()])
    share = OTHERS // 7
    model = {
        f"a model's {name}": (share, [data], _model(name))
        for name, data in files.items()
        if name != "README.md"
    }
    return {
        "photos": (PHOTOS, photos(), _photo),
        **model,
        "a CSV of captions": (share, ["\n".join(rows).encode()], _table("said.csv")),
        "a JSON of captions": (share, [results.encode()], _table("said.json")),
        "a CSV of texts": (share, ["\n".join(news).encode()], _texts),
    }


def _start() -> None:
    """What a worker does first."""
    os.environ["OMP_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)


def _chunk(kind: str, start: int, end: int) -> tuple[collections.Counter, list[str], float, float]:
    """Endings, faults, the longest time and the highest memory (MB) of mutations `start` to `end`."""
    _, wholes, judge = kinds()[kind]
    endings: collections.Counter = collections.Counter()
    faults, longest = [], 0.0
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        for number in range(start, end):
            data = mutated(wholes[number % len(wholes)], SEED, number)
            began = time.perf_counter()
            signal.alarm(_SECONDS)
            try:
                with contextlib.redirect_stderr(nowhere):
                    endings[judge(data, Path(folder))] += 1
            except BaseException as error:
                faults.append(f"{kind} {number}: {type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
            longest = max(longest, time.perf_counter() - began)
    return endings, faults, longest, _peak_memory()


def _peak_memory() -> float:
    """MB of this process since it began; `getrusage` counts what its parent had then."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def _run(kind: str, count: int) -> Iterator[tuple[collections.Counter, list[str], float, float]]:
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _start) as workers:
        chunks = [workers.submit(_chunk, kind, start, min(start + _CHUNK, count)) for start in starts]
        for start, chunk in zip(starts, chunks, strict=True):
            try:
                yield chunk.result()
            except BrokenProcessPool:
                yield collections.Counter(), [f"{kind} {start} to {start + _CHUNK}: a crash"], 0.0, 0.0


def measure() -> dict:
    """Endings by kind; faults, of which there must be none; the longest time and the highest memory."""
    results: dict = {"seed": SEED}
    for kind, (count, *_) in kinds().items():
        endings: collections.Counter = collections.Counter()
        faults: list[str] = []
        longest, memory = [0.0], [0.0]
        for found, wrong, seconds, megabytes in _run(kind, count):
            endings += found
            faults += wrong
            longest.append(seconds)
            memory.append(megabytes)
        results[f"{kind}: mutated"] = count
        results |= {f"{kind}: {ending}": number for ending, number in sorted(endings.items())}
        results[f"{kind}: faults"] = asked(len(faults), "0")
        results |= {f"{kind}: fault {number}": fault for number, fault in enumerate(faults[:20])}
        results[f"{kind}: longest, s"] = asked(max(longest), f"<= {_SECONDS}")
        results[f"{kind}: peak memory, MB"] = asked(max(memory), f"<= {_MEGABYTES}")
    return results
