"""What a training has from the trained translator that it starts from, whatever its settings say."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from textgen.errors import UserError
from textgen.storage.bundle import Header
from textgen.translation.model import TranslationModel
from textgen.translation.training_config import PairsConfig


def settled(config: PairsConfig, model: TranslationModel, header: Header) -> PairsConfig:
    """`config` with the languages, subwords and sizes of the `model` that it starts from.

    Raises UserError for a setting that says otherwise, but for the usual one, which nobody need have asked for.
    """
    encoder, decoder = model.encoder.config, model.decoder.config
    own: dict[str, Any] = {
        "languages": tuple(header["config"]["languages"]),
        "vocabulary": decoder.vocab_size,
        "cell": decoder.cell,
        "encoder_layers": encoder.num_layers,
        "encoder_hidden": encoder.hidden_size,
        "bidirectional": encoder.bidirectional,
        "attention": not encoder.pooled,
        "layers": decoder.num_layers,
        "hidden": decoder.hidden_size,
        "embedding": decoder.embedding_size,
        "summary": decoder.summary_size,
        "heads": decoder.attention_heads,
        "dropout": decoder.dropout,
    }
    usual = {field.name: field.default for field in fields(config)}
    for name, value in own.items():
        asked = getattr(config, name)
        if asked not in (value, usual[name]):
            said, has = (" ".join(one) if name == "languages" else one for one in (asked, value))
            raise UserError(
                f"{name}: the model to start from has {has}, not {said}; leave it out (--start-from)"
            )
    return replace(config, **own)
