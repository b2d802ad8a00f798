"""What is known of requests afterwards: an id for each, a line of JSON in the log, figures for Prometheus; no photo, text or
name of either. And who is let in."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")  # to everybody, whatever the token
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Figures:
    """Counters of one service, in a registry of its own."""

    def __init__(self, model_hash: str, waiting: Callable[[], int]):
        self.registry = CollectorRegistry()
        requests = ("path", "status")
        self.requests = Counter("captioner_requests", "Requests answered.", requests, registry=self.registry)
        self.seconds = Histogram(
            "captioner_request_seconds",
            "Time of a request.",
            ("path",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.photos = Counter("captioner_photos", "Photos captioned.", registry=self.registry)
        self.refused = Counter(
            "captioner_refused", "Requests that were told to come again.", registry=self.registry
        )
        queue = Gauge("captioner_queue", "Photos that wait.", registry=self.registry)
        queue.set_function(waiting)
        Info("captioner_model", "The captioning model.", registry=self.registry).info({"hash": model_hash})

    def text(self) -> bytes:
        """As Prometheus reads them."""
        found: bytes = generate_latest(self.registry)
        return found


class Watched:
    """Middleware around the application."""

    def __init__(
        self,
        app: ASGIApp,
        figures: Figures,
        paths: Callable[[], set[str]],
        token: str | None,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ):
        """`paths` are those that are counted by name; all others together."""
        self._app, self._figures, self._paths, self._log = app, figures, paths, log
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        started, status, size, started_answer = time.perf_counter(), 500, 0, False

        async def watched_send(message: Message) -> None:
            nonlocal status, size, started_answer
            if message["type"] == "http.response.start":
                status, started_answer = message["status"], True
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        path = scope["path"] if scope["path"] in self._paths() else "other"
        try:
            if self._is_let_in(path, headers):
                await self._app(scope, receive, watched_send)
            else:
                answer = JSONResponse(
                    {"error": "the token is missing or wrong"}, 401, {"WWW-Authenticate": "Bearer"}
                )
                await answer(scope, receive, watched_send)
        except asyncio.CancelledError:  # the time to end has run out
            if started_answer:
                raise
            ending = JSONResponse({"error": "the service is ending"}, 503, {"Retry-After": "1"})
            await ending(scope, receive, watched_send)
        except Exception:
            if not started_answer:
                ours = JSONResponse({"error": "something went wrong on our side"}, 500)
                await ours(scope, receive, watched_send)
            raise
        finally:
            seconds = time.perf_counter() - started
            self._figures.requests.labels(path, str(status)).inc()
            self._figures.seconds.labels(path).observe(seconds)
            if status == 503:
                self._figures.refused.inc()
            self._log(self._line(request_id, scope["method"], path, status, seconds, size))

    def _is_let_in(self, path: str, headers: Headers) -> bool:
        if self._token is None or path in _OPEN:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token)

    @staticmethod
    def _line(request_id: str, method: str, path: str, status: int, seconds: float, size: int) -> str:
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "bytes": size,
        }
        return json.dumps(line)
