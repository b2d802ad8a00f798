"""The service as a process of its own: what was accepted is answered, whenever it is told to end."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
import httpx

from tests.helpers.odd_requests import KINDS, answered, why_wrong
from tests.helpers.paths import EXAMPLES, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def started(request):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "captioner",
            "serve",
            "--port",
            "0",
            "--queue",
            "200",
            *getattr(request, "param", ()),
        ],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    line = process.stderr.readline()
    assert line.startswith("captioner serves at http://127.0.0.1:")
    yield process, line.split()[-1].removesuffix("/docs")
    if process.poll() is None:
        process.kill()
    process.stderr.close()
    process.wait()


def test_what_was_accepted_is_answered_when_it_is_told_to_end(started):
    process, address = started
    photo = (EXAMPLES / "cat.jpg").read_bytes()
    answers = []

    def ask():
        try:
            answer = httpx.post(
                f"{address}/v1/captions?beam=20",
                content=photo,
                headers={"content-type": "image/jpeg"},
                timeout=60,
            )
            answers.append((answer.status_code, answer.json()["photos"][0]["captions"][0]["text"]))
        except httpx.ConnectError:
            answers.append(("not accepted", ""))

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    while not answers:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert process.wait(30) == 0
    assert len(answers) == 24 and {status for status, _ in answers} <= {200, "not accepted"}
    assert len({text for status, text in answers if status == 200}) == 1
    lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    assert sum(line["status"] == 200 for line in lines) == sum(status == 200 for status, _ in answers) > 0


def test_a_port_that_is_taken_is_told_in_a_line(started):
    _, address = started
    port = address.rpartition(":")[2]
    found = subprocess.run(
        [sys.executable, "-m", "captioner", "serve", "--port", port], capture_output=True, text=True, cwd=ROOT
    )
    assert found.returncode == 2 and found.stderr.count("\n") == 1 and "cannot be listened at" in found.stderr


@pytest.mark.parametrize("started", [["--receive-seconds", "1"]], indirect=True)
def test_what_no_friend_sends_is_refused_in_a_sentence_and_the_service_lives(started):
    process, address = started
    host, port = address.removeprefix("http://").split(":")
    asked = [(name, seed) for name in KINDS for seed in range(2 if name.startswith("slow") else 6)]

    def ask(name, seed):
        return why_wrong(name, answered((host, int(port)), name, random.Random(seed)))

    with ThreadPoolExecutor(16) as threads:
        wrong = [why for why in threads.map(ask, *zip(*asked, strict=True)) if why]
    assert not wrong, wrong
    photo = (EXAMPLES / "cat.jpg").read_bytes()
    answer = httpx.post(
        f"{address}/v1/captions", content=photo, headers={"content-type": "image/jpeg"}, timeout=60
    )
    assert answer.status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    lines = process.stderr.read().splitlines()
    assert all(json.loads(line)["status"] < 500 for line in lines)  # no traceback among them, either
