"""The page as its visitors have it: a server of its own, and a browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest

from tests.helpers.paths import ROOT

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
_PATIENCE = 90  # seconds, on a busy machine
SIZES = {"desk": (1280, 900), "phone": (390, 844)}


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    address: str
    pid: int
    seconds: float
    """From its start until it answered."""


@contextmanager
def server(**environment: str) -> Iterator[str]:
    """The address of a server of its own, which ends with the `with` statement."""
    with serving(subprocess.DEVNULL, **environment) as running:
        yield running.address


@contextmanager
def serving(log: int | IO, **environment: str) -> Iterator[Server]:
    """The same, with what it prints in `log`."""
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from captioner.page_server import serve; "
        "sys.exit(serve('127.0.0.1', int(sys.argv[1]), None, None, 'auto', browser=False))"
    )
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.perf_counter()
    # In a group of its own: where a process cannot become Streamlit, Streamlit is its child, and both have to end.
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health", process)
        yield Server(address, process.pid, time.perf_counter() - started)
    finally:
        os.killpg(process.pid, 15)
        process.wait(_PATIENCE)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None and time.monotonic() < end, "the page's server does not start"
            time.sleep(0.05)


@contextmanager
def browser() -> Iterator:
    """Playwright's chromium, or a skip with the reason where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def visit(chromium, address: str, page: str = "", size: str = "desk", scheme: str = "light") -> Iterator:
    """A visitor's page, by its address below `address`; nothing it asks for may lie elsewhere, nothing may fail in it."""
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
    )
    context.set_default_timeout(1000 * _PATIENCE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    elsewhere, broken = [], []
    shown = context.new_page()
    own = (address, "data:", "blob:", "about:", address.replace("http", "ws", 1))
    shown.on(
        "request", lambda request: elsewhere.append(request.url) if not request.url.startswith(own) else None
    )
    shown.on("pageerror", lambda error: broken.append(str(error)))
    try:
        shown.goto(f"{address}/{page}")
        yield shown
        assert not elsewhere and not broken
    finally:
        context.close()


def wait_until_idle(page) -> None:
    """Until the server has answered what was last asked."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
