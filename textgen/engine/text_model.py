"""A text model as it is stored, loaded and judged: a decoder, its vocabulary, how its texts begin and end."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.decoding.likelihood import Score, line_nats, stream_nats
from textgen.engine.choice import choose_engine
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.text.tokenizer import BOS, EOS, UNK, Tokenizer

KIND = "textgen"
MODELS = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = "shakespeare"


def models_in_the_box() -> list[str]:
    """Their names."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{bundle.HEADER}"))


def model_folder(model: str | os.PathLike | None = None) -> Path:
    """The folder of a model in the box by its name, or of any other. Raises UserError when there is none."""
    model = DEFAULT_MODEL if model is None else model
    names = models_in_the_box()
    if model in names:
        return MODELS / model
    if not Path(model).exists():
        raise UserError(f"{model}: no such model or folder; in the box: {', '.join(names)}")
    return Path(model)


def model_header(decoder, tokenizer: Tokenizer, lines: bool, provenance: dict, notes: str = "") -> dict:
    """What `model.json` says of an `RNNDecoder`; `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {"lines": lines, "decoder": asdict(decoder.config)},
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, decoder, header: dict) -> None:
    """Writes an `RNNDecoder` with its card, atomically."""
    from textgen.storage.card import model_card

    bundle.write(folder, header, bundle.weights_of(decoder), model_card(header))


def read_model(folder: Path) -> tuple:
    """A stored `RNNDecoder` with its tokeniser, header and hash, all checked."""
    stored, tokenizer, config = _read(folder)
    return _decoder(stored, config), tokenizer, stored.header, stored.hash


def load_model(folder: Path, engine: str = "auto") -> tuple[StepModel, Tokenizer, dict, str]:
    """A stored model ready to be stepped, its tokeniser, header and hash, all checked."""
    stored, tokenizer, config = _read(folder)
    if choose_engine(engine, bundle.has_graphs(stored.header), folder) == "onnx":
        from textgen.engine.onnx import OnnxEngine

        model = OnnxEngine.of(config, stored, f"textgen export {folder}")
    else:
        from textgen.engine.protocol import TorchEngine

        model = TorchEngine(_decoder(stored, config))
    return model, tokenizer, stored.header, stored.hash


def export_model(folder: Path, precision: str) -> None:
    """Adds ONNX graphs to a stored model. Raises UserError naming what is wrong with it."""
    from textgen.engine.onnx_graph import decoder_graphs

    stored, _, config = _read(folder)
    bundle.write_graphs(stored, bundle.Graphs(precision, decoder_graphs(config, stored.weights, precision)))


def _read(folder: Path) -> tuple[bundle.Bundle, Tokenizer, DecoderConfig]:
    stored = bundle.read(folder, KIND)
    path = folder / bundle.HEADER
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        config = DecoderConfig(**stored.header["config"]["decoder"])
        if not isinstance(stored.header["config"]["lines"], bool):
            raise UserError("config: lines must be true or false")
    bundle.check_vocabulary(path, len(tokenizer), config.vocab_size)
    return stored, tokenizer, config


def _decoder(stored: bundle.Bundle, config: DecoderConfig):
    """The `RNNDecoder` that a model stores."""
    import torch

    from textgen.decoder.rnn import RNNDecoder

    with bundle.describing(stored.folder / bundle.HEADER), torch.device("meta"):
        decoder = RNNDecoder(config)  # sizes that are wrong cost nothing until they are checked
    bundle.load_weights(stored, decoder, empty=[decoder])
    return decoder


def start_of_text(tokenizer: Tokenizer, lines: bool) -> int:
    """The id before the first token of a text: of a stream, what separates its parts."""
    return BOS if lines else tokenizer.ids.get(tokenizer.break_token, BOS)


@dataclass(frozen=True)
class Encoded:
    """Texts as ids: lines with their end tokens, or one stream."""

    ids: np.ndarray | list[list[int]]
    """Of a stream (tokens,), as small as they can be kept; of lines, of each."""
    characters: int
    """Line ends and breaks between texts included: they are predicted, too."""

    @property
    def tokens(self) -> int:
        return len(self.ids) if isinstance(self.ids, np.ndarray) else sum(map(len, self.ids))

    @property
    def unknown(self) -> int:
        if isinstance(self.ids, np.ndarray):
            return int(np.count_nonzero(self.ids == UNK))
        return sum(row.count(UNK) for row in self.ids)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], lines: bool) -> Encoded:
    """`texts` as the model reads them. Raises UserError when there is nothing in them."""
    characters = sum(map(len, texts)) + (len(texts) if lines else len(texts) - 1)
    if lines:
        ids = [[*tokenizer.encode(text), EOS] for text in texts]
    else:
        start = start_of_text(tokenizer, lines)
        small = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        parts = [np.zeros(0, dtype=small)]
        for text in texts:
            parts.append(np.array([start], dtype=small))
            parts += [np.array(tokenizer.encode(part), dtype=small) for part in tokenizer.chunks(text)]
        ids = np.concatenate(parts)[1:]
    if not len(ids):
        raise UserError("text: is empty; there is nothing to read")
    return Encoded(ids, characters)


def score(model: StepModel, tokenizer: Tokenizer, encoded: Encoded, streams: int = 1) -> Score:
    """How likely `model` finds texts; a stream is read in `streams` parts side by side."""
    if streams < 1:
        raise UserError(f"streams: {streams} must be 1 or more")
    if isinstance(encoded.ids, np.ndarray):
        start = start_of_text(tokenizer, lines=False)
        nats = stream_nats(model, encoded.ids, start, streams).sum()
    else:
        nats = line_nats(model, encoded.ids).sum()
    if not math.isfinite(nats):
        raise UserError(
            "the model computed NaN or infinity; its weights are damaged or its training diverged"
        )
    return Score(float(nats), encoded.tokens, encoded.characters, encoded.unknown)
