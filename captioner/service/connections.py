"""What is said to a connection that brings no request, or none that can be read: a sentence, and its end.

uvicorn waits for a request's first lines as long as its sender likes; who sends a letter a minute on some thousands of
connections would hold the service's (Slowloris).
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedConnection(H11Protocol):
    """uvicorn's connection, which waits `seconds` for the head of a request, and for the rest of one that was refused."""

    seconds: float
    _late: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, seconds: float) -> type[BoundedConnection]:
        """The class of connections that wait so long."""
        return type(cls.__name__, (cls,), {"seconds": seconds})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        refused = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if self.transport.is_closing() or not (refused or self.conn.their_state is h11.IDLE):
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(self.seconds, self._end)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        begun = self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]
        if begun:
            self._refuse(408, f"the request took more than {self.seconds:g} seconds to arrive")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Of what is no HTTP; `msg` is uvicorn's."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(400, "this is no HTTP request that can be read")
        else:  # in the middle of an answer nothing can be said
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        body = json.dumps({"error": sentence}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        for event in (head, h11.Data(body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
