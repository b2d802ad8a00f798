"""The commands for many people and many photos: serve, bulk; `cli` names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from captioner.bulk_config import BulkConfig
from captioner.service.config import ServiceConfig
from textgen.arguments import Model
from textgen.output import print_json


@dataclass(frozen=True)
class BulkCommand:
    """Caption photos by the million, by Ray Data; needs the extra [ray]. A run that was ended goes on where it was.

    INPUT: a folder, a pattern such as "train-*.parquet", a Parquet table with a column of paths or of bytes, tars of
    WebDataset; of this machine or behind s3:// or gs://. OUTPUT: a folder, which may be there, too, for the parts, the
    failures with their reasons, and a summary; what lies in it is no photo.
    """

    source: Annotated[Positional[str], arg(metavar="INPUT")]
    """Photos."""
    out: Annotated[Positional[str], arg(metavar="OUTPUT")]
    """Folder for the captions."""
    model: Model = None
    """A model in the box by its name, or a trained model's folder, on every machine; general unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[BulkConfig] = BulkConfig()

    def run(self) -> int:
        from captioner.bulk import bulk
        from captioner.languages import check_language

        check_language(self.config.language)
        summary = bulk(self.source, self.out, self.model, self.engine, self.config)
        print_json({name: summary[name] for name in ("photos", "failed", "parts", "seconds")})
        return 0 if not summary["failed"] else 2 if summary["failed"] == summary["photos"] else 1


@dataclass(frozen=True)
class ServeCommand:
    """Serve captions, texts, translations and classes over HTTP; needs the extra [serve]. The paths: /docs there."""

    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[ServiceConfig] = ServiceConfig()

    def run(self) -> None:
        from captioner.serve import serve

        serve(self.model, self.engine, self.config)
