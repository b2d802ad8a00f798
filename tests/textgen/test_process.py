"""A command's process: it ends at once where nothing waits for its end, and in order where something does."""

import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from textgen.process import run

ENDING = """
import atexit, sys, types
{before}
atexit.register(print, "in order")
module = types.ModuleType("commands")
module.main = lambda: print("said") or {status}
sys.modules["commands"] = module
from textgen.process import run
sys.exit(run("commands"))
"""


def ended(before="", status="0"):
    command = [sys.executable, "-c", ENDING.format(before=before, status=status)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("status", "expected"), [("0", 0), ("2", 2), ("sys.exit(3)", 3), ("sys.exit()", 0)])
def test_a_command_ends_with_its_status_and_at_once(status, expected):
    process = ended(status=status)
    assert (process.returncode, process.stdout, process.stderr) == (expected, "said\n", "")


@pytest.mark.parametrize(
    "before",
    [
        "import multiprocessing",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "sys.settrace(lambda *about: None)",
        "sys.setprofile(lambda *about: None)",
    ],
)
def test_it_ends_in_order_where_something_waits_for_that(before):
    process = ended(before, "2")
    assert (process.returncode, process.stdout) == (2, "said\nin order\n"), process.stderr


def test_a_message_in_place_of_a_status_is_pythons_to_say(monkeypatch):
    def main():
        raise SystemExit("a message")

    monkeypatch.setitem(sys.modules, "commands", type("commands", (), {"main": staticmethod(main)}))
    with pytest.raises(SystemExit, match="a message"):
        run("commands")
