"""The gate before the models, and the models themselves: loaded once, read anew when they are replaced."""

import gc
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed: pip install 'captioner[app]'")

from app.work import resources
from app.work.gate import Busy, Gate
from app.work.limits import Limits
from captioner import Captioner
from tests.helpers.paths import MODEL_IN_THE_BOX
from textgen.errors import UserError

PATIENCE = 60  # seconds; nothing here takes that long


def gate(inferences=1, queue=5, wait=PATIENCE):
    return Gate(Limits(inferences=inferences, queue=queue, wait_seconds=wait))


class Holder:
    """A thread that is in the gate until it is told to leave."""

    def __init__(self, gate):
        self.inside, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold, args=(gate,), daemon=True)
        self.thread.start()
        assert self.inside.wait(PATIENCE)

    def _hold(self, gate):
        with gate.place():
            self.inside.set()
            self.leave.wait(PATIENCE)

    def end(self):
        self.leave.set()
        self.thread.join(PATIENCE)


def is_free(gate):
    """Whether the next visitor would be let in and served at once."""
    found = []

    def visit():
        with gate.place():
            found.append(True)

    thread = threading.Thread(target=visit, daemon=True)
    thread.start()
    thread.join(2)
    return bool(found)


def test_no_more_than_allowed_compute_at_once():
    bounded, lock, inside, most = gate(inferences=3, queue=50), threading.Lock(), 0, 0

    def work(_):
        nonlocal inside, most
        with bounded.place():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(40)))
    assert most == 3 and inside == 0


def test_whoever_finds_the_queue_full_is_told_at_once():
    full = gate(queue=0)
    holder = Holder(full)
    with pytest.raises(Busy, match="try again"), full.place():
        pass
    holder.end()
    with full.place():
        pass


def test_whoever_waits_too_long_is_told_and_leaves_the_queue():
    slow = gate(queue=1, wait=0.1)
    holder = Holder(slow)
    for _ in range(3):  # were the place in the queue kept, the second would be told at once
        start = time.monotonic()
        with pytest.raises(Busy), slow.place():
            pass
        assert time.monotonic() - start >= 0.1
    holder.end()
    assert is_free(slow)


def test_visitors_are_served_in_the_order_of_their_coming():
    fair, served = gate(queue=10), []
    holder = Holder(fair)

    def visit(number):
        with fair.place():
            served.append(number)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=visit, args=(number,), daemon=True))
        threads[-1].start()
        while len(fair._waiting) <= number:  # until it stands in the queue
            time.sleep(0.001)
    holder.end()
    for thread in threads:
        thread.join(PATIENCE)
    assert served == list(range(6))


def test_a_stream_is_passed_on_whole():
    assert list(gate().steps(iter("abc"))) == ["a", "b", "c"]


def test_a_stream_holds_no_turn_while_its_reader_has_an_item():
    shared = gate()
    steps = shared.steps(iter("abc"))
    assert next(steps) == "a"
    assert is_free(shared)
    assert list(steps) == ["b", "c"]


def test_a_stream_that_is_dropped_gives_its_room_back():
    shared = gate(queue=0)
    steps = shared.steps(iter("abc"))
    next(steps)
    with pytest.raises(Busy), shared.place():
        pass
    del steps
    gc.collect()
    assert is_free(shared)


def test_a_computation_that_fails_gives_its_place_back():
    shared = gate(queue=0)
    with pytest.raises(ZeroDivisionError), shared.place():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        list(shared.steps(1 / n for n in (1, 0)))
    assert is_free(shared)


def test_streams_take_turns():
    shared, order = gate(queue=10), []

    def items(name):
        for number in range(20):
            order.append(name)
            time.sleep(0.001)
            yield number

    def read(name):
        for _ in shared.steps(items(name)):
            pass

    threads = [threading.Thread(target=read, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    changes = sum(one != other for one, other in pairwise(order))
    assert len(order) == 40 and changes >= 10, "one of them had to wait for the whole of the other"


@pytest.fixture
def loads(monkeypatch):
    """The folders that captioners are loaded from, as they are."""
    loaded, load = [], Captioner.load.__func__

    def counted(cls, folder=None, engine="auto"):
        loaded.append(str(folder))
        return load(cls, folder, engine)

    monkeypatch.setattr(Captioner, "load", classmethod(counted))
    resources._load_captioner.clear()
    return loaded


def test_six_sessions_at_once_load_a_model_once(loads):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(resources.captioner_of, [MODEL_IN_THE_BOX] * 6))
    assert len(loads) == 1 and len(set(map(id, found))) == 1


def test_a_model_that_is_replaced_is_read_anew(loads, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL_IN_THE_BOX, folder)
    first = resources.captioner_of(folder)
    assert resources.captioner_of(folder) is first and len(loads) == 1
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(data)
    assert resources.captioner_of(folder) is not first and len(loads) == 2


def test_a_folder_that_is_no_model_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match="no such model or folder") as caught:
        resources.captioner_of(tmp_path / "gone")
    assert str(caught.value).isprintable()


def test_what_the_command_line_says_is_where_a_session_begins(monkeypatch, tmp_path):
    assert resources.chosen_captioner_folder() == MODEL_IN_THE_BOX
    assert resources.chosen_text_folder().name == "shakespeare"
    monkeypatch.setenv("CAPTIONER_APP_MODEL", str(tmp_path))
    monkeypatch.setenv("CAPTIONER_APP_TEXT_MODEL", "novels")
    assert resources.chosen_captioner_folder() == tmp_path
    assert resources.chosen_text_folder().name == "novels"
