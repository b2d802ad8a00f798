"""`Captioner`: photos to captions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from captioner.decoding import Caption, DecodingConfig, decode
from captioner.images import ImageError, load_image, to_square
from textgen import bundle
from textgen.errors import UserError
from textgen.tokenizer import Tokenizer

KIND = "captioner"
MODEL_IN_THE_BOX = Path(__file__).parent / "model"
DEFAULT_DECODING = DecodingConfig()

Source = str | os.PathLike | bytes | BinaryIO | Image.Image


def picture_pixels(source: Source, size: int) -> np.ndarray:
    """The whole picture, upright, as a square of pixels (size, size, 3), uint8: in training as in use."""
    return np.asarray(to_square(load_image(source, size=(size, size)), size))


class Captioner:
    """A captioning model ready for use; safe to call from several threads."""

    def __init__(self, model, tokenizer: Tokenizer, size: int, header: dict, hash: str):
        from textgen.engine import TorchEngine

        self._model = model.eval()
        self._engine = TorchEngine(model.decoder)
        self.tokenizer = tokenizer
        self.size = size
        """Pixels a side of the square that the model sees."""
        self.header = header
        """The model's `model.json`: config, preprocessing and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""

    @classmethod
    def load(cls, folder: str | os.PathLike | None = None) -> Captioner:
        """The model in `folder`, or the one in the box. Raises UserError naming what is wrong with it."""
        return cls(*read_model(MODEL_IN_THE_BOX if folder is None else Path(folder)))

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
        batch: int = 8,
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
        batch: int = 8,
    ) -> Iterator[list[Caption] | ImageError]:
        """The captions of each picture, or why it has none, in order and as they come.

        Photos are decoded a batch ahead of the model, so memory does not grow with their number.
        """
        batches = iter(partial(islice, iter(pictures), batch), None)
        with ThreadPoolExecutor(2) as threads:

            def read(sources: Iterable[Source]) -> list[Future]:
                return [threads.submit(self._pixels, source) for source in sources]

            ahead = read(next(batches))
            while ahead:
                current, ahead = [future.result() for future in ahead], read(next(batches))
                pixels = [item for item in current if not isinstance(item, ImageError)]
                found = iter(self.decode(self.encode(np.stack(pixels)), config, attention) if pixels else [])
                for item in current:
                    yield item if isinstance(item, ImageError) else next(found)

    def _pixels(self, source: Source) -> np.ndarray | ImageError:
        try:
            return picture_pixels(source, self.size)
        except ImageError as error:
            return error

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Context (B, L, D), float32, of `pixels` (B, S, S, 3), uint8, as `picture_pixels` gives them."""
        import torch

        with torch.inference_mode():
            # A copy of what PIL keeps to itself: torch takes no read-only memory.
            pixels = np.require(pixels, requirements=["C", "W"])
            return self._model.context(torch.from_numpy(pixels)).float().numpy()

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
    from captioner.card import model_card

    bundle.write(folder, header, bundle.weights_of(model), model_card(header))


def read_model(folder: Path) -> tuple:
    """A stored `CaptionModel` with its tokeniser, picture size, header and hash, all checked."""
    import torch

    from captioner.encoder import build_encoder
    from captioner.model import CaptionModel
    from textgen.decoder import DecoderConfig, RNNDecoder

    stored = bundle.read(folder, KIND)
    header = stored.header
    path = folder / bundle.HEADER
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(header["vocabulary"])
        config = DecoderConfig(**header["config"]["decoder"])
        size = header["preprocessing"]["size"]
        if not isinstance(size, int) or not 32 <= size <= 1024:
            raise UserError(f"preprocessing: size {size!r} is no number of pixels from 32 to 1024")
        encoder = build_encoder(header["config"]["encoder"])
        with torch.device("meta"):  # sizes that are wrong cost nothing until they are checked
            model = CaptionModel(encoder, RNNDecoder(config))
    bundle.check_vocabulary(path, len(tokenizer), config.vocab_size)
    bundle.load_weights(stored, model, empty=[model.bridge, model.decoder])
    return model, tokenizer, size, header, stored.hash
