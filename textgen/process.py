"""The process of a command, from its first line to its end."""

import contextlib
import gc
import os
import sys
import threading
from importlib import import_module


def run(command_line: str) -> int:
    """Runs `main` of the module `command_line`; returns the exit status, where it does not end the process with it."""
    # A tenth of a short command's time would be spent on finding that nothing of what it imports is garbage.
    gc.set_threshold(100_000)
    # After a product numpy's other threads would wait busily for the next, and ONNX Runtime go on at half its speed.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    try:
        status: int = import_module(command_line).main()
    except SystemExit as stop:
        if not isinstance(stop.code, int | None):
            raise
        status = stop.code or 0
    if not _awaited():
        for stream in (sys.stdout, sys.stderr):
            # What cannot be written was said, by `textgen.output.checked_output`.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        # To take interpreter and sessions apart takes another tenth.
        os._exit(status)
    gc.freeze()  # nor need the interpreter look for garbage at its end
    return status


def _awaited() -> bool:
    """Whether something may want the interpreter's orderly end: other threads, libraries with processes, who measures it."""
    busy = threading.active_count() > 1 or not sys.modules.keys().isdisjoint(
        ("torch", "ray", "multiprocessing")
    )
    return busy or sys.gettrace() is not None or sys.getprofile() is not None
