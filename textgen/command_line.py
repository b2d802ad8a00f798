"""What every command line of the project does alike: parse, run, and turn errors into one line."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Protocol

from textgen.errors import Interrupted, UserError
from textgen.output import checked_output, complain, print_json
from textgen.storage.box import Box
from textgen.storage.bundle import CARD, read_header
from textgen.storage.typed import typed_path, why_unreadable

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry


class Command(Protocol):
    """A dataclass whose fields are a subcommand's options."""

    def run(self) -> int | None:
        """Does it; returns the exit status, None for 0."""


class Named(Mapping[str, type[Command]]):
    """Commands by their names, each of a module that is loaded when it is asked for: most start without the others."""

    def __init__(self, places: Mapping[str, str]):
        """`places` are MODULE:CLASS."""
        self.places = dict(places)

    def __getitem__(self, name: str) -> type[Command]:
        module, _, found = self.places[name].partition(":")
        command: type[Command] = getattr(import_module(module), found)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def main(
    prog: str, description: str, commands: Mapping[str, type[Command]], argv: Sequence[str] | None = None
) -> int:
    """Runs the subcommand that `argv` (the process's own unless told) names; returns the exit status.

    Whatever the person can put right ends in one line on standard error and status 2, a signal to stop in 130 (Ctrl-C),
    143 (SIGTERM) or 129 (SIGHUP), a reader of standard output that has gone in 141. Of several processes that torchrun
    started the first runs it alone, unless it is a training.
    """
    own = argv is None
    argv = sys.argv[1:] if argv is None else argv
    if _is_another() and list(argv[:1]) != ["train"]:
        return 0
    with ended_by_signal(own):
        try:
            with checked_output():
                with _said_once():
                    command = _parse(prog, description, commands, argv)
                return command.run() or 0
        except UserError as error:
            complain(prog, error)
            return 2
        except Interrupted as stopped:
            complain(prog, stopped)
            return 130
        except Ended as ended:
            complain(prog, "stopped")
            return 128 + ended.number
        except KeyboardInterrupt:
            complain(prog, "stopped")
            return 130
        except MemoryError:
            complain(prog, "out of memory; ask for less at a time")
            return 2
        except BrokenPipeError:
            return 141


def _is_another() -> bool:
    """Whether torchrun started this process beside a first one."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


@contextlib.contextmanager
def _said_once() -> Iterator[None]:
    """Within it, what all processes say is said by the first."""
    if not _is_another():
        yield
        return
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except UserError as error:
        raise SystemExit(2) from error


class Ended(KeyboardInterrupt):
    """A signal to stop; what is done is kept."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


@contextlib.contextmanager
def ended_by_signal(own: bool) -> Iterator[None]:
    """Within it Ctrl-C, SIGTERM and a closed terminal raise `Ended`, once, where this is the main thread.

    More of them, while what is done is written, would lose it: they are ignored, to its very end in a process of our
    `own`. So is what was ignored before, as by `nohup`.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if before[number] is not signal.SIG_IGN]

    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in () if ended and own else heard:
            signal.signal(number, before[number] or signal.SIG_DFL)


def _parse(
    prog: str, description: str, commands: Mapping[str, type[Command]], argv: Sequence[str]
) -> Command:
    # Else it looks through all that is installed for plug-ins of a library that tyro checks types by.
    os.environ.setdefault("TYPEGUARD_DISABLE_PLUGIN_AUTOLOAD", "1")
    import tyro

    # Parsers of the other commands take as long as all else until the command begins.
    commands = {argv[0]: commands[argv[0]]} if argv and argv[0] in commands else commands
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.extras.subcommand_cli_from_dict(
                dict(commands),
                prog=prog,
                description=description,
                args=list(argv) or ["--help"],
                config=(tyro.conf.FlagCreatePairsOff,),
                registry=_rules(),
            )
    except SystemExit as stop:
        if stop.code:
            _refuse(shown.getvalue(), prog)
        raise


def _rules() -> ConstructorRegistry:
    """tyro's rules, but that a path shows itself as it was typed, and with `Words`."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    from textgen.arguments import Words

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=lambda words: typed_path(words[0]),
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda path: [str(path)],
        )

    @registry.primitive_rule
    def words(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Words] | None:
        if info.type is not Words:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="STR",
            instance_from_str=Words,
            is_instance=lambda value: isinstance(value, Words),
            str_from_instance=list,
        )

    return registry


def _refuse(box: str, prog: str) -> NoReturn:
    """tyro explains a wrong option in a box of several lines, drawn with or without frames; ours is one line."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│ ")
        if text and not text.strip("─-"):
            sections.append([])
        elif text and text[0] not in "╭╰":
            sections[-1].append(text)
    if not box.startswith("╭"):
        sections = sections[1:]  # without frames the title is a section of its own
    message = " ".join(sections[0]) if sections else box.strip()
    for hint in sections[1:]:
        if hint[0].startswith(("Perhaps", "Available")):
            message += f"; {hint[0][0].lower()}{' '.join(hint[:2])[1:]}"
    raise UserError(f"{message}; see {prog} --help")


def print_models(boxes: Sequence[Box], as_json: bool) -> None:
    """The models in `boxes`, a line each: name, size, what it is made of and was trained on, its figures."""
    models = [model for box in boxes for model in box.listing()]
    if as_json:
        defaults = {box.kind: box.default for box in boxes}
        return print_json({"default": boxes[0].default, "defaults": defaults, "models": models})
    width = max(14, *(len(model["name"]) for model in models))
    for model in models:
        figures = ", ".join(f"{name} {value}" for name, value in model["figures"].items())
        about = "; ".join(filter(None, [model["model"], f"trained on {model['data']}", figures]))
        print(f"{model['name']:{width}} {model['bytes'] / 1e6:5.1f} MB  {about}")


def print_card(folder: Path, kind: str, as_json: bool) -> None:
    """A model's card, or its `model.json` without the vocabulary. Raises UserError naming what is wrong with it."""
    header = read_header(folder, kind)
    if as_json:
        return print_json({key: value for key, value in header.items() if key != "vocabulary"})
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder / CARD}: cannot be read: {why_unreadable(folder / CARD, error)}") from error
    print(card.rstrip())
