"""A recurrent decoder that speaks: text in, text out."""

__all__ = ["GeneratedText", "TextGenerator"]


def __getattr__(name: str):
    # Importing the package stays instant, whatever of it is wanted.
    if name in __all__:
        from textgen import generator

        return getattr(generator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
