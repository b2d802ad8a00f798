"""Captions for pictures: textgen's recurrent decoder with eyes."""

__version__ = "0.1.0"
__all__ = ["Caption", "Captioner"]


def __getattr__(name: str):
    # Importing the package stays instant: torch comes with the first use.
    if name in __all__:
        from captioner import caption

        return getattr(caption, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
