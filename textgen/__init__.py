"""A recurrent decoder that speaks: text in, text out."""

from typing import TYPE_CHECKING

from textgen import telemetry

if TYPE_CHECKING:
    from textgen.generator import GeneratedText, TextGenerator

__all__ = ["GeneratedText", "TextGenerator"]

telemetry.turn_off()


def __getattr__(name: str) -> type:
    # Importing the package stays instant, whatever of it is wanted.
    if name in __all__:
        from textgen import generator

        found: type = getattr(generator, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
