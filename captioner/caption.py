"""`Captioner`: photos to captions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Semaphore
from typing import BinaryIO

import numpy as np
from PIL import Image

from captioner.network.decoding import Caption, DecodingConfig, decode
from captioner.network.eyes import Eyes, onnx_eyes, torch_eyes
from captioner.pictures.load import ImageError, load_image, to_square
from textgen.decoder.config import DecoderConfig
from textgen.engine.choice import choose_engine
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.text.tokenizer import Tokenizer

KIND = "captioner"
DECODER = "decoder."  # what the names of its weights begin with
MODEL_IN_THE_BOX = Path(__file__).parent / "models" / "flickr8k"
DEFAULT_DECODING = DecodingConfig()
BATCH = 8  # pictures that are put into words side by side

Source = str | os.PathLike | bytes | BinaryIO | Image.Image


def picture_pixels(source: Source, size: int) -> np.ndarray:
    """The whole picture, upright, as a square of pixels (size, size, 3), uint8: in training as in use."""
    return np.asarray(to_square(load_image(source, size=(size, size)), size))


class Captioner:
    """A captioning model ready for use; safe to call from several threads."""

    def __init__(
        self,
        see: Eyes,
        engine: StepModel,
        tokenizer: Tokenizer,
        size: int,
        header: dict,
        hash: str,
        workers: int = 1,
    ):
        """`workers` are the threads that caption at a time; an engine that uses all cores by itself wants one."""
        self._see = see
        self.workers = workers
        # More threads than cores would wait for one another in the middle of their work.
        self._working = Semaphore(workers)
        self._engine = engine
        self.tokenizer = tokenizer
        self.size = size
        """Pixels a side of the square that the model sees."""
        self.header = header
        """The model's `model.json`: config, preprocessing and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""

    @classmethod
    def load(cls, folder: str | os.PathLike | None = None, engine: str = "auto") -> Captioner:
        """The model in `folder`, or the one in the box. Raises UserError naming what is wrong with it.

        `engine` is `onnx` (ONNX Runtime), `torch`, or `auto`: the first where the model has graphs.
        """
        return cls(*_load(MODEL_IN_THE_BOX if folder is None else Path(folder), engine))

    def caption(
        self,
        pictures: Source | Sequence[Source],
        *,
        n: int = 1,
        beam: int = DEFAULT_DECODING.beam,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        max_length: int = DEFAULT_DECODING.max_length,
        attention: bool = False,
        batch: int = BATCH,
    ) -> list[Caption] | list[list[Caption]]:
        """`n` captions of a picture - path, bytes, binary file or PIL image - or of each of a list of them.

        Beam search of width `beam`, or sampling once a `temperature` is given (0 is greedy). Beams come best
        first. With `attention` each caption carries where the model looked for each word. A list is worked
        `batch` pictures at a time; a picture's captions do not depend on the others. Raises UserError for a
        file that is no picture and for settings out of range.
        """
        config = DecodingConfig(n, beam, temperature, top_k, top_p, seed, max_length)
        one = not isinstance(pictures, list | tuple)
        captions = []
        for found in self.caption_each([pictures] if one else pictures, config, attention, batch):
            if isinstance(found, ImageError):
                raise found
            captions.append(found)
        return captions[0] if one else captions

    def caption_each(
        self,
        pictures: Iterable[Source],
        config: DecodingConfig = DEFAULT_DECODING,
        attention: bool = False,
        batch: int = BATCH,
    ) -> Iterator[list[Caption] | ImageError]:
        """The captions of each picture, or why it has none, in order and as they come.

        Each worker takes a batch from files to words; a few batches are under way at a time, so memory does not grow
        with the number of pictures.
        """
        work = partial(self._caption_batch, config=config, attention=attention)
        left = iter(pictures)
        turns = iter(lambda: list(islice(left, batch * self.workers)), [])
        under_way: deque[Future] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for sources in turns:
                if len(sources) == 1 and not under_way:
                    yield from work(sources)  # at once, without a thread
                    continue
                share = -(-len(sources) // self.workers)
                for start in range(0, len(sources), share):
                    under_way.append(pool.submit(work, sources[start : start + share]))
                while under_way and (len(under_way) > self.workers or under_way[0].done()):
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _caption_batch(
        self, sources: Sequence[Source], config: DecodingConfig, attention: bool
    ) -> list[list[Caption] | ImageError]:
        found = [self._pixels(source) for source in sources]
        pixels = [item for item in found if not isinstance(item, ImageError)]
        with self._working:
            captions = iter(self.decode(self.encode(np.stack(pixels)), config, attention) if pixels else [])
        return [item if isinstance(item, ImageError) else next(captions) for item in found]

    def _pixels(self, source: Source) -> np.ndarray | ImageError:
        try:
            return picture_pixels(source, self.size)
        except ImageError as error:
            return error

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Context (B, L, D), float32, of `pixels` (B, S, S, 3), uint8, as `picture_pixels` gives them."""
        return self._see(pixels)

    def decode(
        self, context: np.ndarray, config: DecodingConfig, attention: bool = False
    ) -> list[list[Caption]]:
        """Captions of each picture of `context` (B, L, D): a picture encoded once can be decoded many ways."""
        return decode(self._engine, context, self.tokenizer, config, attention)


def model_header(model, tokenizer: Tokenizer, size: int, provenance: dict, notes: str = "") -> dict:
    """What `model.json` says of a `CaptionModel`; `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {"encoder": model.encoder.name, "decoder": asdict(model.decoder.config)},
        "preprocessing": {"size": size, "resize": "whole picture to a square, bilinear"},
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, model, header: dict) -> None:
    """Writes a `CaptionModel` with its card, atomically."""
    from captioner.network.card import model_card

    bundle.write(folder, header, bundle.weights_of(model), model_card(header))


def read_model(folder: Path) -> tuple:
    """A stored `CaptionModel` with its tokeniser, picture size, header and hash, all checked."""
    stored, tokenizer, config, size = _read(folder)
    return _model(stored, config), tokenizer, size, stored.header, stored.hash


def _load(folder: Path, engine: str) -> tuple[Eyes, StepModel, Tokenizer, int, dict, str, int]:
    """What a `Captioner` is made of."""
    stored, tokenizer, config, size = _read(folder)
    workers = 1
    if choose_engine(engine, bundle.has_graphs(stored.header), folder) == "onnx":
        from textgen.engine.onnx import OnnxEngine

        again = f"captioner export {folder}"
        model = OnnxEngine.of(config, stored, again, prefix=DECODER)
        graphs = bundle.read_graphs(stored, again, ["encoder"])
        with bundle.describing(folder / bundle.WEIGHTS):
            weights = {name: array for name, array in stored.weights.items() if not name.startswith(DECODER)}
            see = onnx_eyes(graphs.files["encoder"], weights)
        workers = os.cpu_count() or 1
    else:
        from textgen.engine.protocol import TorchEngine

        whole = _model(stored, config)
        see, model = torch_eyes(whole), TorchEngine(whole.decoder)
    return see, model, tokenizer, size, stored.header, stored.hash, workers


def _read(folder: Path) -> tuple[bundle.Bundle, Tokenizer, DecoderConfig, int]:
    stored = bundle.read(folder, KIND)
    path = folder / bundle.HEADER
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        config = DecoderConfig(**stored.header["config"]["decoder"])
        size = stored.header["preprocessing"]["size"]
        if not isinstance(size, int) or not 32 <= size <= 1024:
            raise UserError(f"preprocessing: size {size!r} is no number of pixels from 32 to 1024")
    bundle.check_vocabulary(path, len(tokenizer), config.vocab_size)
    return stored, tokenizer, config, size


def _model(stored: bundle.Bundle, config: DecoderConfig):
    """The `CaptionModel` that a model stores."""
    import torch

    from captioner.network.encoder import build_encoder
    from captioner.network.model import CaptionModel
    from textgen.decoder.rnn import RNNDecoder

    with bundle.describing(stored.folder / bundle.HEADER):
        encoder = build_encoder(stored.header["config"]["encoder"])
        with torch.device("meta"):  # sizes that are wrong cost nothing until they are checked
            model = CaptionModel(encoder, RNNDecoder(config))
    bundle.load_weights(stored, model, empty=[model.bridge, model.decoder])
    return model
