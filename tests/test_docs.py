"""The documents: what they show is what is printed, their Python runs, and their links lead somewhere.

Of every ```console block in README.md, CONTRIBUTING.md and docs/, the lines that begin with `$ captioner` or `$ textgen` are
examples of ours, a backslash at the end going on; what follows up to the next `$` is what it prints. Other programs' lines
are left alone. Each example is parsed. Each but those of NOT_RUN is run, in a folder that has what the documents name, and must
end in status 0, and print on standard output exactly what is shown, where something is shown.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import captioner.cli
import textgen.cli
from tests.helpers.captioned_folders import write
from tests.helpers.command_lines import run_command
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX, MODELS, ROOT, SHARED
from tests.test_imports import ROOMS

GUIDES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
DOCUMENTS = [
    *GUIDES,
    *(path for box in ("captioner", "textgen") for path in sorted((ROOT / box).rglob("*.md"))),
]
PROGRAMS = {"captioner": captioner.cli, "textgen": textgen.cli}
NOT_RUN = {  # how an example begins -> why it is parsed only
    "captioner train": "it trains",
    "textgen train": "it trains",
    "captioner app": "it serves until it is stopped",
    "captioner bulk": "it needs Ray, and captions what a document cannot hold; tests/captioner/test_bulk.py",
    "captioner serve": "it serves until it is stopped; tests/captioner/service",
    "captioner calibrate": "it needs fifty photos and changes the model; tests/captioner/test_calibrate.py",
    "captioner caption my.jpg --model my-model --confidence": "of a model that was calibrated; as above",
    "captioner export": "it replaces a model's graphs, which takes torch; tests/captioner/network/test_export.py",
    "textgen export": "it replaces a model's graphs; tests/textgen/engine/test_onnx.py",
    "textgen evaluate --pairs": "of a translator of one's own; tests/textgen/test_translate.py",
    "textgen evaluate --classes": "of a classifier of one's own; tests/textgen/test_classify.py",
    "captioner score predictions.json ../shared/flickr8k": "of a thousand captions that are made first; tested below",
}
ON_THIS_PROCESSOR = "needs 8-bit sums as on processors with AVX-512 VNNI; others round another way"


@dataclass(frozen=True)
class Example:
    """A command line as a document shows it."""

    document: str
    line: int
    command: str
    shown: str
    """Empty where nothing is."""

    def __str__(self) -> str:
        return f"{self.document}:{self.line} {self.command[:50]}"

    @property
    def argv(self) -> list[str]:
        """As the shell gives it, less comments and redirections."""
        text = re.sub(
            r"\$'((?:[^'\\]|\\.)*)'", lambda found: f"'{found[1]}'".replace("\\n", "\n"), self.command
        )
        words = shlex.split(text, comments=True)
        return words[: words.index(">")] if ">" in words else words


def blocks(path: Path, language: str) -> list[tuple[int, list[str]]]:
    """The fenced blocks of a language: the line of a document at which each begins, and its lines."""
    found, inside = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("```"):
            if inside is None:
                inside = line[3:].strip()
                found.append((inside, number + 1, []))
            else:
                inside = None
        elif inside is not None:
            found[-1][2].append(line)
    assert inside is None, f"{path}: a block is not closed"
    return [(number, lines) for name, number, lines in found if name == language]


def examples(path: Path) -> list[Example]:
    found = []
    for first, lines in blocks(path, "console"):
        commands: list[tuple[int, str, list[str]]] = []
        for number, line in enumerate(lines, first):
            if line.startswith("$ "):
                commands.append((number, line[2:], []))
            elif commands[-1][1].endswith("\\") and not commands[-1][2]:
                at, begun, _ = commands.pop()
                commands.append((at, begun[:-1] + line, []))
            else:
                commands[-1][2].append(line)
        name = path.relative_to(ROOT).as_posix()
        found += [Example(name, number, command, "\n".join(out)) for number, command, out in commands]
    return [example for example in found if example.command.split()[0] in PROGRAMS]


EXAMPLE_LINES = [example for path in GUIDES for example in examples(path)]
PYTHON = [(path, number, lines) for path in GUIDES for number, lines in blocks(path, "python")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with what the documents name; `shared` lies beside it, where we have it."""
    here = tmp_path / "here"
    shutil.copytree(EXAMPLES, here / "captioner" / "examples")
    shutil.copytree(ROOT / "docs", here / "docs")
    shutil.copy(EXAMPLES / "photographer.jpg", here / "my.jpg")
    if SHARED.is_dir():
        (tmp_path / "shared").symlink_to(SHARED)
    for name in ("coffee.jpg", "cat.jpg"):
        (here / "holiday").mkdir(exist_ok=True)
        shutil.copy(EXAMPLES / name, here / "holiday")
    write(here / "book.txt", "It was a dark night, and the rain fell on the roofs.\n" * 20)
    write(here / "letters.txt", "Where is the station?\n\nI don't know.\n")
    write(here / "passages.txt", "Holmes laid down his pipe and looked into the fire.\n")
    captioned(here)
    monkeypatch.chdir(here)
    return here


def captioned(here: Path) -> None:
    """Data sets in several forms, of two pictures, and captions of them."""
    said = {"photographer.jpg": "a man in a dark coat", "coffee.jpg": "a coffee in the night"}
    truth = {name: [f"{text} .", f"there is {text}"] for name, text in said.items()}
    rows = [f"{name},{text},{{split}}" for name, texts in truth.items() for text in texts]
    for name, split in (("flickr8k", "test"), ("my-data", "dev")):
        lines = ["image,caption,split", *(row.format(split=split) for row in rows)]
        write(here / name / "captions.csv", "\n".join(lines) + "\n")
    for picture in said:
        shutil.copy(EXAMPLES / picture, here / "my-data")
    coco = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(truth)],
        "annotations": [
            {"image_id": number, "caption": text}
            for number, texts in enumerate(truth.values())
            for text in texts
        ],
    }
    karpathy = [
        {"filename": name, "split": "test", "sentences": [{"raw": text} for text in texts]}
        for name, texts in truth.items()
    ]
    write(here / "captions_val2017.json", json.dumps(coco))
    write(here / "dataset_coco.json", json.dumps({"images": karpathy}))
    results = json.dumps([{"image_id": name, "caption": text} for name, text in said.items()])
    for name in ("predictions.json", "mine.json", "yours.json"):
        write(here / name, results)
    write(
        here / "predictions.csv", "\n".join(["image,caption", *(f"{n},{t}" for n, t in said.items())]) + "\n"
    )
    write(here / "output.txt", "\n".join(said.values()) + "\n")
    for number in range(3):
        write(
            here / f"reference{number}.txt", "\n".join(texts[number % 2] for texts in truth.values()) + "\n"
        )


def same_processor() -> bool:
    """Whether 8-bit sums are as where the documents were written."""
    try:
        return "avx512_vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def test_the_documents_have_examples():
    assert len(EXAMPLE_LINES) > 40 and len(PYTHON) >= 4
    assert sum(bool(example.shown) for example in EXAMPLE_LINES) >= 8
    for beginning in NOT_RUN:
        assert any(example.command.startswith(beginning) for example in EXAMPLE_LINES), beginning


@pytest.mark.parametrize("example", EXAMPLE_LINES, ids=str)
def test_an_example_is_a_command_line_of_ours(example, monkeypatch, capsys):
    program, *argv = example.argv
    ran = []
    variants = getattr(PROGRAMS[program], "VARIANTS", {}).values()
    for command in (
        *PROGRAMS[program].COMMANDS.values(),
        *(one for found in variants for one in found.values()),
    ):
        monkeypatch.setattr(command, "run", lambda self: ran.append(self))
    status, _, error = run_command(PROGRAMS[program].main, capsys, *argv)
    assert (status, error, len(ran)) == (0, "", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLE_LINES if not one.command.startswith(tuple(NOT_RUN))],
    ids=str,
)
def test_an_example_prints_what_is_shown(example, folder, capsys):
    program, *argv = example.argv
    for word in argv:
        if word.startswith("../shared") and not (folder / word).exists():
            pytest.skip(f"{word} is not beside the checkout")
    (folder / "my-model").symlink_to(MODEL_IN_THE_BOX if program == "captioner" else MODELS / "shakespeare")
    status, out, error = run_command(PROGRAMS[program].main, capsys, *argv)
    assert status == 0, error
    if not example.shown:
        return
    if not (same_processor() or argv[0] in ("models", "info")):
        pytest.skip(ON_THIS_PROCESSOR)
    assert_shown(out, example.shown + "\n")


def assert_shown(out: str, shown: str) -> None:
    """The same, but for the last digits of figures, which another release of a library computes another way."""
    figure = re.compile(r"(?<![\d.])\d[\d,]*\.\d+")
    assert figure.sub("#", out) == figure.sub("#", shown)
    for found, expected in zip(figure.findall(out), figure.findall(shown), strict=True):
        assert float(found.replace(",", "")) == pytest.approx(float(expected.replace(",", "")), rel=5e-4), out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "number", "lines"), PYTHON, ids=[f"{path.name}:{number}" for path, number, _ in PYTHON]
)
def test_python_in_the_documents_runs(path, number, lines, folder, capsys):
    script = write(folder / "example.py", "\n".join(lines) + "\n")
    runpy.run_path(str(script))
    assert capsys.readouterr().out.strip()


def prose(path: Path) -> str:
    """A document without its fenced blocks and its pieces of code."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """What GitHub calls a document's headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = next(number for number in range(99) if (f"{name}-{number}" if number else name) not in found)
        found.add(f"{name}-{count}" if count else name)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists() and there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_files_that_are_named_are_there(path):
    """`captioner/network/encoder.py` and the like, whole paths in the checkout, outside of blocks."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for name in re.findall(r"`((?:app|captioner|textgen|tests|docs)/[\w/.]+\.(?:py|md|css|js))`", text):
        assert "NAME" in name or (ROOT / name).is_file(), name


def test_the_readme_is_a_front_door():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_document_is_reached_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*"):
        linked = f"](docs/{path.name}" in text
        assert linked or any(f"]({path.name})" in other.read_text(encoding="utf-8") for other in GUIDES), path


def test_every_room_is_drawn():
    (_, drawing), *_ = blocks(ROOT / "docs" / "architecture.md", "mermaid")
    drawn = re.findall(r"<b>([\w.]+)</b>", "\n".join(drawing))
    assert sorted(drawn) == sorted(room for floor in ROOMS for room in floor)
