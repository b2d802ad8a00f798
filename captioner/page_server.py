"""Starts the server of the page. The package `app` is neither imported here nor needed by anything else."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from captioner.network.stored import BOX, KIND
from textgen.engine import text_model
from textgen.engine.choice import ENGINES
from textgen.errors import UserError
from textgen.storage.bundle import read_header

_PREFIX = "CAPTIONER_APP_"  # of the variables that the page reads


def serve(
    host: str, port: int, model: str | None, text: str | None, engine: str, *, browser: bool = True
) -> int:
    """Becomes Streamlit's server; where a process cannot, runs it until it is stopped and returns its exit status.

    The page begins with the captioner `model` and the text model `text`, names or folders. Its visitors may open models from this
    machine's folders where `host` lets nobody else in, unless the environment says otherwise. Raises UserError when a
    model is none, or when Streamlit is not installed.
    """
    page = find_spec("app")
    if find_spec("streamlit") is None or page is None or page.origin is None:
        raise UserError("app: needs streamlit, not installed here: pip install 'captioner[app]'")
    if engine not in ENGINES:
        raise UserError(f"engine: unknown {engine!r}; known: {', '.join(ENGINES)}")
    told = {"ENGINE": engine}
    if model is not None:
        folder = BOX.find(model)
        read_header(folder, KIND)
        told["MODEL"] = str(folder.absolute())
    if text is not None:
        folder = text_model.BOX.find(text)
        read_header(folder, text_model.KIND)
        told["TEXT_MODEL"] = str(folder.absolute())
    if not os.environ.get(_PREFIX + "OPEN_FOLDERS"):
        told["OPEN_FOLDERS"] = "1" if _only_this_machine(host) else "0"
    environment = {**os.environ, **{_PREFIX + name: value for name, value in told.items()}}
    # The page's own package is found first, and not an app.py of the folder that this is started in.
    paths = [str(Path(page.origin).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    options = {"server.address": host, "server.port": port}
    if upload := os.environ.get(_PREFIX + "UPLOAD_MB"):
        options["server.maxUploadSize"] = upload
    if not browser:
        options["server.headless"] = "true"
    command = [sys.executable, "-P", "-m", "app"]
    command += [f"--{name}={value}" for name, value in options.items()]
    return _become(command, environment)


def _only_this_machine(host: str) -> bool:
    """Whether a server at `host` is out of the network's reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _become(command: list[str], environment: dict[str, str]) -> int:
    if os.name == "posix":
        os.execve(command[0], command, environment)  # whoever ends this process ends the server
    return subprocess.call(command, env=environment)
