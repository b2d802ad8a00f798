"""What a report counts, and where it is written; apart from `score`, so that the command line can show it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.storage.files import check_output


@dataclass(frozen=True)
class ReportConfig:
    """What to count, and where to write it."""

    bootstrap: Annotated[int, arg(metavar="DRAWS")] = 1000
    """Samples of the pictures for the 95 % intervals; 0 leaves them out."""
    seed: int = 0
    """Of the samples, and of the shuffle that shows the floor."""
    tokenizer: str = "ptb"
    """ptb, coco-caption's words; char, single characters, as for Chinese, Japanese and Thai; none, what stands between
    white space."""
    meteor: bool = False
    """METEOR 1.5, too: needs Java and the extra [coco]; slow."""
    spice: bool = False
    """SPICE, too: needs Java 8 and the extra [coco], and downloads a parser; slow."""
    kinds: bool = False
    """The scores by kind of picture, too: people, animals, food and so on, told by the words of the references."""
    worst: Annotated[int, arg(metavar="N")] = 0
    """The N captions of lowest CIDEr, too, each with a reference."""
    report: Annotated[Path | None, arg(metavar="FILE.HTML")] = None
    """Write one self-contained page with tables, plots and pictures."""
    json: bool = False
    """Print one JSON document."""

    def __post_init__(self) -> None:
        if self.bootstrap and not 100 <= self.bootstrap <= 1_000_000:
            raise UserError(f"bootstrap: {self.bootstrap} is neither 0 nor 100 to 1,000,000 draws")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")
        if self.tokenizer != "ptb":
            from captioner.metrics.tokens import TOKENISERS

            if self.tokenizer not in TOKENISERS:
                raise UserError(f"tokenizer: unknown {self.tokenizer!r}; known: {', '.join(TOKENISERS)}")
        for name in ("meteor", "spice"):
            if getattr(self, name) and self.tokenizer != "ptb":
                raise UserError(f"{name}: knows English words only; leave out --tokenizer {self.tokenizer}")
        if self.worst < 0:
            raise UserError(f"worst: {self.worst} must be 0 or more")
        check_report(self.report)


def check_report(path: Path | None, inputs: Iterable[Path] = ()) -> None:
    """Raises UserError as `check_output` does, of a page that is to be written."""
    check_output(path, "--report", (".html", ".htm"), inputs)
