"""A training run's log, read as it was written, and named where it is damaged."""

import json

import pytest

from tests.helpers.text_models import trained
from textgen.errors import UserError
from textgen.training.runs import RunFolder, read_log


def written(folder, text):
    (folder / "training").mkdir(exist_ok=True)
    (folder / "training" / "log.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_real_run_is_read_epoch_by_epoch():
    lines = read_log(trained("char"))
    assert [line["epoch"] for line in lines] == list(range(1, 9))
    assert lines[-1]["nats"] < lines[0]["nats"] and lines[-1]["loss"] < lines[0]["loss"]
    header = json.loads((trained("char") / "model.json").read_text())
    assert min(line["nats"] for line in lines) == header["provenance"]["held_out"]["nats"]


def test_what_is_logged_is_read(tmp_path):
    (tmp_path / "training").mkdir()
    run = RunFolder(tmp_path, "textgen train")
    run.log({"phase": "text", "epoch": 1, "loss": 2.5})
    run.log({"phase": "text", "epoch": 2, "loss": float("nan")})
    first, second = read_log(tmp_path)
    assert first == {"phase": "text", "epoch": 1, "loss": 2.5, "peak_memory_gb": first["peak_memory_gb"]}
    assert second["loss"] != second["loss"]


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")]
)
def test_a_folder_without_a_run_has_no_lines(tmp_path, make):
    make(tmp_path / "run")
    assert read_log(tmp_path / "run") == []


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path):
    written(tmp_path, '{"phase": "text", "loss": 2}\n{"phase": "te')
    assert read_log(tmp_path) == [{"phase": "text", "loss": 2}]


def test_only_figures_are_kept(tmp_path):
    written(tmp_path, '{"phase": "text", "loss": 2, "note": "x", "done": true, "best": null}\n')
    assert read_log(tmp_path) == [{"phase": "text", "loss": 2}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"phase": "text"}\n{"phase": \n', "line 2: not JSON"),
        ("[" * 100_000 + "\n", "line 1: not JSON"),
        ("[1]\n", "line 1: not a line of a training run"),
        ('{"epoch": 1}\n', "line 1: not a line of a training run"),
        (b"\xff\xfe\n", "not the log of a training run"),
    ],
)
def test_a_damaged_log_is_named(tmp_path, text, told):
    with pytest.raises(UserError, match=r"log\.jsonl.*" + told):
        read_log(written(tmp_path, text))


@pytest.mark.parametrize(
    "name", ["README.md", "graph.onnx", "model.safetensors", "copied.safetensors", "training/a.txt"]
)
def test_files_that_the_model_would_replace_are_somebody_elses(tmp_path, name):
    (tmp_path / "training").mkdir()
    (tmp_path / name).write_text("the data, perhaps")
    for resume in (False, True):
        with pytest.raises(UserError, match=r"would be overwritten by the model \(--out\)") as caught:
            RunFolder(tmp_path, "textgen").open(None, resume)
        assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name).read_text() == "the data, perhaps"


def test_a_folder_with_other_files_may_hold_a_model(tmp_path):
    (tmp_path / "training").mkdir()
    for name in ("book.txt", "captions.csv", "a.jpg", "training/.config.json.x1"):  # the last from a kill
        (tmp_path / name).write_text("stays")
    assert RunFolder(tmp_path, "textgen").open("settings", False) == "settings"


@pytest.mark.parametrize("name", [".tokens-0123456789abcdef.bin.k2_x9abc", "fine-tuning/.last.pt.abcdefgh"])
def test_what_a_kill_left_half_written_is_removed_by_the_next_start(tmp_path, name):
    for path in (tmp_path / "training" / name, tmp_path / "training" / "last.pt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (tmp_path / ".mine.abcdefgh").write_text("stays")
    run = RunFolder(tmp_path, "textgen")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="already holds"):
        run.open("settings", False)
    assert (tmp_path / "training" / name).exists()  # whoever is refused touches nothing
    (tmp_path / "model.json").unlink()
    (tmp_path / "training" / "last.pt").rename(tmp_path / "training" / ".x1")
    run.open("settings", False)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".mine.abcdefgh", ".x1"}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("out", ["/proc/x", "/proc/self/fd/none/run", "book.txt/run"])
def test_an_out_that_cannot_be_written_is_told_at_the_start(tmp_path, out, resume):
    (tmp_path / "book.txt").write_text("the data")
    with pytest.raises(UserError, match=r"cannot be written \(--out\): .*choose another folder"):
        RunFolder(tmp_path / out, "textgen").open("settings", resume)


def test_seeing_whether_an_out_can_be_written_leaves_nothing(tmp_path):
    assert RunFolder(tmp_path / "a" / "b", "textgen").open("settings", False) == "settings"
    assert not list(tmp_path.iterdir())


def test_an_out_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "book.txt").write_text("the data")
    with pytest.raises(UserError, match=r"is not a folder \(--out\)"):
        RunFolder(tmp_path / "book.txt", "textgen").open(None, False)
