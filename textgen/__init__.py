"""A recurrent decoder that speaks: text in, text out; a sentence in, another language or a class out."""

from importlib import import_module
from typing import TYPE_CHECKING

from textgen import telemetry

if TYPE_CHECKING:
    from textgen.classification.classifier import Classification, Classifier
    from textgen.generator import GeneratedText, TextGenerator
    from textgen.translation.translator import Translation, Translator

__all__ = ["Classification", "Classifier", "GeneratedText", "TextGenerator", "Translation", "Translator"]

_MODULES = {
    "Classification": "textgen.classification.classifier",
    "Classifier": "textgen.classification.classifier",
    "GeneratedText": "textgen.generator",
    "TextGenerator": "textgen.generator",
    "Translation": "textgen.translation.translator",
    "Translator": "textgen.translation.translator",
}

telemetry.turn_off()


def __getattr__(name: str) -> type:
    # Importing the package stays instant, whatever of it is wanted.
    if name in _MODULES:
        found: type = getattr(import_module(_MODULES[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
