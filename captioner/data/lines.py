"""A data set's captions as a text of lines: what the models of lines in the box were trained on.

    python -m captioner.data.lines DATA OUT

writes OUT/train.txt and OUT/dev.txt, a caption a line, in small letters and without the full stop at its end; those of a
picture stand together, and all of them in one file.
"""

from __future__ import annotations

import sys
from operator import methodcaller
from pathlib import Path

from captioner.data.scorable import read_captions
from textgen.errors import UserError
from textgen.storage.files import atomic_write

SPLITS = ("train", "dev")


def write_lines(data: Path, out: Path) -> dict[str, int]:
    """Writes a file a split; returns how many lines each has. Raises UserError naming what is wrong with `data`."""
    counts = {}
    for split in SPLITS:
        captions = (caption.lower().rstrip(" .") for caption in read_captions(data, split, by_hash=True))
        lines = "".join(f"{caption}\n" for caption in captions if caption)
        atomic_write(out / f"{split}.txt", methodcaller("write", lines.encode()))
        counts[split] = lines.count("\n")
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("python -m captioner.data.lines DATA OUT")
    try:
        print(write_lines(Path(sys.argv[1]), Path(sys.argv[2])))
    except UserError as error:
        raise SystemExit(str(error)) from error
