"""`load_corpus` where it was before the rooms: scripts of that time go on working."""

from textgen.text.corpus import Corpus, load_corpus

__all__ = ["Corpus", "load_corpus"]
