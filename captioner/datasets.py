"""`load_dataset` where it was before the rooms: scripts of that time go on working."""

from captioner.data.examples import Dataset, Example, load_dataset

__all__ = ["Dataset", "Example", "load_dataset"]
