"""The command line of translation: what it prints, where, and with which status."""

import io
import json
import sys

import pytest

from tests.helpers.command_lines import assert_one_line_of, run_command
from tests.helpers.translators import TINY, files, pairs, table, trained, translator
from textgen.cli import main

pytestmark = pytest.mark.slow  # it trains a model


def run(capsys, *argv):
    return run_command(main, capsys, "translate", *argv, "--model", trained())


def assert_one_line(error, *words):
    assert_one_line_of("textgen", error, *words)


LINES = ["The red boat sinks.", "", "Tom's lamp burns.", "犬"]


def test_a_text_is_translated_line_by_line(capsys):
    status, out, err = run(capsys, "\n".join(LINES))
    assert (status, err) == (0, "")
    assert out == "".join(f"{one}\n" for one in translator().translate(LINES))


@pytest.mark.parametrize("given", [["-"], []])
def test_standard_input_is_read_line_by_line(capsys, monkeypatch, given):
    typed = "\r\n".join(LINES).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
    status, out, _ = run(capsys, *given)
    assert status == 0 and out.splitlines() == [str(one) for one in translator().translate(LINES)]


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_of_n_lines_gives_n_lines(capsys, tmp_path, end):
    lines = [*LINES, "a\u2028b", "x\x0cy", " ", "\u0085"] * 30
    path = tmp_path / "lines.txt"
    path.write_bytes(("\n".join(lines) + end).encode())
    status, out, _ = run(capsys, "--file", path, "--beam", 1)
    assert status == 0 and out.count("\n") == len(lines)


def test_json_has_all_and_jsonl_a_document_a_line(capsys, tmp_path):
    status, out, _ = run(capsys, "\n".join(LINES), "--json", "-n", 2)
    document = json.loads(out)
    assert status == 0 and document["languages"] == ["English", "Other"] and document["n"] == 2
    assert [one["source"] for one in document["translations"]] == LINES
    assert len(document["translations"][0]["others"]) == 1
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES))
    _, out, _ = run(capsys, "--file", path, "--jsonl", "-n", 2)
    assert [json.loads(line) for line in out.splitlines()] == document["translations"]


def test_several_of_a_text_are_lines(capsys):
    _, out, _ = run(capsys, "The red boat sinks.", "-n", 3)
    found = translator().translate("The red boat sinks.", n=3)
    assert out.splitlines() == [found.text, *(one.text for one in found.others)]


def test_attention_is_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "looked.png"
    status, _, _ = run(capsys, "The red boat sinks.", "--attention", path)
    assert status == 0 and path.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_done_is_one_line(capsys, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\nTom\xff\n")
    for argv, words in [
        (["a", "--file", path], ["--file: a text is given, too"]),
        (["a", "--json", "--jsonl"], ["give one of the two"]),
        (["--file", path, "-n", 2], ["--n", "--json"]),
        (["a\nb", "-n", 2], ["--n", "--json"]),
        (["-n", 2], ["--n", "--json"]),
        (["--file", tmp_path / "none.txt"], ["none.txt", "cannot be read"]),
        (["a", "--beam", 0], ["beam: 0"]),
        (["a\nb", "--attention", tmp_path / "a.png"], ["--attention: one line"]),
        (["a", "--attention", tmp_path / "a.gif"], ["--attention"]),
    ]:
        status, out, err = run(capsys, *argv)
        assert (status, out) == (2, ""), argv
        assert_one_line(err, *words)
    status, _, err = run(capsys, "--file", path)
    assert status == 2
    assert_one_line(err, "a.txt, line 2: not UTF-8")
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = run(capsys)
    assert status == 2 and "nothing to translate" in err


def test_training_is_a_command_of_its_own(capsys, tmp_path):
    train, dev = files()
    options = [
        f"--{name.replace('_', '-')}={getattr(TINY, name)}"
        for name in ("tokens", "hidden", "embedding", "heads")
    ]
    argv = [
        "train",
        "--pairs",
        train,
        "--dev",
        dev,
        "--out",
        tmp_path / "m",
        "--epochs",
        1,
        "--encoder-hidden",
        8,
    ]
    argv += [*options, "--vocabulary", 420, "--languages", "English", "Other", "--graphs", "none"]
    status, _, err = run_command(main, capsys, *argv)
    assert status == 0 and "128 pairs to train on, 16 to judge by" in err
    status, _, err = run_command(main, capsys, *argv)
    assert status == 2 and "already holds a model" in err
    status, out, _ = run_command(main, capsys, "train", "--pairs", "--help")
    assert status == 0 and "--word-dropout" in out
    bad = tmp_path / "bad.tsv"
    bad.write_text(table(pairs()).replace("\t", " "))
    status, _, err = run_command(main, capsys, "train", "--pairs", bad, "--dev", dev, "--out", tmp_path / "n")
    assert status == 2
    assert_one_line(err, "bad.tsv", "has no tab")


def test_line_ends_and_nul_are_alike_for_files_and_pipes(capsys, tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffThe red boat sinks.\r\r\nTom.\rAnn.\n".encode())
    status, out, _ = run(capsys, "--file", path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert run(capsys) == (status, out, "") and out.count("\n") == 2
    path.write_bytes(b"fine\nToo\0m\n")
    for argv in (["--file", path], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        status, _, err = run(capsys, *argv)
        assert status == 2
        assert_one_line(err, "line 2: holds NUL")


def test_a_pipe_by_name_is_read_once(capsys, tmp_path):
    import os
    import threading

    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_text, args=("The red boat sinks.\nTom.\n",)).start()
    status, out, _ = run(capsys, "--file", tmp_path / "pipe")
    assert status == 0 and out.count("\n") == 2


def test_dollars_are_drawn_and_what_is_drawn_is_what_is_printed(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    status, out, _ = run(
        capsys, "The red $a^$ boat", "--attention", tmp_path / "a.png", "--length-penalty", 0
    )
    assert status == 0 and out == f"{translator().translate('The red $a^$ boat', length_penalty=0.0)}\n"
    status, _, err = run(capsys, "word " * 61, "--attention", tmp_path / "a.png")
    assert status == 2
    assert_one_line(err, "one line of at most 60 words")


def test_a_text_may_end_its_last_line_as_a_file_does(capsys, tmp_path):
    path = tmp_path / "lines.txt"
    for text, count in (("The red boat sinks.\nTom's lamp burns.\n", 2), ("Tom.\n\n", 2), ("Tom.\n", 1)):
        path.write_text(text)
        status, out, _ = run(capsys, text)
        assert status == 0 and out.count("\n") == count
        assert run(capsys, "--file", path)[1] == out


def test_lines_before_one_that_is_none_are_translated(capsys, tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"Tom.\n" * 9 + b"To\0m\n" + b"Tom.\n" * 5)
    for argv in (["--file", path], []):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        status, out, err = run(capsys, *argv)
        assert (status, out.count("\n")) == (2, 9)
        assert_one_line(err, "line 10: holds NUL")


def test_what_is_not_translated_is_not_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    for line, words in (
        ("...", "--attention: nothing in the line"),
        ("Go on. " * 25, "--attention: the line is"),
    ):
        status, out, err = run(capsys, line, "--attention", tmp_path / "a.png")
        assert (status, out) == (2, "") and not (tmp_path / "a.png").exists()
        assert_one_line(err, words)


def test_a_sign_that_the_font_lacks_is_told(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    sign = "\U0001f9ff"
    status, _, err = run(capsys, f"The red {sign} sinks.", "--attention", tmp_path / "a.png")
    assert status == 0
    assert_one_line(err, f"--attention: the font has no {sign}")
