"""A graph with its weights, run by ONNX Runtime in this process and in those that it forks."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from threading import Lock
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from textgen.engine.forks import renew_in_children, undivided
from textgen.errors import UserError


class Session(Protocol):
    """What is used of ONNX Runtime's session, which comes without types."""

    def run(self, outputs: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the graph's order."""


def session(graph: bytes, arrays: Mapping[str, np.ndarray], threads: int) -> Session:
    """An ONNX Runtime session of a graph whose weights are `arrays`, all of them; safe to call from several threads.

    Raises UserError when the two do not fit.
    """
    return _Session(graph, arrays, threads)


class AloneOrBeside:
    """A graph that is run by all cores where a call comes alone, and by one where it comes beside others.

    The session of the latter is made when it is first wanted: who asks for one thing at a time needs none.
    """

    def __init__(self, graph: bytes, arrays: Mapping[str, np.ndarray], threads: int = 0):
        """`threads`, where not 0, are those of either."""
        self._alone = session(graph, arrays, threads)
        self._beside = cache(lambda: session(graph, arrays, threads or 1))
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        self._running, self._building = Lock(), Lock()

    def run(self, feed: Mapping[str, np.ndarray], single: bool) -> list[np.ndarray]:
        """All outputs; `single` if there is so little to do that it should have all cores, unless another has them."""
        running = self._running
        if single and running.acquire(blocking=False):
            try:
                return self._alone.run(None, feed)
            finally:
                running.release()
        with self._building:
            beside = self._beside()
        return beside.run(None, feed)


def runtime() -> ModuleType:
    """ONNX Runtime, told to report nothing, also where somebody imported it before us; see `textgen.telemetry`."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


class _Session:
    """A session that is made anew at its first use in a forked child, of the same graph and weights."""

    def __init__(self, graph: bytes, arrays: Mapping[str, np.ndarray], threads: int):
        self._parts = graph, arrays, threads
        self._made: Any = None
        self._session()
        renew_in_children(self)

    def run(self, outputs: None, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = self._session().run(outputs, feed)
        return found

    def renew_after_fork(self) -> None:
        # Never freed, not at the child's end either: that would wait for its threads, which only the parent has.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._made))
        self._made = None

    def _session(self) -> Any:
        if self._made is None:
            with undivided:
                if self._made is None:
                    self._made = _make(*self._parts)
        return self._made


def _make(graph: bytes, arrays: Mapping[str, np.ndarray], threads: int) -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads wait busily within a run, not after it, when other work wants the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    options.add_external_initializers(list(arrays), values)
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise UserError(f"the ONNX graph does not fit the weights: {str(error).splitlines()[0]}") from error
