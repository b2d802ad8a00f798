"""The command line: caption, train, evaluate, score, export, calibrate, info, models, app, serve, bulk."""

from __future__ import annotations

from collections.abc import Sequence

from textgen import command_line

COMMANDS = command_line.Named(
    {
        "caption": "captioner.caption_command:CaptionCommand",
        "train": "captioner.training_commands:TrainCommand",
        "evaluate": "captioner.score_commands:EvaluateCommand",
        "score": "captioner.score_commands:ScoreCommand",
        "export": "captioner.training_commands:ExportCommand",
        "calibrate": "captioner.training_commands:CalibrateCommand",
        "info": "captioner.model_commands:InfoCommand",
        "models": "captioner.model_commands:ModelsCommand",
        "app": "captioner.model_commands:AppCommand",
        "serve": "captioner.many_commands:ServeCommand",
        "bulk": "captioner.many_commands:BulkCommand",
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    return command_line.main("captioner", "Captions for photos, offline, on an ordinary CPU.", COMMANDS, argv)
