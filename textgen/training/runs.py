"""A training run's folder: its settings, whether it may begin or go on, its log, and what it tells the person."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from textgen.errors import UserError
from textgen.rows import share
from textgen.storage.bundle import HEADER, model_files
from textgen.storage.files import atomic_write, check_folder, remove_unfinished
from textgen.storage.typed import is_address, why_unreadable
from textgen.training.memory import peak_memory

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config")

_STATE, _LOG = "training", "log.jsonl"
MAPPED = "tokens-*.bin"  # in the state: ids of text that is too large for memory


class RunFolder:
    """`out` holds the best model; `out/training` the run's state and settings."""

    def __init__(self, out: Path, prog: str):
        self.out = out
        self.command = shlex.join([prog, *sys.argv[1:]])
        """The command that began the run."""
        self.state = out / _STATE
        self._settings = self.state / "config.json"
        self._data_hash: str | None = None

    def open(self, config: Config, resume: bool) -> Config:
        """The settings to train with: with `resume` the run's own, where there is one, whatever `config` says.

        What a run that was killed left half-written is removed. Raises UserError when the folder is in use and the run is
        not to be resumed, when it holds files of somebody else's, the data's perhaps, that the model would replace, and
        when it cannot be written.
        """
        config = self._settled(config, resume)
        if not share().rank:
            remove_unfinished(self.state)
        return config

    def _settled(self, config: Config, resume: bool) -> Config:
        if is_address(self.out):
            raise UserError(f"{self.out}: an address, not a folder (--out); name a folder of this computer")
        if not share().rank:  # others would find what this one makes and removes
            if os.path.exists(self.out) and not os.path.isdir(self.out):
                raise UserError(f"{self.out}: is not a folder (--out); name one")
            check_folder(self.out, "--out")
        if resume and self._settings.exists():
            return self._saved(type(config))
        if resume and (self.out / HEADER).exists():
            raise UserError(f"{self.out}: holds a model, but no run to continue; give another --out")
        if (self.out / HEADER).exists() or self._settings.exists():
            raise UserError(
                f"{self.out}: already holds a model or a run; give another --out, or --resume to continue"
            )
        mapped = set(self.state.glob(MAPPED))  # of a run that was killed before it began
        if others := [file for file in model_files(self.out) if file not in mapped]:
            raise UserError(f"{others[0]}: would be overwritten by the model (--out); give another folder")
        if resume:
            say(f"{self.out}: no run to resume; starting one")
        return config

    def begin(self, config: DataclassInstance, data: str, data_hash: str) -> None:
        """Keeps the settings of a new run. Raises UserError when a resumed one was on other data than `data`."""
        if self._data_hash is None and share().rank:
            return
        if self._data_hash is None:
            saved = {"command": self.command, "config": dataclasses.asdict(config), "data_hash": data_hash}
            text = json.dumps(saved, default=str, indent=1)
            atomic_write(self._settings, lambda file: file.write(text.encode()))
        elif self._data_hash != data_hash:
            raise UserError(
                f"{data}: not the data, or not the split, that {self.out} was trained on; "
                "name the same, or start anew with another --out"
            )

    def log(self, line: dict[str, Any]) -> None:
        """A JSON line in `log.jsonl`, the peak of memory added."""
        if share().rank:
            return
        line = {**line, "peak_memory_gb": round(peak_memory() / 1e9, 2)}
        path = self.state / _LOG
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {why_unreadable(path, error)}") from error

    def minutes(self) -> float:
        """How long the run has trained, by its log."""
        # A line has the seconds of its epoch so far: an epoch that was judged within has several.
        epochs = {(line["phase"], line.get("epoch")): line.get("seconds", 0.0) for line in read_log(self.out)}
        return round(sum(epochs.values()) / 60, 1)

    def _saved(self, config_type: type[Config]) -> Config:
        try:
            saved = json.loads(self._settings.read_text(encoding="utf-8"))
            types = typing.get_type_hints(config_type)
            values = {name: _restored(value, types[name]) for name, value in saved["config"].items()}
            self._data_hash = saved["data_hash"]
            self.command = saved.get("command", self.command)
            return config_type(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self._settings}: damaged, or of another version; start anew with another --out"
            ) from error


def read_log(out: Path) -> list[dict[str, Any]]:
    """What the run in `out` logged, in order: its `phase`, and figures by name; [] where it has logged nothing.

    A last line that a kill cut short is left out. Raises UserError naming the file and the line that is damaged.
    """
    path = out / _STATE / _LOG
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not the log of a training run") from error
    lines = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            logged = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not JSON, or damaged") from error
        if not isinstance(logged, dict) or not isinstance(logged.get("phase"), str):
            raise UserError(f"{path}, line {number}: not a line of a training run")
        lines.append({name: value for name, value in logged.items() if name == "phase" or _is_number(value)})
    return lines


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _restored(value: Any, kind: Any) -> Any:
    """What JSON made of a field of type `kind`: paths are strings there, tuples lists."""
    if value is not None and Path in (kind, *typing.get_args(kind)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def without_folders(config: DataclassInstance) -> dict[str, Any]:
    """The settings as a model's provenance has them: where somebody's files lie is nobody else's concern."""
    settings = dataclasses.asdict(config)
    return {name: value.name if isinstance(value, Path) else value for name, value in settings.items()}


def read_notes(path: Path | None) -> str:
    """Markdown for a model's card. Raises UserError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (--notes); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read (--notes): {why_unreadable(path or '', error)}") from error


def say(text: str) -> None:
    """A line for the person who watches, above the progress bar; of several processes the first speaks."""
    from tqdm import tqdm

    if not share().rank:
        tqdm.write(text, file=sys.stderr)
