"""Promise 3: whatever happens while a file is saved, the file before it stays whole and loadable (row 15)."""

import errno
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from tests.helpers.paths import ROOT
from textgen.errors import UserError
from textgen.storage.files import atomic_write
from textgen.training.checkpoint import load_state, save_state


def refusal(call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def state(fill, size=10):
    return {"model": {"weight": torch.full((size,), float(fill))}, "progress": {"epoch": fill, "best": None}}


@pytest.fixture
def old(tmp_path):
    """A file of ours that somebody relies on."""
    path = tmp_path / "last.pt"
    save_state(path, state(1))
    return path


def assert_whole(path):
    """`path` is as `old` left it, and alone."""
    assert torch.equal(load_state(path)["model"]["weight"], torch.ones(10))
    assert list(path.parent.iterdir()) == [path]


# --- writing


def test_a_state_comes_back_as_it_was(tmp_path):
    path = tmp_path / "new" / "folder" / "last.pt"
    before = {**state(3), "optimizer": {"groups": [{"lr": 0.1, "betas": (0.9, 0.98)}]}, "label": "wörter"}
    save_state(path, before)
    after = load_state(path)
    assert torch.equal(before.pop("model")["weight"], after.pop("model")["weight"])
    assert before == after


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt(), MemoryError()])
def test_a_writer_that_raises_leaves_the_old_file_whole(old, error):
    def write(file):
        file.write(b"half of")
        raise error

    with pytest.raises(type(error)):
        atomic_write(old, write)
    assert_whole(old)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "chmod", "replace"])
def test_a_failing_disk_is_one_line_and_leaves_the_old_file_whole(old, monkeypatch, step, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number), "/somewhere")

    places = {
        "open": (tempfile, "NamedTemporaryFile"),
        "fsync": (os, "fsync"),
        "chmod": (Path, "chmod"),
        "replace": (os, "replace"),
    }
    with monkeypatch.context() as patch:
        if step in places:
            patch.setattr(*places[step], fail)
        message = refusal(atomic_write, old, fail if step == "write" else lambda file: file.write(b"new"))
    assert message == f"{old}: cannot be written: {os.strerror(number)}"
    assert_whole(old)


def test_a_disk_that_fills_up_within_a_checkpoint_is_named(old):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        message = refusal(save_state, old, state(2, size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == f"{old}: cannot be written: {os.strerror(errno.EFBIG)}"
    assert_whole(old)


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path / "file" / "last.pt", tmp_path / "file" / "deeper" / "last.pt"):
        assert refusal(save_state, path, state(1)).startswith(f"{path}: cannot be written: ")
    (tmp_path / "folder").mkdir()
    assert "cannot be written" in refusal(save_state, tmp_path / "folder", state(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_named(old):
    old.parent.chmod(0o500)
    try:
        assert refusal(save_state, old, state(2)) == f"{old}: cannot be written: Permission denied"
    finally:
        old.parent.chmod(0o700)
    assert_whole(old)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "model.json", lambda file: file.write(b"{}"))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "model.json").stat().st_mode & 0o777 == mode


KILLED = """
import os, signal, sys, time
from pathlib import Path
import torch
from textgen.training.checkpoint import load_state, save_state

path = Path(sys.argv[1])
for kill in range(8):
    # A fork needs no second import of torch; this parent has started no threads.
    child = os.fork()
    if not child:
        for number in range(1_000_000):
            save_state(path, {"number": number, "weight": torch.full((300_000,), float(number))})
        os._exit(1)
    while not path.exists():
        time.sleep(0.001)
    time.sleep(0.05 + 0.013 * kill)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    state = load_state(path)
    assert (state["weight"] == state["number"]).all()
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_of_a_save_leaves_a_loadable_file(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "last.pt")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr


# --- reading


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2))]
)
def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path, save):
    path = tmp_path / "last.pt"
    save({"model": Bomb(tmp_path / "ran")}, path)
    assert refusal(load_state, path).startswith(f"{path}: not a checkpoint of this program, or damaged")
    assert list(tmp_path.iterdir()) == [path]


DAMAGE = {
    "empty": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "without its directory": lambda data: data[:-100],
    "without its start": lambda data: data[100:],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"epoch 3\nloss 2.1\n",
    "html": lambda data: b"<!DOCTYPE html>\n<title>404</title>",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_one_line_that_names_it(old, damage):
    old.write_bytes(damage(old.read_bytes()))
    assert refusal(load_state, old).startswith(f"{old}: not a checkpoint of this program, or damaged")


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    path = tmp_path / "last.pt"
    assert refusal(load_state, path) == f"{path}: no such checkpoint; train without --resume to start anew"


def test_a_checkpoint_that_cannot_be_opened_is_not_called_damaged(old, monkeypatch):
    """Or somebody deletes a good one."""

    def fail(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    assert refusal(load_state, old) == f"{old}: cannot be read: Permission denied"
    monkeypatch.undo()
    assert refusal(load_state, old.parent) == f"{old.parent}: cannot be read: Is a directory"
