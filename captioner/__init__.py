"""Captions for pictures: textgen's recurrent decoder with eyes."""

from captioner.version import __version__

__all__ = ["Caption", "Captioner", "__version__"]


def __getattr__(name: str):
    # Importing the package stays instant: torch comes with the first use.
    if name in ("Caption", "Captioner"):
        from captioner import caption

        return getattr(caption, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
