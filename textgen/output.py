"""What a command writes: standard output in whatever state it is, and messages beside it that never end the work."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from textgen.errors import UserError

_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO, errno.EAGAIN}


class _Closed(io.TextIOBase):
    """A standard output that was closed before the program began."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Within it, what cannot be written to standard output is a UserError; a reader that has gone, BrokenPipeError.

    Signs that a terminal does not have become question marks.
    """
    closed = sys.stdout is None
    if closed:
        sys.stdout = _Closed()
    elif hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without a sign for 犬 is no reason to stop
    try:
        yield
        if not closed:
            sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
        raise
    except OSError as error:
        # One of a file has the file's name; this one is of standard output.
        if error.filename is not None or error.errno not in _LOST:
            raise
        _give_up()
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise UserError(f"standard output: cannot be written: {why}") from error
    finally:
        if closed:
            sys.stdout = None


def _give_up() -> None:
    """What is still to be written goes nowhere: Python would complain once more at its exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(prog: str, message: object) -> None:
    """A line on standard error; where that cannot be written, nothing."""
    if sys.stderr is None:  # `print` would take standard output for it
        return
    with contextlib.suppress(OSError, ValueError):
        print(f"{prog}: {as_text(str(message))}", file=sys.stderr, flush=True)


def as_text(name: str) -> str:
    """A name or an argument whose UTF-8 the locale could not read, as its text; what is no UTF-8 stays as it is."""
    if not any("\udc80" <= letter <= "\udcff" for letter in name):
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return name


def json_text(document: Mapping[str, Any], indent: int | None = 1) -> str:
    """`document` as every file and output of the project has it; on one line without `indent`."""
    return json.dumps(document, ensure_ascii=False, indent=indent)


def print_json(document: Mapping[str, Any], indent: int | None = 1) -> None:
    """`document` on standard output, for scripts: UTF-8, whatever the locale."""
    # What is half a character, as of a file's name that is no UTF-8, stays JSON's \\udcxx.
    data = (json_text(document, indent) + "\n").encode("utf-8", "backslashreplace")
    sys.stdout.flush()
    if buffer := getattr(sys.stdout, "buffer", None):
        rest = memoryview(data)
        while rest:  # unbuffered (PYTHONUNBUFFERED), a call may write a part
            rest = rest[buffer.write(rest) :]
        buffer.flush()
    else:
        sys.stdout.write(data.decode())
        sys.stdout.flush()
