"""The command line of text: what it prints, where, and with which status."""

import io
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.helpers.text_models import assert_one_line, corpus, generator, run, trained
from textgen.engine import text_model


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A box of two models, one of them damaged."""
    for name in ("tiny", "torn"):
        shutil.copytree(trained("char"), tmp_path / "box" / name, ignore=shutil.ignore_patterns("training"))
    (tmp_path / "box" / "torn" / "model.safetensors").write_bytes(b"")
    (tmp_path / "box" / "notes only").mkdir()
    boxed = replace(text_model.BOX, folder=tmp_path / "box")
    for user in ("engine.text_model", "generator", "families.stored"):
        monkeypatch.setattr(f"textgen.{user}.BOX", boxed)
    return tmp_path / "box"


# --- generate


@pytest.mark.parametrize("kind", ["char", "word", "lines"])
@pytest.mark.parametrize("prompt", ["Tom", "red ", " 'a \" b'", "-"])
def test_generate_prints_the_prompt_and_what_follows(capsys, monkeypatch, kind, prompt):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ann\n")))
    options = ["--length", 20, "--temperature", 0.7, "--seed", 3]
    status, out, _ = run(capsys, "generate", prompt, "--model", trained(kind), *options)
    read = "Ann" if prompt == "-" else prompt
    text = generator(kind).generate(read, length=20, temperature=0.7, seed=3)[0]
    assert (status, out) == (0, f"{read}{text.text}\n")


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        (b"Tom\n", "Tom"),
        (b"Tom", "Tom"),
        (b"Tom\n\n", "Tom\n"),
        (b"Tom\r\n", "Tom"),
        (b"\xef\xbb\xbfTom ", "Tom "),
        (b"", ""),
    ],
    ids=repr,
)
def test_a_pipe_is_the_prompt_less_one_line_end(capsys, monkeypatch, typed, prompt):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    status, out, err = run(capsys, "generate", "--model", trained("char"), "--length", 5, "--temperature", 0)
    text = generator("char").generate(prompt, length=5, temperature=0)[0]
    assert (status, out, err) == (0, f"{text}\n", "")


def test_no_prompt_or_one_that_is_not_text_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Tom\xff")))
    status, out, err = run(capsys, "generate", "--model", trained("char"))
    assert (status, out) == (2, "")
    assert_one_line(err, "standard input: line 1, byte 3 is not UTF-8")
    monkeypatch.setattr(sys, "stdin", None)
    status, out, err = run(capsys, "generate", "--model", trained("char"))
    assert (status, out) == (2, "")
    assert_one_line(err, "no prompt given")
    status, out, err = run(capsys, "generate", "T\udcff", "--model", trained("char"))
    assert (status, out) == (2, "")
    assert_one_line(err, "prompt: character 2 is not UTF-8")


def test_several_texts_are_told_apart(capsys):
    _, out, _ = run(
        capsys, "generate", "Tom", "--model", trained("char"), "-n", 3, "--length", 8, "--seed", 1
    )
    texts = generator("char").generate("Tom", n=3, length=8, seed=1)
    assert out == "\n".join(f"--- {i}\n{text}\n" for i, text in enumerate(texts, 1))


def test_json_is_one_document_alone_on_standard_output(capsys):
    command = [
        "generate",
        "red日",
        "--model",
        trained("lines"),
        "-n",
        2,
        "--seed",
        1,
        "--json",
        "--top-p",
        0.9,
    ]
    status, out, err = run(capsys, *command)
    document = json.loads(out)
    assert status == 0
    assert_one_line(err, "'日'")
    assert document["model"] == generator("lines").hash
    assert (document["seed"], document["top_p"], document["stop"]) == (1, 0.9, [])
    assert [(t["prompt"], t["finished"]) for t in document["texts"]] == [("red日", True)] * 2
    assert document["texts"][0]["warnings"]
    assert run(capsys, *command)[1] == out


def test_stop_texts_may_be_given_several_times(capsys):
    command = ["generate", "", "--model", trained("char"), "--seed", 1, "--length", 60]
    whole = run(capsys, *command)[1]
    _, out, _ = run(capsys, *command, "--stop", " ", "--stop", whole[3], "--stop", "\n")
    assert out == whole[: min(whole.find(stop) for stop in (" ", whole[3], "\n") if stop in whole)] + "\n"


def test_what_the_model_cannot_read_is_said_on_standard_error(capsys):
    status, out, err = run(capsys, "generate", "To日m", "--model", trained("char"), "--length", 3)
    assert status == 0 and out.startswith("To日m")
    assert_one_line(err, "'日'")


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_in_silence():
    command = [sys.executable, "-m", "textgen", "generate", "--length", "100000", "--model", trained("char")]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(list(map(str, command)), **pipes)
    process.stdin.write(b"Tom\n")
    process.stdin.close()
    assert process.stdout.read(3) == b"Tom"
    process.stdout.close()
    assert process.wait(timeout=120) == 141 and process.stderr.read() == b""
    process.stderr.close()


# --- models


def test_a_model_is_found_by_its_name_and_an_unknown_one_lists_the_box(capsys, box):
    assert run(capsys, "generate", "Tom", "--model", "tiny", "--length", 3)[0] == 0
    for command in (["generate", "Tom", "--model"], ["sweep", "Tom", "--model"], ["info"]):
        status, out, err = run(capsys, *command, "tinny")
        assert (status, out) == (2, "")
        assert_one_line(err, "tinny: no such model or folder; in the box: tiny, torn")
    status, out, err = run(capsys, "generate", "Tom", "--model", "torn")
    assert (status, out) == (2, "")
    assert_one_line(err, box / "torn" / "model.safetensors")


def damage(folder, **changes):
    header = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**header, **changes}))


def spoil(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def truncate(path, size):
    path.write_bytes(path.read_bytes()[:size])


DAMAGES = {
    "truncated": ("model.safetensors", lambda f: truncate(f / "model.safetensors", -100)),
    "cut in its header": ("model.safetensors", lambda f: truncate(f / "model.safetensors", 20)),
    "no weights": ("model.safetensors", lambda f: (f / "model.safetensors").unlink()),
    "NaN": ("NaN", lambda f: spoil(f, lambda weights: weights["output_bias"].fill(np.nan))),
    "a weight missing": ("model.safetensors", lambda f: spoil(f, lambda weights: weights.pop("output_bias"))),
    "a captioner": ("model.json: a model of kind 'captioner'", lambda f: damage(f, kind="captioner")),
    "newer format": ("model.json: format 99 is newer", lambda f: damage(f, format=99)),
    "no config": (
        "model.json: damaged: 'lines'",
        lambda f: damage(f, config={"decoder": {"vocab_size": 34}}),
    ),
    "other words": ("model.json", lambda f: damage(f, vocabulary={"kind": "char", "tokens": ["a"]})),
    "no vocabulary": ("model.json: vocabulary", lambda f: damage(f, vocabulary={})),
    "not JSON": ("model.json: not JSON", lambda f: truncate(f / "model.json", 50)),
    "no header": ("not a model folder", lambda f: (f / "model.json").unlink()),
    "index": ("copied.safetensors", lambda f: truncate(f / "copied.safetensors", 30)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_one_line_that_names_the_file(capsys, box, name):
    words, harm = DAMAGES[name]
    harm(box / "tiny")
    for command in ("generate Tom --model", "sweep Tom --model", f"evaluate {corpus('char')} --model"):
        status, out, err = run(capsys, *command.split(), box / "tiny")
        assert (status, out) == (2, "")
        assert_one_line(err, box / "tiny", words)


# --- misuse


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("generate Tom --temperature -1", "temperature: -1"),
        ("generate Tom --temperature nan", "temperature: nan"),
        ("generate Tom --length 0", "length: 0"),
        ("generate Tom --stop ''", "stop:"),
        ("generate Tom --seed -1", "seed: -1"),
        ("generate Tom --model {model} -n 0", "n: 0"),
        ("generate Tom --top-k five", "five"),
        ("generate Tom --temprature 1", "--temprature"),
        ("generate Tom --model {tmp}", "model.json"),
        ("genrate Tom", "genrate"),
        ("train --out {tmp}/run", "corpus"),
        ("train {tmp}/none.txt --out {tmp}/run", "none.txt"),
        ("train {text}", "--out"),
        ("train {text} --out {tmp}/run --cell lstn", "cell: unknown 'lstn'"),
        ("train {text} --out {tmp}/run --level sentence", "level: unknown 'sentence'"),
        ("train {text} --out {tmp}/run --seed -1", "seed: -1"),
        ("train {text} --out {tmp}/run --device gpu", "device: unknown 'gpu'"),
        ("evaluate {tmp}/none.txt --model {model}", "none.txt"),
        ("evaluate {text} --model {model} --split dev", "split: unknown 'dev'"),
        ("evaluate {text} --model {model} --streams 0", "streams: 0"),
        ("evaluate {text} --model {model} --held-out 2", "held_out: 2"),
        ("sweep Tom --model {model} --temperatures 1 -1", "temperature: -1"),
        ("sweep Tom --model {model} --length 2 -n 0", "n: 0"),
        ("info {tmp}", "model.json"),
    ],
)
def test_misuse_is_one_line_and_status_2(capsys, tmp_path, argv, words):
    places = {"tmp": tmp_path, "model": trained("char"), "text": corpus("char")}
    status, out, err = run(capsys, *(word.format(**places) for word in shlex.split(argv)))
    assert (status, out) == (2, "")
    assert_one_line(err, words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("argv", "status"),
    [("models", 0), ("generate Tom --temprature 1", 0), ("train --help", 0), ("train x.txt --bogus 1", 2)],
)
def test_beside_a_first_process_of_torchrun_nothing_is_said(capsys, monkeypatch, argv, status):
    first = run(capsys, *argv.split())
    assert any(first[1:])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("RANK", "0")
    assert run(capsys, *argv.split()) == first
    monkeypatch.setenv("RANK", "1")
    assert run(capsys, *argv.split()) == (status, "", "")


# --- outputs that would destroy an input, and addresses


def test_a_plot_is_a_png_and_never_over_the_model(capsys, tmp_path, monkeypatch):
    model = tmp_path / "model"
    shutil.copytree(trained("char"), model)
    (tmp_path / "link.png").symlink_to(model / "model.safetensors")
    (tmp_path / "hard.png").hardlink_to(model / "model.json")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    for plot in (
        "x.jpg",
        "x",
        "model/model.safetensors",
        "link.png",
        "hard.png",
        "https://example.org/x.png",
    ):
        status, out, err = run(capsys, "sweep", "--model", model, "--plot", plot)
        assert (status, out) == (2, "")
        assert_one_line(err, plot, "--plot")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_model_in_the_box_is_not_exported_over(capsys, tmp_path):
    own = text_model.BOX.default_folder
    (tmp_path / "link").symlink_to(own)
    before = {path: path.stat().st_mtime_ns for path in own.iterdir()}
    for folder in (own, tmp_path / "link"):
        status, _, err = run(capsys, "export", folder)
        assert status == 2
        assert_one_line(err, folder, "a model in the box")
    assert {path: path.stat().st_mtime_ns for path in own.iterdir()} == before


@pytest.mark.parametrize(
    "command",
    [
        "evaluate ADDRESS",
        "generate x --model ADDRESS",
        "info ADDRESS",
        "export ADDRESS",
        "sweep --model ADDRESS",
        "train ADDRESS --out run",
        "train book.txt --out run --dev ADDRESS",
        "train book.txt --out run --notes ADDRESS",
        "train book.txt --out ADDRESS",
    ],
)
def test_an_address_is_said_to_be_one_as_it_was_typed(capsys, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("some words to learn\n" * 20)
    address = "https://example.org//book.txt"
    status, out, err = run(capsys, *command.replace("ADDRESS", address).split())
    assert (status, out) == (2, "")
    assert_one_line(err, address, "an address, not a f")
    assert [path.name for path in tmp_path.iterdir()] == ["book.txt"]
