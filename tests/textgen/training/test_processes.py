"""Several processes learn what one learns, to the rounding of sums."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.torchrun import run, started
from textgen.errors import UserError
from textgen.rows import Share, drawn, in_rows, share
from textgen.training.processes import joined

pytestmark = pytest.mark.slow  # starts processes that train

SMALL = ["--epochs", "2", "--graphs", "none", "--precision", "float32"]
_UNLIKE = ("seconds", "peak_memory_gb")  # in a log's lines


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "dog", "cat", "runs", "sits", "now"]
    lines = [" ".join(rng.choice(words, rng.integers(2, 7))) for _ in range(150)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    pairs = [f"{line.capitalize()}.\t{line[::-1].capitalize()}." for line in lines]
    (folder / "pairs.tsv").write_text("\n".join(pairs) + "\n")
    (folder / "dev.tsv").write_text("\n".join(f"{pair[:-1]}!" for pair in pairs[::9]) + "\n")
    rows = [f"{line},{line.split()[0]}" for line in lines if line.split()[0] in words[:3]]
    (folder / "classes.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return folder


TRAININGS = {
    "a stream": "lines.txt --hidden 24 --embedding 8 --sequence 16 --batch 7 --recurrent-dropout 0.2",
    "lines": "lines.txt --lines --level word --hidden 24 --embedding 8 --batch 9 --layers 1",
    "pairs": "--pairs pairs.tsv --dev dev.tsv --vocabulary 300 --hidden 24 --encoder-hidden 16 --embedding 16 --heads 2 "
    "--tokens 60",
    "classes": "--classes classes.csv --vocabulary 300 --hidden 16 --embedding 16 --tokens 40 --held-out 0.3",
}


def arguments(training, corpora, out):
    words = TRAININGS[training].split()
    return [
        "train",
        *(corpora / word if "." in word and word[0].isalpha() else word for word in words),
        *SMALL,
        "--out",
        out,
    ]


def log_of(out):
    lines = [json.loads(line) for line in (out / "training" / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in _UNLIKE} for line in lines]


def same(one, other):
    """Losses and scores to 1e-4, all else alike: in float32, and of trainings so short that what rounding makes unlike has
    not grown."""
    assert len(one) == len(other) > 0
    for first, second in zip(one, other, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert value == (
                pytest.approx(second[name], abs=1e-4, rel=1e-5) if isinstance(value, float) else second[name]
            )


@pytest.mark.parametrize("training", TRAININGS)
def test_two_processes_learn_what_one_does(training, corpora, tmp_path):
    """In float32: the rounding of bfloat16, which `auto` may be, depends on how the rows are shared out."""
    run(1, "textgen", *arguments(training, corpora, tmp_path / "one"))
    said = run(2, "textgen", *arguments(training, corpora, tmp_path / "two"))
    same(log_of(tmp_path / "two"), log_of(tmp_path / "one"))
    assert said.count("the model is in") == 1  # one speaks for both


def test_a_run_goes_on_with_another_number_of_processes(corpora, tmp_path):
    """Ctrl-C, as a terminal gives it to all of them."""
    whole = arguments("a stream", corpora, tmp_path / "one")
    whole[whole.index("--epochs") + 1] = "12"
    parts = [*whole[:-1], tmp_path / "parts"]
    run(1, "textgen", *whole)
    process = started(2, "textgen", *parts, "--save-minutes", "0", start_new_session=True)
    wait_for(tmp_path / "parts" / "training" / "last.pt", process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode and "continue with --resume" in said, said
    assert "the model is in" not in said
    run(1, "textgen", *parts, "--resume")
    same(log_of(tmp_path / "parts"), log_of(tmp_path / "one"))


def test_a_process_that_dies_ends_all_and_loses_nothing(corpora, tmp_path):
    out = tmp_path / "run"
    training = arguments("a stream", corpora, out)
    training[training.index("--epochs") + 1] = "2000"
    process = started(2, "textgen", *training, "--save-minutes", "0", start_new_session=True)
    wait_for(out / "training" / "last.pt", process)
    victim = next(child for child in children(process.pid) if environment(child).get("RANK") == "1")
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    said, _ = process.communicate(timeout=90)
    assert process.returncode and time.monotonic() - began < 60, said
    # What it had saved is whole: a run of one process goes on from it.
    before = (out / "training" / "last.pt").stat().st_mtime_ns
    resumed = started(1, "textgen", *training, "--resume", start_new_session=True)
    while (out / "training" / "last.pt").stat().st_mtime_ns == before:
        assert resumed.poll() is None and time.monotonic() < began + 120
        time.sleep(0.05)
    os.killpg(resumed.pid, signal.SIGINT)
    said, _ = resumed.communicate(timeout=60)
    assert resumed.returncode == 130 and "stopped in epoch" in said, said


def test_processes_whose_torchrun_was_killed_save_and_end(corpora, tmp_path):
    training = arguments("a stream", corpora, tmp_path / "run")
    training[training.index("--epochs") + 1] = "2000"
    process = started(2, "textgen", *training, "--save-minutes", "0", start_new_session=True)
    wait_for(tmp_path / "run" / "training" / "last.pt", process)
    os.kill(process.pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)  # until the last of them has let go of the output
    assert said.count("continue with --resume") == 1, said


def test_what_is_wrong_is_said_once(corpora, tmp_path):
    training = arguments("a stream", corpora, tmp_path / "out")
    training[1] = corpora / "missing.txt"
    said = run(2, "textgen", *training, status=1)  # torchrun's own status
    assert said.count("missing.txt: cannot be read") == 1, said
    said = run(
        2, "textgen", "train", corpora / "lines.txt", "--family", "vae", "--out", tmp_path / "vae", status=1
    )
    assert said.count("without torchrun") == 1, said
    assert not (tmp_path / "vae").exists()


def test_a_checkpoint_that_is_damaged_is_said_once(corpora, tmp_path):
    training = arguments("a stream", corpora, tmp_path / "out")
    run(1, "textgen", *training)
    (tmp_path / "out" / "training" / "last.pt").write_bytes(b"damaged")
    said = run(2, "textgen", *training, "--resume", status=1)
    assert said.count("last.pt: not a checkpoint of this program, or damaged") == 1, said


@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_process_cannot_do_ends_all_and_is_said_by_the_first(failing):
    said = run(2, "tests.helpers.disagreeing", str(failing), status=1)
    assert said.count("rank 0: disk full") == said.count("disk full") == 1 and "nobody" not in said, said


@pytest.mark.parametrize(("ending", "status"), [("well", 0), ("badly", 1)])
def test_threads_of_the_network_end_before_the_interpreter(ending, status):
    """One that let go of a tensor later aborted the process: "terminate called without an active exception"."""
    said = run(2, "tests.helpers.ending", ending, status=status)
    assert said.count("under way: True") == 2 and said.count("left: []") == 2, said


def test_what_is_no_training_is_done_by_the_first_process():
    said = run(2, "textgen", "models")
    assert said.count("shakespeare ") == 1, said


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}, "but MASTER_PORT not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number of processes"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0', not a number of processes"),
        (
            {"WORLD_SIZE": "2", "RANK": "x", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "do not find one another by WORLD_SIZE=2, RANK=x, MASTER_ADDR=localhost, MASTER_PORT=1",
        ),
    ],
)
def test_processes_that_torchrun_did_not_start_are_refused_in_one_line(monkeypatch, environment, told):
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught, joined():
        pass
    assert told in str(caught.value) and "torchrun" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}])
def test_one_process_needs_no_torchrun(monkeypatch, environment):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with joined():
        assert share() == Share()


@pytest.mark.parametrize("total", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_row_is_counted_once(total, count):
    rows = [Share(rank, count).of(total) for rank in range(count)]
    counted = [row for part in rows if part.counted for row in range(total)[part.slice]]
    assert counted == list(range(total))
    assert all(part.end - part.first >= 1 for part in rows)


def test_what_is_drawn_for_a_row_does_not_depend_on_who_has_it():
    def draw(shape):
        return np.random.default_rng(3).random(shape)

    parts = []
    for rank in range(3):
        rows = Share(rank, 3).of(8)
        with in_rows(rows):
            parts.append(drawn((rows.end - rows.first, 4), draw))
    assert np.array_equal(np.concatenate(parts), draw((8, 4)))
    with in_rows(Share(0, 3).of(8)), pytest.raises(ValueError, match="rows"):
        drawn((5, 4), draw)


def wait_for(path, process):
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < until, process.stdout.read()
        time.sleep(0.05)


def children(pid):
    """Processes begun by `pid`, and by those."""
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def environment(pid):
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
