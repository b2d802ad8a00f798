"""The page under load: fifty people at once over real websockets, how long they wait, what memory is left behind."""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import IO

import numpy as np

from captioner.caption import Captioner
from tests.benchmarks.page_client import Visitor
from tests.benchmarks.page_visits import Answers, Tally, cards, crowd
from tests.benchmarks.sample_photos import different
from tests.benchmarks.timing import asked, spread
from tests.helpers.app_server import Server, serving

_STARTS = 3
_CLICKS = 20
_FEW, _MANY = 8, 50  # visitors
_HURRY = (0.0, 1.0)  # seconds that the first visitors think, so that two of them compute at once
_SECONDS = 60.0
_PHOTOS = 40
_GONE = 40  # seconds after which the server has forgotten those who have left
_MB = 1e6


def measure(model: Path | None) -> dict:
    """Seconds, megabytes and answers of the page's server, in a process of its own, and of visitors in this one."""
    answers = Answers.of(Captioner.load(model, engine="onnx"), different(_PHOTOS))
    environment = {"CAPTIONER_APP_MODEL": str(model.resolve())} if model else {}
    results: dict = {"different right answers": len(set(answers.right.values()))}
    with tempfile.TemporaryFile() as log:
        results |= _first_captions(answers, environment, log)
        with serving(log, **environment) as server:
            crowd(server.address, _FEW, 10, answers, _HURRY)
            results |= _clicks(server, answers)
            time.sleep(_GONE)
            before = _memory(server.pid)
            results[f"server after {_FEW} visitors have come and gone, MB"] = before
            for count in (_FEW, _MANY):
                results |= _described(
                    f"{count} visitors", crowd(server.address, count, _SECONDS, answers), count
                )
            results["server as they leave, MB"] = _memory(server.pid)
            results |= _clicks(server, answers, "just then, ")
            time.sleep(_GONE)
            results["server at most, MB"] = asked(_memory(server.pid, "VmHWM"), "<= 700")
            results[f"server {_GONE} s later, MB over before"] = asked(_memory(server.pid) - before, "<= 50")
        log.seek(0)
        printed = log.read().decode()
        results["exceptions in the server's log"] = asked(printed.count("Traceback"), "0")
        if "Traceback" in printed:
            print(printed[printed.index("Traceback") :][:4000], file=sys.stderr)
    return results


def _first_captions(answers: Answers, environment: dict[str, str], log: IO) -> dict:
    """Of servers that have just been started: seconds until the first visitor has a caption."""
    ready, opened, said = [], [], []
    for number in range(_STARTS):
        with serving(log, **environment) as server:
            ready.append(server.seconds)
            started = time.perf_counter()
            with Visitor(server.address) as tab:
                opened.append(time.perf_counter() - started)
                tab.upload(tab.find("file_uploader", "Photos"), {"first.jpg": answers.photos[number]})
                said.append(cards(tab)[0].arrived - started)
    return {
        "server's start until it answers, s": spread(ready),
        "the first visitor's page, s": spread(opened),
        "page opened to first caption, without a browser, median s": asked(np.median(said), "<= 3"),
        "server's start to first caption, s": spread(np.add(ready, said)),
    }


def _clicks(server: Server, answers: Answers, when: str = "") -> dict:
    """Milliseconds from a click to the end of its answer, nobody else being there and no model running."""
    results: dict = {}
    every = []
    for count in (1, 10):
        with Visitor(server.address) as tab:
            files = {f"{number}.jpg": answers.photos[number] for number in range(count)}
            tab.upload(tab.find("file_uploader", "Photos"), files)
            on, words, choices = cycle([True, False]), cycle(range(1, 5)), cycle([1, 2, 0])
            clicks = {
                "camera": lambda tab=tab, on=on: tab.set(
                    tab.find("checkbox", "Use the camera"), bool_value=next(on)
                ),
                "a word": lambda tab=tab, words=words: _press_word(tab, next(words)),
                "another caption": lambda tab=tab, choices=choices: _choose(tab, next(choices)),
            }
            for name, click in clicks.items():
                seconds = [_timed(click) for _ in range(_CLICKS)]
                every += seconds
                results[f"{when}{name}, {count} photos, ms"] = spread(seconds, 1000)
    with Visitor(server.address, "text") as tab:
        warmth = cycle([0.5, 1.0])
        seconds = [
            _timed(lambda: tab.set(tab.find("slider", "Temperature"), double_array_value=[next(warmth)]))
            for _ in range(_CLICKS)
        ]
        every += seconds
        results[f"{when}a slider of the Text page, ms"] = spread(seconds, 1000)
    results[f"{when}a click, median ms"] = asked(1000 * np.median(every), "<= 150")
    results[f"{when}a click, p95 ms"] = asked(1000 * np.percentile(every, 95), "<= 150")
    return results


def _press_word(tab: Visitor, number: int) -> None:
    words = tab.find("button_group", "Where the model looked for each word")
    tab.set(words, string_array_value=[words.proto.options[number].content])


def _choose(tab: Visitor, number: int) -> None:
    choice = tab.find("radio", "Captions and their probabilities")
    tab.set(choice, string_value=choice.proto.options[number])


def _timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _described(who: str, tally: Tally, count: int) -> dict:
    for line in [*tally.wrong, *tally.nothing][:10]:
        print(f"{who}: {line}", file=sys.stderr)
    p95 = float(np.percentile(tally.captions, 95))
    return {
        f"{who}: right answers": tally.right,
        f"{who}: told that it is busy": tally.busy,
        f"{who}: wrong or mixed answers": asked(len(tally.wrong), "0"),
        f"{who}: errors, or neither answer nor busy": asked(len(tally.nothing), "0"),
        f"{who}: page opened, s": spread(tally.opening),
        f"{who}: uploads answered": len(tally.captions),
        f"{who}: a photo's captions, s": spread(tally.captions),
        f"{who}: a photo's captions, p95 s": asked(p95, "<= 2") if count == _FEW else p95,
        f"{who}: a slider's, of all photos, s": spread(tally.sliders),
    }


def _memory(pid: int, of: str = "VmRSS") -> float:
    """Megabytes, as Linux counts them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(of):
            return int(line.split()[1]) * 1024 / _MB
    raise LookupError(of)
