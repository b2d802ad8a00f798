"""Work that nobody waits for any more: it ends, and its place before the models is free."""

import threading

import pytest

from textgen.errors import UserError

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.gate import Busy, Gate
from app.work.jobs import Job, Stopped
from app.work.limits import Limits

PATIENCE = 10  # seconds


@pytest.fixture
def gate():
    return Gate(Limits(inferences=1, queue=0, wait_seconds=PATIENCE))


def test_what_the_work_returns_or_raises_comes_to_who_waits(gate):
    with Job(lambda check: 7, gate) as job:
        assert job.done(PATIENCE) and job.result() == 7

    def wrong(check):
        raise UserError("no")

    with pytest.raises(UserError, match="no"), Job(wrong, gate) as job:
        job.result()


def test_work_that_is_left_ends_and_gives_its_place_back(gate):
    started, ended = threading.Event(), []

    def endless(check):
        started.set()
        try:
            while True:
                check()
        except Stopped:
            ended.append(True)
            raise

    with pytest.raises(KeyboardInterrupt), Job(endless, gate) as job:
        assert started.wait(PATIENCE) and not job.done(0.01)
        with pytest.raises(Busy), gate.place():
            pass
        raise KeyboardInterrupt
    with pytest.raises(Stopped):
        job.result()
    assert ended
    with gate.place():
        pass


def test_work_that_is_left_before_its_turn_never_begins():
    gate, begun = Gate(Limits(inferences=1, queue=1, wait_seconds=PATIENCE)), []
    with gate.place(), Job(begun.append, gate) as job:
        assert not job.done(0.05)
    with pytest.raises(Stopped):
        job.result()
    assert not begun
