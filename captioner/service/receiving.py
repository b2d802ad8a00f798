"""How much of a request's body is taken, and how long it may take to arrive, whatever its path makes of it."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.service.answers import Refused
from captioner.service.config import ServiceConfig


class Bounded:
    """Middleware inside of which a body that is too large, or too late, is Refused: 413 or 408."""

    def __init__(self, app: ASGIApp, config: ServiceConfig, photos: str):
        """`photos` is the path that takes a form of photos; the others take text."""
        self._app, self._config, self._photos = app, config, photos

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seconds, most = self._config.receive_seconds, self._config.most_text_bytes
        too_large = f"the body is larger than {most / 1e6:.1f} MB; send less at a time"
        if scope["path"] == self._photos:
            most = self._config.most_bytes
            photos = f"{self._config.photos} photos of {self._config.photo_mb:g} MB"
            too_large = f"larger than {photos}; send fewer at a time"
        told = Headers(scope=scope).get("content-length", "")
        size, whole, until = 0, False, asyncio.get_running_loop().time() + seconds

        async def bounded() -> Message:
            nonlocal size, whole
            if whole:  # nothing but the sender's end can come
                return await receive()
            if told.isdigit() and int(told) > most:
                raise Refused(413, too_large)
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, f"the request took more than {seconds:g} seconds to arrive") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                raise Refused(413, too_large)
            return message

        await self._app(scope, bounded, send)
