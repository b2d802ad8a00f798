"""The service as a process of its own: what was accepted is answered, whenever it is told to end."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
import httpx

from tests.helpers.paths import EXAMPLES, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def started():
    process = subprocess.Popen(
        [sys.executable, "-m", "captioner", "serve", "--port", "0", "--queue", "200"],
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
