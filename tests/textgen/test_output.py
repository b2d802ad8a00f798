"""Standard output in whatever state: what is promised is written, or one line says that it could not be."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest

from captioner.cli import main as captioner_main
from tests.helpers.paths import EXAMPLES, ROOT
from textgen.errors import UserError
from textgen.output import as_text, checked_output, complain, print_json


class Full(io.RawIOBase):
    """A disk with room for so many bytes."""

    def __init__(self, room):
        self.room = room

    def writable(self):
        return True

    def write(self, data):
        if self.room < len(data):
            raise OSError(28, "No space left on device")
        self.room -= len(data)
        return len(data)


@pytest.mark.parametrize("room", [0, 10])
def test_a_disk_that_fills_is_told(monkeypatch, room):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Full(room)), encoding="utf-8"))
    with (
        pytest.raises(UserError, match=r"^standard output: cannot be written: No space left on device$"),
        checked_output(),
    ):
        for _ in range(10_000):
            print("a line of a caption")


def test_a_write_that_takes_a_part_is_gone_on_with(monkeypatch):
    """As of an output without a buffer, PYTHONUNBUFFERED: a disk that fills takes what fits."""

    class Partly(io.RawIOBase):
        data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data[:7])
            return min(7, len(data))

    raw = Partly()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, write_through=True))
    print_json({"name": "a name that is longer than a part"})
    assert json.loads(raw.data)["name"] == "a name that is longer than a part"


def test_an_output_that_is_closed_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with (
        pytest.raises(UserError, match=r"^standard output: cannot be written: it is closed$"),
        checked_output(),
    ):
        print("a line")
    with checked_output():
        pass  # what writes nothing needs none


def test_an_error_of_a_file_stays_one(tmp_path):
    with pytest.raises(FileNotFoundError), checked_output():
        (tmp_path / "none").read_bytes()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8", "utf-16"])
def test_json_is_utf_8_whatever_the_locale(monkeypatch, encoding):
    below = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(below, encoding=encoding))
    names = ["Möwe 犬.jpg", "caf\udce9.jpg", "\x1b[31m"]
    print_json({"names": names})
    assert json.loads(below.getvalue().decode("utf-8"))["names"] == names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Möwe", "Möwe"),
        ("M\udcc3\udcb6we \udce7\udc8a\udcac", "Möwe 犬"),
        ("caf\udce9", "caf\udce9"),
        ("\udce9 Möwe", "\udce9 Möwe"),
    ],
)
def test_names_that_a_locale_could_not_read_are_read(name, text):
    assert as_text(name) == text


@pytest.mark.parametrize("stderr", [None, io.TextIOWrapper(io.BufferedWriter(Full(0)), write_through=True)])
def test_messages_that_cannot_be_written_end_nothing(monkeypatch, stderr, capsys):
    monkeypatch.setattr(sys, "stderr", stderr)
    complain("captioner", "a message")
    assert capsys.readouterr().out == ""


# --- stopped


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of photos that takes a while."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(3000):
        (folder / f"{number:04}.jpg").symlink_to(EXAMPLES / "cat.jpg")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "number", "status"),
    [("--json", signal.SIGINT, 130), ("--jsonl", signal.SIGTERM, 143), ("--jsonl", signal.SIGHUP, 129)],
)
def test_what_is_done_is_written_when_it_is_stopped(many, tmp_path, option, number, status):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "captioner", "caption", str(many), option]
    with out.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # whatever started these tests ignores
        )
        if option == "--json":
            time.sleep(8)  # nothing shows how far it is
        while option == "--jsonl" and not out.stat().st_size and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        time.sleep(0.1)
        process.send_signal(number)  # of those who do not like to wait
        _, error = process.communicate(timeout=20)
    assert process.returncode == status and error == "captioner: stopped\n"
    text = out.read_text("utf-8")
    if option == "--json":
        document = json.loads(text)
        photos = document["photos"]
        assert document["incomplete"] == f"{len(photos):,} of 3,000 photos: stopped"
    else:
        photos = [json.loads(line) for line in text.splitlines()]
    assert 0 < len(photos) < 3000
    assert [photo["photo"] for photo in photos] == [str(many / f"{n:04}.jpg") for n in range(len(photos))]
    assert all(photo["captions"][0]["text"] for photo in photos)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_waits_for_the_next_line_can_be_stopped(number, status):
    """The interpreter aborted: a thread was waiting in the standard input that it wanted to close."""
    process = subprocess.Popen(
        [sys.executable, "-m", "textgen", "classify", "--model", "authors"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    process.stdin.write("It is a truth universally acknowledged.\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(number)
    error = process.stderr.read()
    assert process.wait(20) == status and error == "textgen: stopped\n"


def test_a_crash_in_the_middle_loses_nothing(monkeypatch, capsys):
    from captioner.caption import Captioner

    whole = Captioner.caption_each

    def crashing(self, *args, **named):
        yield next(whole(self, *args, **named))
        raise ZeroDivisionError("an accident")

    monkeypatch.setattr(Captioner, "caption_each", crashing)
    with pytest.raises(ZeroDivisionError):
        captioner_main(["caption", str(EXAMPLES), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert len(document["photos"]) == 1 and document["incomplete"] == "1 of 3 photos: an accident"


def test_lines_are_those_of_the_document_and_can_be_scored(capsys, tmp_path):
    captioner_main(["caption", str(EXAMPLES), "--json"])
    document = json.loads(capsys.readouterr().out)
    captioner_main(["caption", str(EXAMPLES), "--jsonl"])
    lines = capsys.readouterr().out
    assert [json.loads(line) for line in lines.splitlines()] == document["photos"]
    assert "incomplete" not in document
    said, truth = tmp_path / "said.jsonl", tmp_path / "truth.csv"
    said.write_text(lines)
    names = [photo["photo"].rpartition("/")[2] for photo in document["photos"]]
    truth.write_text("image,caption\n" + "".join(f"{name},a cat on a table\n" for name in names))
    assert captioner_main(["score", str(said), str(truth), "--json", "--bootstrap", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 3


def test_both_kinds_of_json_at_once_are_refused(capsys):
    assert captioner_main(["caption", str(EXAMPLES / "cat.jpg"), "--json", "--jsonl"]) == 2
    assert capsys.readouterr().err == "captioner: --json, --jsonl: give one of them\n"
