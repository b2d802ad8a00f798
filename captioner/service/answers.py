"""Answers that are not what was asked for: a status, and one sentence that says why."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from captioner.pictures.refusals import ImageError, TooLarge
from textgen.errors import UserError

_GONE = 499  # nginx's, of who hung up before the answer: for the log, nobody else is there to read it
DESCRIBED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}
        },
    }
    for status, text in {
        401: "The token is missing or wrong.",
        408: "The request took too long to arrive.",
        413: "The body, a photo or a text is larger than this service takes.",
        415: "The body is neither a photo nor a form of photos.",
        422: "A photo cannot be read, or a setting is out of range.",
        503: "All places are taken; come again after the seconds of Retry-After.",
    }.items()
}
"""Of the statuses that every path may answer, for the pages about the service."""


class Refused(HTTPException):
    """A request that is answered by a status and one sentence, whoever is reading it just then."""

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None):
        super().__init__(status, why, headers)
        self.why = why


class Busy(Refused):
    """All places are taken."""

    def __init__(self, seconds: float = 1.0):
        super().__init__(
            503, "all places are taken; come again later", {"Retry-After": f"{max(1, round(seconds))}"}
        )


def of_image(error: ImageError) -> Refused:
    """The refusal of the only photo of a request."""
    return Refused(413 if isinstance(error, TooLarge) else 422, str(error))


def add_handlers(app: FastAPI) -> None:
    """Whatever goes wrong with a request is told in one sentence."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return JSONResponse({"error": error.why}, error.status_code, error.headers)

    async def gone(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the sender has gone"}, _GONE)

    async def wrong(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return JSONResponse({"error": "the body is not JSON"}, 422)
        # ("query", "beam"), or ("body", "prompt"); of a body that is no JSON, a place in it.
        name = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return JSONResponse({"error": f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}"}, 422)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail).lower()}, error.status_code, error.headers)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(UserError, wrong)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
