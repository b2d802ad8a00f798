"""Captions for pictures: textgen's recurrent decoder with eyes."""

from typing import TYPE_CHECKING

from captioner.version import __version__
from textgen import telemetry

if TYPE_CHECKING:
    from captioner.caption import Captioner
    from captioner.network.decoding import Caption

__all__ = ["Caption", "Captioner", "__version__"]

telemetry.turn_off()


def __getattr__(name: str) -> type:
    # Importing the package stays instant: what is heavy comes with the first use.
    if name in ("Caption", "Captioner"):
        from captioner import caption

        found: type = getattr(caption, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
