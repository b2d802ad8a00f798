"""The command line: generate, fill, blend, translate, classify, train, evaluate, sweep, compare, export, info, models."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from textgen import command_line

COMMANDS = command_line.Named(
    {
        "generate": "textgen.generate_command:GenerateCommand",
        "fill": "textgen.line_commands:FillCommand",
        "blend": "textgen.line_commands:BlendCommand",
        "translate": "textgen.sentence_commands:TranslateCommand",
        "classify": "textgen.sentence_commands:ClassifyCommand",
        "train": "textgen.model_commands:TrainCommand",
        "evaluate": "textgen.model_commands:EvaluateCommand",
        "sweep": "textgen.model_commands:SweepCommand",
        "compare": "textgen.line_commands:CompareCommand",
        "export": "textgen.model_commands:ExportCommand",
        "info": "textgen.model_commands:InfoCommand",
        "models": "textgen.model_commands:ModelsCommand",
    }
)


# What a command is with one of these options.
VARIANTS = {
    "train": command_line.Named(
        {
            "--pairs": "textgen.sentence_commands:TrainPairsCommand",
            "--classes": "textgen.sentence_commands:TrainClassesCommand",
            "--family": "textgen.line_commands:TrainFamilyCommand",
        }
    ),
    "evaluate": command_line.Named(
        {
            "--pairs": "textgen.sentence_commands:EvaluatePairsCommand",
            "--classes": "textgen.sentence_commands:EvaluateClassesCommand",
        }
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    commands = COMMANDS
    name = given[0] if given else ""
    if name == "train" and "autoregressive" in (family := _family(given)):
        given = argv = [word for place, word in enumerate(given) if place not in family["autoregressive"]]
    for option, place in (VARIANTS[name].places if name in VARIANTS else {}).items():
        if any(word == option or word.startswith(f"{option}=") for word in given):
            commands = command_line.Named({**COMMANDS.places, name: place})
            # Asked for the help of `train --pairs`, nobody names a file.
            if {"-h", "--help"} & set(given):
                argv = [name, "--help"]
    return command_line.main("textgen", "Text from prompts, offline, on an ordinary CPU.", commands, argv)


def _family(given: list[str]) -> dict[str, list[int]]:
    """The family that is named by --family, and the places of the words that name it."""
    for place, word in enumerate(given):
        if word.startswith("--family="):
            return {word.removeprefix("--family="): [place]}
        if word == "--family" and place + 1 < len(given):
            return {given[place + 1]: [place, place + 1]}
    return {}
