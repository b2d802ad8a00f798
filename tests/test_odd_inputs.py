"""Odd inputs by commands, as one table: each row ends in a right result or in one line, and leaves nothing behind.

Names, encodings, kinds of pictures, models and numbers go through commands in this process; what is about the process
itself (its standard output, its locale, its HOME) starts one.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import captioner.cli
import textgen.cli
from tests.helpers.image_files import FORMATS, drawn, encoded, jpeg_header, png
from tests.helpers.paths import EXAMPLES, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::PIL")]

CAPTIONER, TEXTGEN = "captioner", "textgen"
MAINS = {CAPTIONER: captioner.cli.main, TEXTGEN: textgen.cli.main}
OLD = ROOT / "tests" / "data" / "captioner-format-1.zip"  # loads in no time
SECONDS = 10  # that no command may take


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: bytes
    error: str


Right = Callable[[Done], bool]


@dataclass
class Row:
    """A command with something odd about it."""

    name: str
    argv: list[str]
    right: Right | None = None
    """What a result must be; None: it must be refused in one line."""
    either: bool = False
    """Whether it may be refused instead."""
    environment: dict[str, str | None] | None = None
    """Of a process of its own; None stands for a variable that is not there."""
    out: str = "kept"
    """Its standard output: kept, full, closed or a pipe that nobody reads."""
    statuses: tuple[int, ...] = ()
    """Other exit statuses that are right."""
    lines: int = 1
    """Of the refusal, at most."""


@dataclass
class World:
    """The folder that the commands run in."""

    folder: Path

    def file(self, name: str | bytes, data: bytes) -> str:
        path = self.folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return os.fsdecode(name)


def photo() -> bytes:
    return (EXAMPLES / "cat.jpg").read_bytes()


def says(expected: str) -> Right:
    return lambda done: done.out.decode("utf-8", "replace").strip().endswith(expected)


def told(done: Done) -> bool:
    return bool(done.out.strip())


def as_json(check: Callable[[dict], bool] = lambda document: True) -> Right:
    return lambda done: check(json.loads(done.out.decode("utf-8")))


NAMES = {
    "spaces": "two  words .jpg",
    "a dash first": "./-n.jpg",
    "composed letters": unicodedata.normalize("NFC", "Möwe é.jpg"),
    "decomposed letters": unicodedata.normalize("NFD", "Möwe é.jpg"),
    "Chinese": "狗 犬.jpg",
    "emoji": "🐈‍⬛.jpg",
    "right to left": "كلب\u202e.jpg",
    "a line's end": "two\nlines.jpg",
    "a tab": "a\tb.jpg",
    "an escape": "red\x1b[31m.jpg",
    "quotes": "a'b\"c.jpg",
    "brackets": "a[1].jpg",
    "a star": "a*.jpg",
    "a question mark": "a?.jpg",
    "a dot first": ".hidden.jpg",
    "no ending": "photo",
    "another ending": "photo.png",
    "an upper-case ending": "PHOTO.JPEG",
    "percent": "a%20b%s.jpg",
    "a backslash": "a\\b.jpg",
    "a home": "~.jpg",
    "a comma and a semicolon": "a,b;c.jpg",
    "a long name": "x" * 250 + ".jpg",
    "no UTF-8": b"caf\xe9.jpg",
}


def names(world: World, caption: str, model: str) -> Iterator[Row]:
    for what, name in NAMES.items():
        path = world.file(name, photo())
        argv = [CAPTIONER, "caption", path, "--model", model]
        yield Row(f"a name with {what}: caption", argv, says(caption))
        yield Row(
            f"a name with {what}: caption --json",
            [*argv, "--json"],
            as_json(lambda document: document["photos"][0]["captions"][0]["text"] == caption),
        )
    argv = [CAPTIONER, "caption", "--model", model]
    yield Row("no such file", [*argv, "no.jpg"])
    yield Row("an empty name", [*argv, ""])
    yield Row("an empty folder", [*argv, str(world.folder / "empty")])
    yield Row("a NUL in a name", [*argv, "a\0b.jpg"])
    yield Row("a web address", [*argv, "https://example.org//cat.jpg?size=1"])
    yield Row("a file's address", [*argv, "file:///cat.jpg"])
    yield Row("a device", [*argv, "/dev/zero"])
    yield Row("a path below a file", [*argv, "photo/cat.jpg"])


def pictures(world: World, caption: str, model: str) -> Iterator[Row]:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    whole = {format.lower(): drawn(format) for format in FORMATS}
    whole |= {f"png {mode}": encoded(image.convert(mode)) for mode in ("1", "L", "LA", "P", "RGBA")}
    whole |= {f"jpeg {mode}": encoded(image.convert(mode), "JPEG") for mode in ("L", "CMYK", "YCbCr")}
    whole |= {
        "png of 16 bits": encoded(Image.fromarray(noise[..., 0].astype(np.uint16) * 257)),
        "gif of two frames": encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "one pixel": encoded(image.resize((1, 1))),
        "a line of pixels": encoded(image.resize((3000, 1))),
        "a jpeg with rubbish behind it": drawn("JPEG") + b"rubbish" * 100,
    }
    broken = {
        "empty": b"",
        "half a jpeg": drawn("JPEG")[: len(drawn("JPEG")) // 2],
        "half a png": drawn("PNG")[: len(drawn("PNG")) // 2],
        "a header alone": jpeg_header(100, 100),
        "a bomb": png(30_000, 30_000, 8, 2),
        "zeros": bytes(5000),
        "text": b"a letter to a friend\n" * 20,
        "HTML": b"<!DOCTYPE html><title>404</title>",
        "PDF": b"%PDF-1.7\n1 0 obj\n",
        "ZIP": OLD.read_bytes()[:5000],
        "a pickle": b"\x80\x04\x95\0\0\0\0",
        "an icon": encoded(image, "ICO"),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "a film": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200),
    }
    for what, data in whole.items():
        path = world.file(f"{what}.jpg", data)
        yield Row(f"a picture: {what}", [CAPTIONER, "caption", path, "--model", model], told)
    for what, data in broken.items():
        path = world.file(f"broken {what}.jpg", data)
        yield Row(f"no picture: {what}", [CAPTIONER, "caption", path, "--model", model])
    good = world.file("good.jpg", photo())
    yield Row(
        "one of two is broken",
        [CAPTIONER, "caption", good, "broken text.jpg", "--model", model],
        lambda done: caption in done.out.decode() and done.error.count("\n") == 1,
        statuses=(1,),
    )


def tables(world: World) -> Iterator[Row]:
    rows = [("1.jpg", "ein schöner Hund läuft"), ("2.jpg", "zwei Männer, ein Fahrrad"), ("3.jpg", "ein Boot")]
    text = "image,caption\n" + "".join(f'{image},"{caption}"\n' for image, caption in rows)
    russian = "image,caption\n1.jpg,собака бежит по траве\n2.jpg,два человека\n3.jpg,лодка на воде\n"
    truth = world.file("truth.csv", text.encode())
    right = as_json(lambda report: report["pictures"] == 3 and report["BLEU-1"] > 99)
    encodings = {
        "UTF-8 with a mark": (codecs.BOM_UTF8 + text.encode(), right, False),
        "UTF-16": (text.encode("utf-16"), right, True),
        "UTF-16, the other end first": (codecs.BOM_UTF16_BE + text.encode("utf-16-be"), right, True),
        "Windows' line ends": (text.replace("\n", "\r\n").encode(), right, False),
        "old Mac's line ends": (text.replace("\n", "\r").encode(), right, True),
        "semicolons": ("image;caption\n" + "".join(f"{i};{c}\n" for i, c in rows)).encode(),
        "sep=;": ("sep=;\nimage;caption\n" + "".join(f"{i};{c}\n" for i, c in rows)).encode(),
        "tabs": ("image\tcaption\n" + "".join(f"{i}\t{c}\n" for i, c in rows)).encode(),
        "capitals in the header": text.replace("image,caption", "Image,Caption").encode(),
        "empty lines": text.replace("\n", "\n\n").encode(),
        "Windows-1252": (text.encode("cp1252"), None, False),
        "KOI8-R": (russian.encode("koi8-r"), None, False),
        "Shift-JIS": ("image,caption\n1.jpg,犬が走る\n".encode("shift-jis"), None, False),
        "NUL bytes": (text.replace("Hund", "Hu\0nd").encode(), as_json(), True),
        "an open quote": (text.replace('Hund läuft"', "Hund läuft").encode(), None, False),
        "nothing": (b"", None, False),
        "spaces alone": (b" \n \n", None, False),
        "a header alone": (b"image,caption\n", None, False),
        "a picture": (photo(), None, False),
        "one row too few": (text.encode().rsplit(b"3.jpg")[0], None, False),
        "a row twice": ((text + "1.jpg,noch einer\n").encode(), None, False),
    }
    for what, told_of in encodings.items():
        data, check, either = told_of if isinstance(told_of, tuple) else (told_of, right, False)
        path = world.file(f"{what}.csv", data)
        argv = [CAPTIONER, "score", path, truth, "--bootstrap", "0", "--json"]
        yield Row(f"predictions: {what}", argv, check, either=either)
    for what, data in {
        "no JSON": b"{",
        "a number": b"7",
        "a list of numbers": b"[1, 2]",
        "endless brackets": b"[" * 100_000,
        "another document": b'{"a": 1}',
        "NaN as a caption": b'[{"image_id": 1, "caption": NaN}]',
        "half a surrogate": b'[{"image_id": "1.jpg", "caption": "\\ud800"}]',
    }.items():
        path = world.file(f"{what}.json", data)
        yield Row(f"predictions: {what}", [CAPTIONER, "score", path, truth, "--bootstrap", "0"])


def texts(world: World) -> Iterator[Row]:
    prose = "The king was in his house, and the night was dark. " * 60
    judged = as_json(lambda report: 0 < report["nats_per_token"] < 10)
    for what, data, check in (
        ("UTF-8 with a mark", codecs.BOM_UTF8 + prose.encode(), judged),
        ("Windows' line ends", prose.replace(". ", ".\r\n").encode(), judged),
        ("UTF-16", prose.encode("utf-16"), judged),
        ("Windows-1251", ("Мороз и солнце; день чудесный! " * 60).encode("cp1251"), None),
        ("GBK", ("今天天气很好我们去公园散步" * 60).encode("gbk"), None),
        ("nothing", b"", None),
        ("a picture", photo(), None),
        ("NUL bytes", bytes(5000), None),
    ):
        path = world.file(f"{what}.txt", data)
        argv = [TEXTGEN, "evaluate", path, "--model", "shakespeare", "--split", "all", "--json"]
        yield Row(f"a text: {what}", argv, check, either=check is not None)
    for prompt in ("犬", "\0", "\n\n\n", "🐈", "a" * 5000, "\ud800", " ", "é"):
        argv = [TEXTGEN, "generate", prompt, "--seed", "1", "--length", "5", "--model", "shakespeare"]
        yield Row(f"a prompt: {prompt[:5]!r}", argv, told, either=True, lines=2)


def models(world: World) -> Iterator[Row]:
    with zipfile.ZipFile(OLD) as files:
        header, weights = files.read("model.json"), files.read("model.safetensors")
    odd = {
        "an empty folder": {},
        "damaged JSON": {"model.json": header[:300], "model.safetensors": weights},
        "a newer format": {"model.json": header.replace(b'"format": 1', b'"format": 99')},
        "no weights": {"model.json": header},
        "half the weights": {"model.json": header, "model.safetensors": weights[: len(weights) // 2]},
        "a list": {"model.json": b"[]"},
        "no UTF-8": {"model.json": b"\xff\xfe\xff"},
    }
    named = {what: f"model {number}" for number, what in enumerate(odd)}
    for what, files_of in odd.items():
        (world.folder / named[what]).mkdir()
        for name, data in files_of.items():
            world.file(f"{named[what]}/{name}", data)
    named |= {
        "a name unknown": "no-such-model",
        "nothing": "",
        "a file": "good.jpg",
        "the file's root": "/",
        "a web address": "https://example.org/model",
        "a NUL": "a\0b",
    }
    for what, model in named.items():
        yield Row(f"a model: {what}: caption", [CAPTIONER, "caption", "good.jpg", "--model", model])
        yield Row(f"a model: {what}: generate", [TEXTGEN, "generate", "The", "--model", model])


def numbers(world: World, model: str) -> Iterator[Row]:
    caption = [CAPTIONER, "caption", "good.jpg", "--model", model]
    generate = [TEXTGEN, "generate", "The", "--length", "3", "--model", "shakespeare"]
    for option, value in (
        ("--beam", "0"), ("--beam", "-1"), ("--beam", "1000000000"), ("--beam", "x"), ("-n", "0"), ("-n", "99999"),
        ("--temperature", "nan"), ("--temperature", "-1"), ("--temperature", "inf"), ("--top-p", "0"),
        ("--top-p", "2"), ("--top-k", "-1"), ("--seed", "-1"), ("--max-length", "0"), ("--engine", "gpu"),
        ("--unknown", "1"),
    ):  # fmt: skip
        yield Row(f"caption {option} {value}", [*caption, option, value], lines=9)
    for option, value in (
        ("--length", "-1"), ("--temperature", "nan"), ("--temperature", "-1"), ("--top-p", "2"), ("--seed", "x"),
        ("-n", "0"), ("--engine", "gpu"), ("--stop", ""),
    ):  # fmt: skip
        yield Row(f"generate {option} {value!r}", [*generate, option, value], lines=9)


def outputs(world: World, model: str) -> Iterator[Row]:
    photo_name = world.file("Möwe 犬.jpg", photo())
    commands = {
        "caption": [CAPTIONER, "caption", photo_name, "--model", model],
        "caption --json": [CAPTIONER, "caption", photo_name, "--model", model, "--json"],
        "info": [CAPTIONER, "info", "--model", model],
        "--help": [CAPTIONER, "--help"],
        "generate --json": [TEXTGEN, "generate", "Zürich", "--length", "5", "--seed", "1", "--json"],
    }
    locales = {
        "Latin-1": {"PYTHONIOENCODING": "latin-1"},
        "ASCII": {"PYTHONIOENCODING": "ascii"},
        "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    }
    for what, argv in commands.items():
        for locale, environment in locales.items():
            check = as_json() if what.endswith("json") else told
            yield Row(f"{what} in {locale}", argv, check, environment=dict(environment))
        lines = 1 + (argv[0] == TEXTGEN)  # a warning that the model does not know an ü
        yield Row(f"{what} on a full disk", argv, out="full", environment={}, lines=lines)
        yield Row(f"{what} with its output closed", argv, out="closed", environment={}, lines=lines)
        yield Row(
            f"{what} into a pipe that nobody reads",
            argv,
            lambda done: True,
            out="pipe",
            environment={},
            statuses=(141,),
        )


def homes(world: World, model: str) -> Iterator[Row]:
    world.file("a file as home", b"")
    states = {
        "no HOME": None,
        "an empty HOME": "",
        "a HOME that is not there": str(world.folder / "nobody"),
        "a HOME that is a file": str(world.folder / "a file as home"),
    }
    for what, home in states.items():
        environment = {"HOME": home, "XDG_CACHE_HOME": None}
        yield Row(
            f"{what}: caption",
            [CAPTIONER, "caption", "good.jpg", "--model", model],
            told,
            environment=dict(environment),
        )
        yield Row(
            f"{what}: generate", [TEXTGEN, "generate", "The", "--length", "3"], told, environment=environment
        )


def table(world: World, caption: str, model: str) -> list[Row]:
    (world.folder / "empty").mkdir()
    return [
        *names(world, caption, model),
        *pictures(world, caption, model),
        *tables(world),
        *texts(world),
        *models(world),
        *numbers(world, model),
        *outputs(world, model),
        *homes(world, model),
    ]


class _Output(io.TextIOWrapper):
    """A standard output in memory, with the bytes below it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def bytes(self) -> bytes:
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue()


def here(row: Row) -> Done:
    """The command in this process."""
    program, *argv = row.argv
    out, error = _Output(), _Output()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = MAINS[program](argv)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    return Done(status, out.bytes, error.bytes.decode("utf-8", "replace"))


def apart(row: Row, folder: Path) -> Done:
    """The command in a process of its own."""
    program, *argv = row.argv
    environment: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(ROOT), **(row.environment or {})}
    command = [sys.executable, "-m", program, *argv]
    if row.out == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    elif row.out == "full":
        command = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *command]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if row.out == "pipe":
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Done(-1, b"", f"more than {SECONDS} seconds")
    return Done(process.returncode, out or b"", error.decode("utf-8", "replace"))


def fault(row: Row, done: Done) -> str | None:
    """What is wrong about how a command ended."""
    if "Traceback" in done.error:
        return "a traceback: " + done.error.strip().splitlines()[-1]
    refused = (
        done.status == 2 and done.error.startswith(f"{row.argv[0]}: ") and done.error.count("\n") <= row.lines
    )
    if row.right is None:
        return None if refused and not done.out else f"no refusal: {done}"
    if row.either and refused:
        return None
    if done.status not in (0, *row.statuses):
        return f"no result: {done}"
    try:
        return None if row.right(done) else f"a wrong result: {done}"
    except ValueError as error:
        return f"a wrong result ({error}): {done}"


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_200_odd_inputs_end_in_a_right_result_or_one_line(tmp_path, monkeypatch):
    for name in ("work", "home", "temporary", "model"):
        (tmp_path / name).mkdir()
    with zipfile.ZipFile(OLD) as files:
        files.extractall(tmp_path / "model")
        caption = json.loads(files.read("captions.json"))["onnx"]["cat"][0][0]
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    rows = table(World(tmp_path / "work"), caption, str(tmp_path / "model"))
    assert len(rows) >= 200 and len({row.name for row in rows}) == len(rows)
    before = listing(tmp_path)
    with ThreadPoolExecutor(2) as threads:
        started = [
            (row, threads.submit(apart, row, tmp_path / "work"))
            for row in rows
            if row.environment is not None
        ]
        ended = [(row, here(row)) for row in rows if row.environment is None]
        ended += [(row, future.result()) for row, future in started]
    faults = [f"{row.name}: {found}" for row, done in ended if (found := fault(row, done))]
    assert not faults, "\n".join(faults)
    assert listing(tmp_path) == before
