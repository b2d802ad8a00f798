"""A text model of any family as it is stored: written, read, exported, and made ready to write.

`model.json` names the family, and has a part for each network: the recurrent `decoder` or the `transformer`, and beside
or instead of them an `encoder`, a `critic` or a `denoiser`, whose weights' names begin with the part's. A model
that names no family is a recurrent decoder alone, and so is a `gan` once it is trained; `textgen.engine.text_model` stores both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.decoding.writing import StepWriter, Writer
from textgen.engine import text_model
from textgen.engine.choice import choose_engine
from textgen.engine.protocol import StepModel
from textgen.engine.text_model import BOX, KIND
from textgen.errors import UserError
from textgen.families.diffusion import Denoise
from textgen.families.energy import Energy, EnergyWriter
from textgen.families.flow import NumpyFlow
from textgen.families.latent import Encode, LatentConfig, LatentWriter
from textgen.families.revealing import DiffusionWriter
from textgen.sequences.config import EncoderConfig
from textgen.sequences.pooling import pooled
from textgen.storage import bundle
from textgen.storage.bundle import Bundle, Header
from textgen.storage.card import model_card
from textgen.storage.graphs import Graphs, check_precision, has_graphs, read_graphs, write_graphs
from textgen.storage.weights import Rounding
from textgen.text.batches import padded
from textgen.text.tokenizer import Tokenizer
from textgen.transformer.config import TransformerConfig

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BOX", "KIND", "export_model", "load_any"]

FAMILIES = ("autoregressive", "transformer", "vae", "flow", "gan", "energy", "diffusion")
PARTS = {
    "transformer": ("transformer",),
    "vae": ("decoder", "encoder"),
    "flow": ("decoder", "encoder"),
    "energy": ("decoder", "critic"),
    "diffusion": ("denoiser",),
}
"""The networks of the families that are stored here."""
_CONFIGS = {"decoder": DecoderConfig, "transformer": TransformerConfig}  # of the other parts: EncoderConfig
_EMBEDDING = "embedding.weight"
_TOKENS = 20_000  # that a critic reads in a call
_LOGITS = 1 << 24  # of a denoiser in memory at a time

Weights = Mapping[str, np.ndarray]


class Loaded(NamedTuple):
    """What a `TextGenerator` is made of."""

    writer: Writer
    tokenizer: Tokenizer
    header: Header
    hash: str
    """sha256 of the weights' file."""


class Engines(NamedTuple):
    """A model's networks, ready to run."""

    model: Callable[[], StepModel]
    """Of the part `decoder` or `transformer`."""
    encode: Callable[[str], Encode]
    """Of any other part, by its name: the tokens as it encodes them."""


def model_header(
    family: str, config: Header, tokenizer: Tokenizer, provenance: Header, notes: str = ""
) -> Header:
    """What `model.json` says of a model of lines; `config` has its parts, `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {"lines": True, "family": family, "vocab_size": len(tokenizer), **config},
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, network: nn.Module, header: Header) -> None:
    """Writes a model with its card, atomically."""
    bundle.write(folder, header, bundle.weights_of(network), model_card(header))


def load_any(folder: Path, engine: str = "auto") -> Loaded:
    """A stored text model of any family ready to write, its tokeniser, header and hash, all checked."""
    if _family(folder) not in PARTS:
        found = text_model.load_model(folder, engine)
        return Loaded(StepWriter(found.model), found.tokenizer, found.header, found.hash)
    stored, tokenizer, parts = _read(folder)
    if choose_engine(engine, has_graphs(stored.header), folder) == "onnx":
        engines = _onnx_engines(stored, parts)
    else:
        from textgen.families.networks import read_network, torch_engines

        engines = torch_engines(read_network(stored))
    with bundle.describing(folder / bundle.HEADER):
        writer = writer_of(stored.header["config"], stored.weights, engines)
    return Loaded(writer, tokenizer, stored.header, stored.hash)


def export_model(folder: Path, precision: str, pack: bool = False) -> None:
    """Adds ONNX graphs to a stored model; `pack` as `textgen.graphs.text_model.export_model` has it."""
    if _family(folder) not in PARTS:
        from textgen.graphs.text_model import export_model as export_decoder

        export_decoder(folder, precision, pack)
        return
    check_precision(precision)
    from textgen.graphs.decoder import decoder_graphs
    from textgen.sequences.encoder_graph import encoder_graph
    from textgen.transformer.graph import transformer_graph, transformer_write_graph

    stored, _, parts = _read(folder)
    if pack:
        stored = bundle.pack_weights(stored, _steps(parts))
    files: dict[str, bytes] = {}
    for name, config in parts.items():
        if isinstance(config, DecoderConfig):
            files |= decoder_graphs(config, stored.weights.part(f"{name}."), precision)
        elif isinstance(config, TransformerConfig):
            own = stored.weights.part(f"{name}.")
            files[name] = transformer_graph(config, own, precision)
            files["write"] = transformer_write_graph(config, own, precision)
        else:
            files[name] = encoder_graph(config, _encoder_weights(stored, name))
    write_graphs(stored, Graphs(precision, files))


def writer_of(config: Header, weights: Weights, engines: Engines) -> Writer:
    """The writer of a model of the `config` that `model.json` has, of its weights and its networks."""
    family = config["family"]
    if family == "diffusion":
        rows = max(1, _LOGITS // (config["places"] * config["vocab_size"]))
        denoise = _denoise(weights, engines.encode("denoiser"))
        return DiffusionWriter(denoise, config["places"], rows=rows)
    model = engines.model()
    if family == "energy":
        log_z = float(config["log_partition"]["value"])
        return EnergyWriter(StepWriter(model), _energy(weights, engines.encode("critic")), log_z)
    if family in ("vae", "flow"):
        latent = LatentConfig(**config["latent"])
        flow = None
        if latent.flow:
            couplings = {n.removeprefix("flow."): w for n, w in weights.items() if n.startswith("flow.")}
            flow = NumpyFlow(latent.flow, couplings)
        head = weights["posterior_of.weight"], weights["posterior_of.bias"]
        return LatentWriter(model, engines.encode("encoder"), *head, flow)
    return StepWriter(model)


def _denoise(weights: Weights, encode: Encode) -> Denoise:
    embedding, bias = weights[f"denoiser.{_EMBEDDING}"], weights["denoiser.output_bias"]
    project, offset = weights["denoiser.project.weight"], weights["denoiser.project.bias"]

    def denoise(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        context = encode(ids, np.full(len(ids), ids.shape[1]))[wanted]
        return _finite((context @ project.T + offset) @ embedding.T + bias)

    return denoise


def _energy(weights: Weights, encode: Encode) -> Energy:
    weight, bias = weights["critic.output.weight"][0], weights["critic.output.bias"][0]

    def energy(lines: Sequence[Sequence[int]]) -> np.ndarray:
        if not len(lines):
            return np.zeros(0)
        found = np.empty(len(lines))
        order = np.argsort([len(line) for line in lines], kind="stable")
        rows = max(1, _TOKENS // len(lines[order[-1]]))
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            ids, lengths = padded([lines[place] for place in places])
            found[places] = pooled(encode(ids, lengths), lengths) @ weight + bias
        return _finite(found)

    return energy


def _finite(found: np.ndarray) -> np.ndarray:
    if not np.isfinite(found).all():
        raise UserError(
            "the model computed NaN or infinity; its weights are damaged or its training diverged"
        )
    return found


def _onnx_engines(stored: Bundle, parts: Parts) -> Engines:
    from textgen.engine.onnx import OnnxEngine
    from textgen.sequences.onnx_encoder import OnnxEncoder
    from textgen.transformer.engines import OnnxTransformer

    again = f"textgen export {stored.folder}"

    def model() -> StepModel:
        if isinstance(config := parts.get("decoder"), DecoderConfig):
            return OnnxEngine.of(config, stored, again, "decoder.")
        config = parts["transformer"]
        assert isinstance(config, TransformerConfig), "the one or the other"
        graphs = read_graphs(stored, again, ("transformer",))
        with bundle.describing(stored.folder / bundle.WEIGHTS):
            weights = stored.weights.part("transformer.")
            files = graphs.files
            return OnnxTransformer(
                config, weights, files["transformer"], graphs.precision, write_graph=files.get("write")
            )

    def encode(name: str) -> Encode:
        config = parts[name]
        assert isinstance(config, EncoderConfig), "as the table of parts has it"
        graph = read_graphs(stored, again, (name,)).files[name]
        with bundle.describing(stored.folder / bundle.WEIGHTS):
            return OnnxEncoder(config, _encoder_weights(stored, name), graph)

    return Engines(model, encode)


Parts = Mapping[str, DecoderConfig | TransformerConfig | EncoderConfig]


def _encoder_weights(stored: Bundle, name: str) -> dict[str, np.ndarray]:
    """The recurrent layers of a part, and the embedding that they read: an `encoder`'s is the decoder's."""
    if name == "encoder":
        return {**stored.weights.part("encoder."), _EMBEDDING: stored.weights[f"decoder.{_EMBEDDING}"]}
    return {
        **stored.weights.part(f"{name}.encoder."),
        _EMBEDDING: stored.weights[f"{name}.{_EMBEDDING}"],
    }


def _steps(parts: Parts) -> dict[str, Rounding]:
    """The matrices that may be stored in 8 bits, and in how many steps: as the graphs round them."""
    from textgen.engine.onnx_weights import stored_steps as decoder_steps
    from textgen.sequences.onnx_encoder import STEPS
    from textgen.sequences.onnx_encoder import stored_steps as encoder_steps
    from textgen.transformer.engines import stored_steps as transformer_steps

    steps: dict[str, Rounding] = {}
    for name, config in parts.items():
        if isinstance(config, DecoderConfig):
            found = decoder_steps(config)
        elif isinstance(config, TransformerConfig):
            found = transformer_steps(config)
        elif name == "encoder":
            found = encoder_steps(config)
        else:
            found = {f"encoder.{layer}": count for layer, count in encoder_steps(config).items()}
            found[_EMBEDDING] = STEPS
        steps |= {f"{name}.{weight}": count for weight, count in found.items()}
    return steps


def _family(folder: Path) -> str:
    """The family of the text model in `folder`."""
    family = bundle.read_header(folder, KIND)["config"].get("family", FAMILIES[0])
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UserError(f"{folder / bundle.HEADER}: config: unknown family {family!r}; known: {known}")
    return str(family)


def read_stored(folder: Path) -> tuple[Bundle, Tokenizer]:
    """A stored model of `PARTS` with its tokeniser, checked."""
    stored, tokenizer, _ = _read(folder)
    return stored, tokenizer


def _read(folder: Path) -> tuple[Bundle, Tokenizer, Parts]:
    stored = bundle.read(folder, KIND)
    path, config = folder / bundle.HEADER, stored.header["config"]
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        parts = {name: _CONFIGS.get(name, EncoderConfig)(**config[name]) for name in PARTS[config["family"]]}
        if config["lines"] is not True:
            raise UserError("config: lines must be true")
        family = config["family"]
        if not isinstance(config["vocab_size"], int):
            raise UserError("config: vocab_size must be a whole number")
        if family == "diffusion" and not (isinstance(config["places"], int) and config["places"] >= 2):
            raise UserError("config: places must be 2 or more")
        if family == "energy" and not isinstance(config["log_partition"]["value"], float):
            raise UserError("config: log_partition must have a value")
        if family in ("vae", "flow"):
            latent = LatentConfig(**config["latent"])
            if not all(isinstance(value, int) for value in config["latent"].values()):
                raise UserError("config: latent must have whole numbers")
            if (latent.flow is not None) != (family == "flow"):  # sizes that are none it refuses itself
                raise UserError(f"config: a {family} has {'no ' * (family == 'vae')}couplings")
            if parts["decoder"].context_size != latent.latent_size:
                raise UserError("config: the decoder's context is not a latent vector")
            if parts["decoder"].embedding_size != parts["encoder"].embedding_size:
                raise UserError("config: encoder and decoder have embeddings of different sizes")
    bundle.check_vocabulary(path, len(tokenizer), config["vocab_size"])
    for name, shape in _shapes(config, parts, len(tokenizer)).items():
        if name not in stored.weights or stored.weights[name].shape != shape:
            raise UserError(f"{folder / bundle.WEIGHTS}: {name} is not {shape}, as {bundle.HEADER} says")
    return stored, tokenizer, parts


def _shapes(config: Header, parts: Parts, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Of the weights that numpy computes with; the engines check theirs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in parts.items():
        if isinstance(part, EncoderConfig) and name != "encoder":
            shapes[f"{name}.{_EMBEDDING}"] = (vocab_size, part.embedding_size)
        if isinstance(part, EncoderConfig) and name == "critic":
            shapes |= {"critic.output.weight": (1, 2 * part.output_size), "critic.output.bias": (1,)}
        if isinstance(part, EncoderConfig) and name == "denoiser":
            shapes["denoiser.project.weight"] = (part.embedding_size, part.output_size)
            shapes |= {
                "denoiser.project.bias": (part.embedding_size,),
                "denoiser.output_bias": (vocab_size,),
            }
        if isinstance(part, EncoderConfig) and name == "encoder":
            latent = LatentConfig(**config["latent"])
            twice = 2 * latent.latent_size
            shapes |= {
                "posterior_of.weight": (twice, 2 * part.output_size),
                "posterior_of.bias": (twice,),
            }
            for coupling in range(latent.couplings):
                assert latent.flow, "it has couplings"
                reads, changes = (len(half) for half in latent.flow.halves(coupling))
                of = f"flow.couplings.{coupling}."
                shapes |= {of + "0.weight": (latent.flow_hidden, reads), of + "0.bias": (latent.flow_hidden,)}
                shapes |= {of + "2.weight": (2 * changes, latent.flow_hidden), of + "2.bias": (2 * changes,)}
    return shapes
