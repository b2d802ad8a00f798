"""`Captioner`: photos to captions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import Semaphore
from typing import NamedTuple, TypedDict, TypeVar, Unpack, overload

import numpy as np
from PIL import Image

from captioner.languages import check_language, in_language
from captioner.network.confidence import Confidence
from captioner.network.decoding import Caption, decode, search_beams
from captioner.network.decoding_config import DEFAULT_DECODING, DecodingConfig
from captioner.network.eyes import Eyes
from captioner.network.stored import BOX, load_model
from captioner.pictures.load import Copy, Source, own_copy, picture_pixels
from captioner.pictures.refusals import ImageError, ImageLimits
from textgen.decoding.generate import Generated
from textgen.decoding.one_reader import OneReader
from textgen.engine.forks import renew_in_children
from textgen.engine.protocol import StepModel
from textgen.engine.reloading import Origin, Reloadable
from textgen.errors import UserError
from textgen.storage.bundle import Header
from textgen.text.tokenizer import Tokenizer

BATCH = 8  # pictures that are put into words side by side
_SHARED = "are taken by two threads at once, and each would get a part of them; give each its own"
One = TypeVar("One", bound=Source)


class CaptionSettings(TypedDict, total=False):
    """What `Captioner.caption` takes by name."""

    n: int
    beam: int
    temperature: float | None
    top_k: int
    top_p: float
    seed: int | None
    max_length: int
    attention: bool
    batch: int
    max_megapixels: float | None
    language: str | None


class _Seen(NamedTuple):
    """A picture that was read before a worker takes it."""

    pixels: np.ndarray | ImageError
    """(S, S, 3), uint8, or why it has none."""


class Captioner(Reloadable):
    """A captioning model ready for use; safe to call from several threads, in forked children, and to send to others."""

    def __init__(
        self,
        see: Eyes,
        engine: StepModel,
        tokenizer: Tokenizer,
        size: int,
        header: Header,
        hash: str,
        workers: int = 1,
        confidence: Confidence | None = None,
    ):
        """`workers` are the threads that caption at a time; an engine that uses all cores by itself wants one."""
        self._see = see
        self.workers = workers
        self.renew_after_fork()
        renew_in_children(self)
        self._engine = engine
        self.tokenizer = tokenizer
        self.size = size
        """Pixels a side of the square that the model sees."""
        self.header = header
        """The model's `model.json`: config, preprocessing and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""
        self.confidence = confidence
        """What says how sure a caption is, where the model was calibrated."""

    def renew_after_fork(self) -> None:
        # More threads than cores would wait for one another in the middle of their work.
        self._working = Semaphore(self.workers)

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, engine: str = "auto") -> Captioner:
        """A model in the box by its name, or the one in a folder. Raises UserError naming what is wrong with it.

        `engine` is `onnx` (ONNX Runtime), `torch`, or `auto`: the first where the model has graphs.
        """
        folder = BOX.find(model)
        loaded = cls(*load_model(folder, engine))
        loaded.origin = Origin.of(folder, BOX, engine)
        return loaded

    @overload
    def caption(self, pictures: Source, **settings: Unpack[CaptionSettings]) -> list[Caption]: ...

    @overload
    def caption(
        self, pictures: list[One] | tuple[One, ...], **settings: Unpack[CaptionSettings]
    ) -> list[list[Caption]]: ...

    def caption(
        self,
        pictures: Source | list[One] | tuple[One, ...],
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
        max_megapixels: float | None = None,
        language: str | None = None,
    ) -> list[Caption] | list[list[Caption]]:
        """`n` captions of a picture - path, bytes, binary file or PIL image - or of each of a list of them.

        Beam search of width `beam`, or sampling once a `temperature` is given (0 is greedy). Beams come best
        first. With `attention` each caption carries where the model looked for each word. A list is worked
        `batch` pictures at a time; a picture's captions do not depend on the others. A picture may stand in it twice, or
        be given by several threads at once. `max_megapixels` is what may be held in memory of one, 50 unless told; a
        JPEG, which is decoded at a reduced scale, may have twenty times as many. With `language` de or fr each caption
        carries its translation, a machine's. Raises UserError for a file that is no picture and for settings out of range.
        """
        config = DecodingConfig(n, beam, temperature, top_k, top_p, seed, max_length)
        sources: Sequence[Source] = pictures if isinstance(pictures, list | tuple) else [pictures]
        captions = []
        limits = ImageLimits.of_megapixels(max_megapixels)
        for found in self.caption_each(sources, config, attention, batch, limits, language):
            if isinstance(found, ImageError):
                raise found
            captions.append(found)
        return captions if isinstance(pictures, list | tuple) else captions[0]

    def caption_each(
        self,
        pictures: Iterable[Source],
        config: DecodingConfig = DEFAULT_DECODING,
        attention: bool = False,
        batch: int = BATCH,
        limits: ImageLimits = ImageLimits(),
        language: str | None = None,
    ) -> Iterator[list[Caption] | ImageError]:
        """The captions of each picture, or why it has none, in order and as they come.

        Each worker takes a batch from files to words; a few batches are under way at a time, so memory does not grow
        with the number of pictures. What an iterator gives is taken as it is then: it may give one object anew, with
        another picture in it. Two threads that read at the same time are refused, by UserError.
        """
        check_language(language)
        found = self._caption_each(pictures, config, attention, batch, limits, language)
        return OneReader(found, f"these captions {_SHARED}")

    def _caption_each(
        self,
        pictures: Iterable[Source],
        config: DecodingConfig,
        attention: bool,
        batch: int,
        limits: ImageLimits,
        language: str | None,
    ) -> Generator[list[Caption] | ImageError, None, None]:
        work = partial(
            self._caption_batch, config=config, attention=attention, limits=limits, language=language
        )
        left = self._taken(pictures, limits)
        turns = iter(lambda: list(islice(left, batch * self.workers)), [])
        under_way: deque[Future[list[list[Caption] | ImageError]]] = deque()
        pool, process = ThreadPoolExecutor(self.workers), os.getpid()

        def first() -> list[list[Caption] | ImageError]:
            if os.getpid() != process:  # its threads are in the parent only, and would be waited for in vain
                raise UserError(
                    "captions under way stay in the process that began them; begin anew in the child"
                )
            return under_way.popleft().result()

        try:
            for sources in turns:
                if len(sources) == 1 and not under_way:
                    yield from work(sources)  # at once, without a thread
                    continue
                share = -(-len(sources) // self.workers)
                for start in range(0, len(sources), share):
                    under_way.append(pool.submit(work, sources[start : start + share]))
                while under_way and (len(under_way) > self.workers or under_way[0].done()):
                    yield from first()
            while under_way:
                yield from first()
        finally:
            pool.shutdown(cancel_futures=True)

    def _taken(self, pictures: Iterable[Source], limits: ImageLimits) -> Iterator[Source | Copy | _Seen]:
        """Each picture in a form that its owner cannot change any more while it waits for a worker."""
        # A list's are all there already; an iterator may show the next picture in the same object.
        passing = not isinstance(pictures, Sequence)
        given = iter(pictures)
        while True:
            try:
                source = next(given)
            except StopIteration:
                return
            except ValueError as error:
                if "already executing" not in str(error):
                    raise
                raise UserError(f"these pictures {_SHARED}") from error
            yield self._held(source, limits, passing)

    def _held(self, source: Source, limits: ImageLimits, passing: bool) -> Source | Copy | _Seen:
        if passing and isinstance(source, Image.Image):
            return _Seen(self._pixels(source, limits))
        try:
            return own_copy(source, limits, passing)
        except ImageError as error:
            return _Seen(error.kept())

    def _caption_batch(
        self,
        sources: Sequence[Source | Copy | _Seen],
        config: DecodingConfig,
        attention: bool,
        limits: ImageLimits,
        language: str | None,
    ) -> list[list[Caption] | ImageError]:
        found = [self._pixels(source, limits) for source in sources]
        pixels = [item for item in found if not isinstance(item, ImageError)]
        with self._working:
            captions = iter(self.decode(self.encode(np.stack(pixels)), config, attention) if pixels else [])
        return [
            item if isinstance(item, ImageError) else in_language(next(captions), language) for item in found
        ]

    def _pixels(self, source: Source | Copy | _Seen, limits: ImageLimits) -> np.ndarray | ImageError:
        if isinstance(source, _Seen):
            return source.pixels
        try:
            return picture_pixels(source, self.size, limits)
        except ImageError as error:
            return error.kept()

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Context (B, L, D), float32, of `pixels` (B, S, S, 3), uint8, as `picture_pixels` gives them."""
        return self._see(pixels)

    def decode(
        self, context: np.ndarray, config: DecodingConfig, attention: bool = False
    ) -> list[list[Caption]]:
        """Captions of each picture of `context` (B, L, D): a picture encoded once can be decoded many ways."""
        order = None
        if config.rerank:
            from captioner.reranking import reranker

            order = reranker(config.rerank, self.tokenizer, config)
        return decode(self._engine, context, self.tokenizer, config, attention, self.confidence, order)

    def beams(self, context: np.ndarray, config: DecodingConfig) -> list[list[Generated]]:
        """All beams of each picture of `context` (B, L, D), best first, as ids."""
        return search_beams(self._engine, context, self.tokenizer, config)
