"""A visitor of the page without a browser: Streamlit's own protocol, spoken over a real websocket.

A tab opens `_stcore/stream`. It sends protobuf BackMsgs - above all `rerun_script`, with the states of the widgets that
the visitor has touched - and reads ForwardMsgs: the elements of the page, each with its place, until the script has
finished. A file goes by HTTP to the address that the server gives for it, and then into the state of its uploader.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs, UploadedFileInfo
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

_XSRF = "_streamlit_xsrf"
_LARGEST = 2**26  # bytes of a message
_FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
_TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value")

Place = tuple[int, ...]  # of an element within a block, within a block, ...


@dataclass(frozen=True)
class Shown:
    """An element, or a block of elements."""

    place: Place
    proto: Any
    """Its own message, such as a Slider's."""
    run: str
    """The run of the script that drew it."""
    fragment: str
    """The fragment that it belongs to; empty for the page itself."""
    arrived: float
    """Clock of `time.perf_counter`."""


class Visitor:
    """One open tab, a session of its own; `with Visitor(address) as visitor`. Not for several threads."""

    def __init__(self, address: str, page: str = "", session: str = "", patience: float = 120.0):
        """`page` is the last part of its address, `session` one to come back to; TimeoutError after `patience` seconds."""
        self._address, self._page, self._patience = address, page, patience
        self._http = requests.Session()
        self._states: dict[str, WidgetState] = {}
        self._shown: dict[Place, tuple[str, Shown]] = {}
        self._run = self._page_hash = ""
        self.session = session

    def __enter__(self) -> Visitor:
        """Opens the page and reads it to its end."""
        self._http.get(f"{self._address}/_stcore/health", timeout=self._patience).raise_for_status()
        self._token = self._http.cookies[_XSRF]
        self._connection = connect(
            f"{self._address.replace('http', 'ws', 1)}/_stcore/stream",
            origin=self._address,
            subprotocols=list(filter(None, ["streamlit", self._token, self.session])),
            additional_headers={"Cookie": f"{_XSRF}={self._token}"},
            max_size=_LARGEST,
        )
        self._socket = self._connection.__enter__()
        self.rerun()
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the tab, whatever the script is doing."""
        self._connection.__exit__(*error)
        self._http.close()

    def all(self, kind: str, within: Shown | None = None) -> list[Shown]:
        """The elements of a kind, such as "slider", from the top of the page, or of a block, to its end."""
        inside = within.place if within else ()
        found = [
            shown for of, shown in self._shown.values() if of == kind and shown.place[: len(inside)] == inside
        ]
        return sorted(found, key=lambda shown: shown.place)

    def find(self, kind: str, label: str) -> Shown:
        """The first of a kind that is labelled so. Raises LookupError."""
        for shown in self.all(kind):
            if shown.proto.label == label:
                return shown
        raise LookupError(f"no {kind} labelled {label!r}")

    def set(self, widget: Shown, **value: Any) -> None:
        """Changes a widget as a hand does and reads the answer; `value` is a field of WidgetState."""
        self.send(widget, **value)
        self.read()

    def send(self, widget: Shown, **value: Any) -> None:
        """The same without waiting for the answer."""
        state = WidgetState(id=widget.proto.id)
        for name, content in value.items():
            if name.endswith("_array_value"):
                getattr(state, name).data.extend(content)
            elif name == "file_uploader_state_value":
                state.file_uploader_state_value.uploaded_file_info.extend(content)
            else:
                setattr(state, name, content)
        self._states[state.id] = state
        self._ask_for_run(widget.fragment)

    def upload(self, uploader: Shown, files: dict[str, bytes]) -> None:
        """Gives files, by their names, to an uploader and reads the answer."""
        self.send_files(uploader, files)
        self.read()

    def send_files(self, uploader: Shown, files: dict[str, bytes]) -> None:
        """The same without waiting for the answer."""
        request = BackMsg()
        request.file_urls_request.request_id = uuid.uuid4().hex
        request.file_urls_request.session_id = self.session
        request.file_urls_request.file_names.extend(files)
        self._socket.send(request.SerializeToString())
        addresses = next(
            message.file_urls_response
            for message in self._messages()
            if message.WhichOneof("type") == "file_urls_response"
        )
        given = [
            self._put(name, data, urls)
            for (name, data), urls in zip(files.items(), addresses.file_urls, strict=True)
        ]
        self.send(uploader, file_uploader_state_value=given)

    def rerun(self) -> None:
        """Asks for the whole page once more and reads it."""
        self._ask_for_run()
        self.read()

    def read(self) -> None:
        """Reads until the script, or the fragment, that was asked for has finished."""
        for message in self._messages():
            if message.WhichOneof("type") == "script_finished" and message.script_finished in _FINISHED:
                return

    def read_one(self) -> None:
        """Reads the next message only."""
        next(self._messages())

    def _ask_for_run(self, fragment: str = "") -> None:
        request = BackMsg()
        request.rerun_script.fragment_id = fragment
        request.rerun_script.page_script_hash = self._page_hash
        if not self._page_hash:  # as long as the tab knows but its address
            request.rerun_script.page_name = self._page
        request.rerun_script.context_info.url = f"{self._address}/{self._page}"
        request.rerun_script.widget_states.widgets.extend(self._states.values())
        self._states = {
            name: state
            for name, state in self._states.items()
            if state.WhichOneof("value") not in _TRIGGERS  # a button is pressed once
        }
        self._socket.send(request.SerializeToString())

    def _put(self, name: str, data: bytes, urls: FileURLs) -> UploadedFileInfo:
        answer = self._http.put(
            self._address + urls.upload_url,
            files={"file": (name, data)},
            headers={"X-Xsrftoken": self._token},
            timeout=self._patience,
        )
        answer.raise_for_status()
        return UploadedFileInfo(name=name, size=len(data), file_id=urls.file_id, file_urls=urls)

    def _messages(self) -> Iterator[ForwardMsg]:
        """What the server says, after it has been taken note of."""
        while True:
            message = ForwardMsg.FromString(self._socket.recv(self._patience))
            self._note(message)
            yield message

    def _note(self, message: ForwardMsg) -> None:
        kind, run = message.WhichOneof("type"), message.metadata.run
        if kind == "new_session":
            self.session, self._run = message.new_session.initialize.session_id, run.script_run_id
        elif kind == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif kind == "delta":
            self._draw(tuple(message.metadata.delta_path), message.delta)
        elif kind == "script_finished" and message.script_finished in _FINISHED:
            # What was not drawn anew is gone: of the page, or of the fragments that ran and what lies in them.
            ran = set(run.fragment_ids)
            self._shown = {
                place: (of, shown)
                for place, (of, shown) in self._shown.items()
                if shown.run == self._run or (ran and not ran & self._fragments(place))
            }

    def _draw(self, place: Place, delta: Delta) -> None:
        kind, proto = delta.WhichOneof("type"), getattr(delta, delta.WhichOneof("type"))
        if kind == "new_element":
            kind = proto.WhichOneof("type")
            proto = getattr(proto, kind)
            below = [other for other in self._shown if other[: len(place)] == place]
            for other in below:  # it replaces a block with all that is in it
                del self._shown[other]
        self._shown[place] = (kind, Shown(place, proto, self._run, delta.fragment_id, time.perf_counter()))

    def _fragments(self, place: Place) -> set[str]:
        """Those that an element lies in."""
        around = (place[:length] for length in range(1, len(place) + 1))
        return {self._shown[block][1].fragment for block in around if block in self._shown}
