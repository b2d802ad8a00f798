"""The command `textgen generate`."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from textgen.arguments import Model
from textgen.errors import UserError
from textgen.generation_config import GenerationConfig
from textgen.output import as_text, complain, print_json


@dataclass(frozen=True)
class GenerateCommand:
    """Read a prompt on. Without PROMPT, or with "-", it is read from standard input, less one line end."""

    prompt: Annotated[Positional[str | None], arg(metavar="PROMPT")] = None
    """Where the text begins; printed as typed."""
    model: Model = None
    """A model in the box (`textgen models` lists them) or a trained model's folder; shakespeare unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[GenerationConfig] = GenerationConfig()
    n: Annotated[int, arg(aliases=("-n",))] = 1
    """Texts."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.generator import TextGenerator

        prompt = _standard_input() if self.prompt in (None, "-") else as_text(self.prompt)
        generator = TextGenerator.load(self.model, self.engine)
        for warning in generator.read(prompt).warnings:
            complain("textgen", warning)
        settings = asdict(self.config)
        if self.json:
            document: dict[str, Any] = {"model": generator.hash, **settings, "texts": []}
            try:
                for text in generator.generate_each(prompt, n=self.n, **settings):
                    document["texts"].append(asdict(text))
            except KeyboardInterrupt:
                done = len(document["texts"])
                document = {**document, "incomplete": f"{done:,} of {self.n:,} texts: stopped"}
                raise
            finally:
                # What is done is not lost; settings that are refused have no document.
                if document["texts"] or sys.exc_info()[0] is None:
                    print_json(document)
        elif self.n == 1:
            pieces = generator.stream(prompt, **settings)
            # What the model cannot do is refused before anything is printed.
            print(prompt + next(pieces, ""), end="", flush=True)
            for piece in pieces:
                print(piece, end="", flush=True)
            print()
        else:
            for index, text in enumerate(generator.generate_each(prompt, n=self.n, **settings)):
                print(f"{'' if index == 0 else chr(10)}--- {index + 1}\n{text}", flush=True)
        return 0


def _standard_input() -> str:
    from textgen.text.encodings import decode_text

    if sys.stdin is None or sys.stdin.isatty():
        raise UserError('no prompt given; try: textgen generate "ROMEO:"')
    return decode_text(sys.stdin.buffer.read(), "standard input").removesuffix("\n")
