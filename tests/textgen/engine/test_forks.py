"""Models in other processes: forked children use them, end, and never wait for what only the parent has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import EXAMPLES, ROOT
from textgen.engine.forks import renew_in_children

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]
PHOTO = str(EXAMPLES / "cat.jpg")
# A forked child ends as programs end, through the interpreter's own clean-up, and not as multiprocessing's do.
BEGIN = """
import os, signal, sys, threading, time
from captioner import Captioner
from textgen import TextGenerator
from textgen.errors import UserError

def child(work):
    pid = os.fork()
    if pid == 0:
        sys.exit(0 if work() else 7)
    end = time.monotonic() + 40
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            assert status == 0, f"the child ended with {status}"
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.write(2, b"the child hangs")
    os._exit(9)

PHOTO = sys.argv[1]
"""
CAPTION = "captioner = Captioner.load(); ask = lambda: captioner.caption(PHOTO)[0].text"
CAPTION_TORCH = "captioner = Captioner.load(engine='torch'); ask = lambda: captioner.caption(PHOTO)[0].text"
# A prompt that is long enough for two cores to read it.
TEXT = "generator = TextGenerator.load(); ask = lambda: str(generator.generate('Tom ' * 80, length=9, seed=1)[0])"
TEXT_TORCH = TEXT.replace("load()", "load(engine='torch')")
SCENES = {
    "at once": "child(lambda: True)",
    "used in the child": "child(ask) ; expected = ask()",
    "used before": "expected = ask(); child(lambda: ask() == expected); assert ask() == expected",
    "a child's child": "expected = ask()\ndef below(): child(lambda: ask() == expected); return ask() == expected\nchild(below)",
    "another thread that loads": """
expected, stop = ask(), threading.Event()
def work():
    while not stop.is_set(): TextGenerator.load()
thread = threading.Thread(target=work)
thread.start()
try:
    for _ in range(8): child(lambda: ask() == expected)
finally:
    stop.set()
""",
    "another thread at work": """
expected, stop = ask(), threading.Event()
def work():
    while not stop.is_set(): ask()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
try:
    for _ in range(4): child(lambda: ask() == expected)
finally:
    stop.set()
""",
}


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, PHOTO], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("model", [CAPTION, TEXT], ids=["Captioner", "TextGenerator"])
def test_a_forked_child_uses_the_model_and_ends(model, scene):
    run(f"{model}\n{SCENES[scene]}")


@pytest.mark.parametrize("model", [CAPTION_TORCH, TEXT_TORCH], ids=["Captioner", "TextGenerator"])
def test_so_it_does_by_torch_which_has_threads_of_its_own(model):
    pytest.importorskip("torch", reason="torch is not installed")
    run(f"{model}\n{SCENES['used before']}")


def test_a_folder_of_photos_is_captioned_in_a_child():
    run(
        f"{CAPTION}\nexpected = [c[0].text for c in captioner.caption([PHOTO] * 20)]\n"
        "child(lambda: [c[0].text for c in captioner.caption([PHOTO] * 20)] == expected)"
    )


def test_captions_under_way_are_refused_in_a_child_and_go_on_in_the_parent():
    run(
        f"{CAPTION}\nfound = captioner.caption_each([PHOTO] * 60)\nnext(found)\n"
        "def refused():\n"
        "    try: list(found)\n"
        "    except UserError as error: return 'begin anew' in str(error)\n"
        "child(refused)\n"
        "assert len(list(found)) == 59"
    )
    run(f"{CAPTION}\nfound = captioner.caption_each([PHOTO] * 60)\nnext(found)\nchild(lambda: True)")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_pool_get_the_model_as_an_argument(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from captioner import Captioner\n"
        "from textgen import TextGenerator\n"
        "def work(captioner, generator, photo):\n"
        "    return captioner.caption(photo)[0].text, str(generator.generate('Tom', length=9, seed=1)[0])\n"
        "if __name__ == '__main__':\n"
        "    models = Captioner.load(), TextGenerator.load()\n"
        "    expected = work(*models, sys.argv[1])\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        assert pool.starmap(work, [(*models, sys.argv[1])] * 3) == [expected] * 3\n"
        f"    process = multiprocessing.get_context({method!r}).Process(target=work, args=(*models, sys.argv[1]))\n"
        "    process.start(); process.join(60); assert process.exitcode == 0\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, PHOTO], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def test_a_server_that_loads_first_and_forks_its_workers_is_stopped_at_once():
    """As `gunicorn --preload`: a worker serves until SIGTERM, and ends through the interpreter."""
    code = f"""{CAPTION}
expected = ask()
read, write = os.pipe()
workers = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        os.write(write, b"+" if ask() == expected else b"-")
        while True: time.sleep(1)
    workers.append(pid)
said = b"".join(os.read(read, 1) for _ in workers)
for pid in workers: os.kill(pid, signal.SIGTERM)
end = time.monotonic() + 40
while workers and time.monotonic() < end:
    workers = [pid for pid in workers if os.waitpid(pid, os.WNOHANG)[0] == 0]
    time.sleep(0.01)
for pid in workers: os.kill(pid, signal.SIGKILL)
assert said == b"++" and not workers, (said, workers)
"""
    run(code)


def test_a_child_renews_what_lives_and_the_parent_keeps_its_own():
    class Counter:
        renewed = 0

        def renew_after_fork(self):
            self.renewed += 1

    kept, gone = Counter(), Counter()
    for thing in (kept, gone):
        renew_in_children(thing)
    del gone
    pid = os.fork()
    if pid == 0:
        os._exit(kept.renewed)
    end = time.monotonic() + 40
    while not (found := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.01)
    if not found[0]:
        os.kill(pid, signal.SIGKILL)
    assert (os.waitstatus_to_exitcode(found[1]), kept.renewed) == (1, 0)
