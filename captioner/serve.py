"""`captioner serve`: the service, its models loaded, until it is stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.caption import Captioner
from captioner.languages import LANGUAGES
from captioner.network.stored import BOX
from captioner.service.config import ServiceConfig
from captioner.service.models import Models
from textgen.classification.classifier import Classifier
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.kinds import KINDS
from textgen.storage.box import Box
from textgen.storage.typed import why_unreadable
from textgen.translation.translator import Translator

if TYPE_CHECKING:
    import uvicorn

_KEPT = 16  # models of a kind in memory at once
_LEAST = 16  # characters of a token
_CUT_OFF = 5  # seconds after the end of what was to be done within --end-seconds


def serve(model: str | None, engine: str, config: ServiceConfig) -> None:
    """Serves until SIGTERM or Ctrl-C; what is under way then is done first. Raises UserError before it listens."""
    if missing := [
        name for name in ("fastapi", "uvicorn", "multipart", "prometheus_client") if find_spec(name) is None
    ]:
        raise UserError(f"serve: needs {missing[0]}, not installed here: pip install 'captioner[serve]'")
    import uvicorn

    from captioner.service.application import create_app
    from captioner.service.connections import BoundedConnection

    token = read_token(config.token_file)
    app = create_app(load_models(model, engine), config, token)
    listening = _socket(config)
    address, port = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"captioner serves at http://{shown}:{port}/docs", file=sys.stderr, flush=True)
    # What strangers send wrongly is told to them, and stands in the log as a line of ours.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    server = _server_class(config)(
        uvicorn.Config(
            app,
            http=BoundedConnection.of(config.receive_seconds),
            ws="none",
            access_log=False,
            log_level="error",
            timeout_graceful_shutdown=config.end_seconds,
            timeout_keep_alive=15,
            server_header=False,
        )
    )
    # uvicorn raises the signal once more when all is done: it was asked for, and nothing went wrong.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _server_class(config: ServiceConfig) -> type[uvicorn.Server]:
    """uvicorn's server, which ends for certain: threads that still compute would keep the process alive."""
    import uvicorn

    class Ending(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            last = threading.Timer(config.end_seconds + _CUT_OFF, os._exit, (1,))
            last.daemon = True
            last.start()
            await super().shutdown(sockets)

    return Ending


def load_models(model: str | None, engine: str) -> Models:
    """The captioner, now; the others when they are asked for by their names in the box."""

    @lru_cache(_KEPT)
    def text(name: str | None) -> TextGenerator:
        return TextGenerator.load(_in_the_box(KINDS["textgen"].BOX, name), engine)

    @lru_cache(_KEPT)
    def translator(name: str | None) -> Translator:
        return Translator.load(_in_the_box(KINDS["translator"].BOX, name), engine)

    @lru_cache(_KEPT)
    def classifier(name: str | None) -> Classifier:
        return Classifier.load(_in_the_box(KINDS["classifier"].BOX, name), engine)

    def listing() -> list[dict[str, Any]]:
        boxes = [BOX, *(kind.BOX for kind in KINDS.values())]
        return [{**listed} for box in boxes for listed in box.listing()]

    return Models(Captioner.load(model, engine), text, translator, classifier, tuple(LANGUAGES), listing)


def read_token(file: Path | None) -> str | None:
    """The token of a file. Raises UserError for one that is none."""
    if file is None:
        return None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 (--token-file)") from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read (--token-file): {why_unreadable(file, error)}") from error
    if len(token) < _LEAST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"{file}: holds no token (--token-file): one line of {_LEAST} or more letters and digits"
        )
    return token


def _in_the_box(box: Box, name: str | None) -> str | None:
    """A name, not a path: strangers do not open folders of this machine."""
    if name is not None and name not in box.names():
        known = ", ".join(box.names()) or "none"
        raise UserError(f"model: unknown {name[:100]!r}; known: {known}")
    if not box.names():
        raise UserError(f"model: there is no {box.kind} in the box")
    return name


def _socket(config: ServiceConfig) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(f"{config.host}:{config.port}: cannot be listened at: {error}") from error
