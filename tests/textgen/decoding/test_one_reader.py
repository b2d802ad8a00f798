"""Two threads at one iterator are refused, both; one after the other may read it."""

import threading

import pytest

from textgen.decoding.one_reader import OneReader
from textgen.errors import UserError


def test_it_passes_on_what_comes_whoever_reads_next():
    reader = OneReader((letter for letter in "abc"), "shared")
    read = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: read.append(next(reader)))
        thread.start()
        thread.join()
    assert read == ["a", "b", "c"] and list(reader) == []


def test_two_at_once_are_refused_and_all_who_come_later():
    inside, may_end = threading.Event(), threading.Event()

    def letters():
        for letter in "abc":
            inside.set()
            assert may_end.wait(10)
            yield letter

    reader, told = OneReader(letters(), "shared"), []

    def read():
        with pytest.raises(UserError, match="shared"):
            next(reader)
        told.append(True)

    first = threading.Thread(target=read)
    first.start()
    assert inside.wait(10)
    read()
    may_end.set()
    first.join()
    read()
    assert len(told) == 3


def test_what_goes_wrong_inside_is_passed_on_and_it_can_be_closed():
    closed = []

    def failing():
        try:
            yield 1
            raise KeyError("inside")
        finally:
            closed.append(True)

    reader = OneReader(failing(), "shared")
    assert next(reader) == 1
    with pytest.raises(KeyError):
        next(reader)
    reader = OneReader(failing(), "shared")
    next(reader)
    reader.close()
    assert closed == [True, True] and list(reader) == []
