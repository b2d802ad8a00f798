"""A command's process: it ends at once where nothing waits for its end, and in order where something does."""

import subprocess
import sys

import pytest

from tests.helpers.paths import EXAMPLES, ROOT
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


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("captioner", ["caption", str(EXAMPLES / "cat.jpg"), "-n", "2", "--confidence"]),
        ("textgen", ["translate", "good morning"]),
        ("textgen", ["classify", "good morning"]),
    ],
)
def test_commands_that_are_waited_for_load_no_type_checker(module, words):
    """It takes 30 ms, and tyro asks it where a field is neither a class nor `Optional`; see `textgen.arguments`."""
    code = f"import sys\nfrom {module}.cli import main\nassert main({words!r}) == 0\nsys.exit('typeguard' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr
