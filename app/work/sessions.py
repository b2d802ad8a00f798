"""What visitors leave behind: kept a while when they go, for a broken connection comes back, then forgotten.

All that the page uses of Streamlit's inside is used here.
"""

from __future__ import annotations

import asyncio
import gc

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.session_manager import SessionInfo, SessionStorage
from streamlit.runtime.uploaded_file_manager import UploadedFile
from streamlit.web.server import server

from textgen.training.memory import return_free_pages

_REST = 5.0  # seconds in which sessions that end together are collected together


class ForgetfulStorage(SessionStorage):
    """Sessions whose connection has ended; all is called in the server's event loop.

    Streamlit's own storage looks for sessions whose time is up only when another one is left, so that on a quiet
    evening the last visitors' photos would stay in memory.
    """

    def __init__(self, maxsize: int = 128, ttl_seconds: int = 120):
        self._most, self._seconds = maxsize, ttl_seconds
        self._left: dict[str, SessionInfo] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._collection: asyncio.TimerHandle | None = None

    def get(self, session_id: str) -> SessionInfo | None:
        return self._left.get(session_id)

    def save(self, session_info: SessionInfo) -> None:
        name = session_info.session.id
        self.delete(name)
        while len(self._left) >= self._most:
            self._forget(next(iter(self._left)))
        self._left[name] = session_info
        self._ends[name] = asyncio.get_running_loop().call_later(self._seconds, self._forget, name)

    def delete(self, session_id: str) -> None:
        if self._left.pop(session_id, None):
            self._ends.pop(session_id).cancel()

    def list(self) -> list[SessionInfo]:
        return list(self._left.values())

    def _forget(self, name: str) -> None:
        session = self._left[name].session
        self.delete(name)
        session.shutdown()
        for photos_in in ("_session_state", "_fragment_storage"):
            # The server's loop holds on to the session that it has served last.
            vars(session).pop(photos_in, None)
        if self._collection is None:
            self._collection = asyncio.get_running_loop().call_later(_REST, self._collect)

    def _collect(self) -> None:
        """Sessions refer to themselves in many ways: without this their photos would stay for a long time."""
        self._collection = None
        gc.collect()
        return_free_pages()


def forget_those_who_left() -> None:
    """Before the server starts."""
    # Streamlit names its storage in one place, and has no setting for another.
    server.MemorySessionStorage = ForgetfulStorage  # type: ignore[assignment, misc] # replaces a class


def let_go(source: object) -> None:
    """Forgets an uploaded file that was read, whose bytes Streamlit would keep until the session ends."""
    context = get_script_run_ctx()
    if isinstance(source, UploadedFile) and context and runtime.exists():
        files = runtime.get_instance().uploaded_file_mgr
        # The protocol has no way to forget a single file; all of Streamlit's managers have.
        forget = files.remove_file  # type: ignore[attr-defined] # see above
        forget(session_id=context.session_id, file_id=source.file_id)
        source.close()  # Streamlit remembers the button that would stop its reading, and by it the file
