"""`Classifier`: a text to the probabilities of its classes, and the words that decided."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np

from textgen.classification.examples import as_read
from textgen.classification.reliability import softmax
from textgen.classification.stored import BOX, Encode, Output, load_model
from textgen.engine.reloading import Origin, Reloadable
from textgen.errors import UserError
from textgen.sequences.pooling import pooled
from textgen.storage.bundle import Header
from textgen.text.batches import growing_blocks, padded
from textgen.text.subwords import SubwordTokenizer
from textgen.text.tokenizer import EOS, UNK

_TOKENS = 8000  # of a batch, padding included
_MOST_WORDS = 500  # of a text that is read once more without each
_AHEAD = 512  # texts that are read before the first of them is classified: those of one length go together


@dataclass(frozen=True)
class Classification:
    """What a text is taken for; `str` is the class."""

    text: str
    label: str
    """The likeliest class."""
    probability: float
    """Its calibrated probability."""
    probabilities: dict[str, float]
    """Of all classes, the likeliest first."""

    def __str__(self) -> str:
        return self.label


class Deciding(NamedTuple):
    """What a word did for the class that a text is taken for."""

    word: str
    start: int
    """Where it stands in the text."""
    weight: float
    """By how much the logarithm of the class's odds falls without the word; below 0 the word spoke against it."""


class Classifier(Reloadable):
    """A classifying model ready for use; safe to call from several threads, in forked children, and to send to others."""

    def __init__(
        self, encode: Encode, output: Output, tokenizer: SubwordTokenizer, header: Header, hash: str
    ):
        self.encode = encode
        self.output = output
        self.tokenizer = tokenizer
        self.header = header
        """The model's `model.json`: config and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""
        config = header["config"]
        self.classes: tuple[str, ...] = tuple(config["classes"])
        self._max_length, self._temperature = int(config["max_length"]), float(config["temperature"] or 1.0)

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, engine: str = "auto") -> Classifier:
        """A model in the box by its name, or any other by its folder; authors unless told.

        `engine`: onnx, torch, or auto, which is the first where the model has graphs. Raises UserError.
        """
        folder = BOX.find(model)
        classifier = cls(*load_model(folder, engine))
        classifier.origin = Origin.of(folder, BOX, engine)
        return classifier

    @overload
    def classify(self, text: str) -> Classification: ...

    @overload
    def classify(self, text: list[str] | tuple[str, ...]) -> list[Classification]: ...

    def classify(self, text: str | list[str] | tuple[str, ...]) -> Classification | list[Classification]:
        """What a text, or each of a list, is taken for. A long text is read in parts, whose logits are averaged."""
        found = list(self.classify_each([text] if isinstance(text, str) else text))
        return found[0] if isinstance(text, str) else found

    def classify_each(self, texts: Iterable[str | None]) -> Iterator[Classification]:
        """What each of `texts` is taken for, in order, in constant memory however many they are.

        None among them says that none is there at the moment: those before it are not kept waiting.
        """
        for block in growing_blocks(texts, _AHEAD):
            for text, row in zip(block, softmax(self.logits(block) / self._temperature), strict=True):
                yield self._told(text, row)

    def logits(self, texts: list[str]) -> np.ndarray:
        """Logits (N, C) of texts, before calibration."""
        encoded = self.tokenizer.encode_all([as_read(text) for text in texts])
        # The end is read, too: the first token of a text without any.
        return self._logits([[*ids, EOS] for ids in encoded])

    def deciding(self, text: str) -> list[Deciding]:
        """What each word did for the class, in the order of the text, by occlusion (Zeiler and Fergus 2014): the text is
        read once more without it, its subwords hidden as in training."""
        words = list(re.finditer(r"\S+", text))
        if not words:
            return []
        if len(words) > _MOST_WORDS:
            raise UserError(
                f"the words that decided: {len(words):,} words are too many; {_MOST_WORDS} at most"
            )
        ids, owners = [], []
        for place, match in enumerate(words):
            # A space before the first word is the tokeniser's own.
            pieces = self.tokenizer.encode(as_read(match[0]))
            ids += pieces
            owners += [place] * len(pieces)
        of = np.array(owners)
        rows = [[*ids, EOS]]
        for place in range(len(words)):
            rows.append([*(UNK if owner == place else one for one, owner in zip(ids, of, strict=True)), EOS])
        odds = self._odds(self._logits(rows))
        return [
            Deciding(match[0], match.start(), float(odds[0] - without))
            for match, without in zip(words, odds[1:], strict=True)
        ]

    def _odds(self, logits: np.ndarray) -> np.ndarray:
        """Logarithm of the odds (N,) of the class that the first row is taken for."""
        found = softmax(logits / self._temperature)
        share = found[:, found[0].argmax()].astype(np.float64).clip(1e-9, 1 - 1e-9)
        return np.log(share / (1 - share))

    def _logits(self, rows: list[list[int]]) -> np.ndarray:
        """Logits (N, C) of rows of ids; long ones in parts."""
        size = self._max_length
        parts = [row[start : start + size] for row in rows for start in range(0, len(row), size)]
        owners = np.array([place for place, row in enumerate(rows) for _ in range(0, len(row), size)])
        lengths = np.array([len(part) for part in parts])
        logits = np.empty((len(parts), len(self.classes)), np.float32)
        order = np.argsort(lengths, kind="stable")
        for places in self._batches(order, lengths):
            logits[places] = self._read([parts[place] for place in places])
        found = np.zeros((len(rows), len(self.classes)))
        np.add.at(found, owners, logits * lengths[:, None])
        return found / np.bincount(owners, lengths)[:, None]

    def _batches(self, order: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Places of parts, those of one length together: no text depends on those beside it."""
        for same in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            rows = max(1, _TOKENS // int(lengths[same[0]]))
            yield from (same[start : start + rows] for start in range(0, len(same), rows))

    def _read(self, rows: list[list[int]]) -> np.ndarray:
        ids, lengths = padded(rows)
        features = pooled(self.encode(ids, lengths), lengths)
        logits: np.ndarray = features @ self.output.weight.T + self.output.bias
        if not np.isfinite(logits).all():
            raise UserError(
                "the model computed NaN or infinity; its weights are damaged or its training diverged"
            )
        return logits

    def _told(self, text: str, row: np.ndarray) -> Classification:
        order = np.argsort(-row, kind="stable")
        shares = {self.classes[place]: float(row[place]) for place in order}
        label = self.classes[order[0]]
        return Classification(text, label, shares[label], shares)
