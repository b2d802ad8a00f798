"""`captioner app`: what it refuses in a line, and what it starts."""

import os
import subprocess
import sys

import pytest

from captioner import cli, page_server
from tests.helpers.paths import MODEL_IN_THE_BOX, MODELS, ROOT


def refused(capsys, *argv):
    assert cli.main(["app", *map(str, argv)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "Traceback" not in line
    return line


@pytest.fixture
def started(monkeypatch):
    """The commands that were to be run, and their environments, instead of running them."""
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    commands = []
    monkeypatch.setattr(page_server, "_become", lambda *command: commands.append(command) or 0)
    return commands


def test_without_streamlit_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    assert "pip install 'captioner[app]'" in refused(capsys)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--port", 0), "port: 0 is outside 1 to 65535"),
        (("--port", 70000), "port: 70000 is outside"),
        (("--engine", "cuda"), "engine: unknown 'cuda'; known: auto, onnx, torch"),
        (("--model", "nowhere"), "nowhere: no such model or folder; in the box: "),
        (("--model", MODELS / "novels"), "a model of kind 'textgen'"),
        (("--text-model", "poems"), "poems: no such model or folder; in the box: "),
        (("--text-model", MODEL_IN_THE_BOX), "a model of kind 'captioner'"),
    ],
)
def test_what_is_wrong_is_said_before_the_server_starts(capsys, started, argv, said):
    assert said in refused(capsys, *argv) and not started


def test_models_and_address_are_passed_on(started, monkeypatch):
    monkeypatch.chdir(MODEL_IN_THE_BOX.parent)
    monkeypatch.setenv("CAPTIONER_APP_UPLOAD_MB", "7")
    cli.main(
        [
            "app",
            "--port",
            "1234",
            "--model",
            MODEL_IN_THE_BOX.name,
            "--text-model",
            "novels",
            "--engine",
            "onnx",
            "--no-browser",
        ]
    )
    ((command, environment),) = started
    assert command[-1] == "--server.headless=true"
    assert {"--server.address=localhost", "--server.port=1234", "--server.maxUploadSize=7"} <= set(command)
    assert environment["CAPTIONER_APP_MODEL"] == str(MODEL_IN_THE_BOX)
    assert environment["CAPTIONER_APP_TEXT_MODEL"] == str(MODELS / "novels")
    assert environment["CAPTIONER_APP_ENGINE"] == "onnx"


@pytest.mark.parametrize(
    ("host", "said", "allowed"),
    [
        ("localhost", None, "1"),
        ("127.0.0.2", None, "1"),
        ("::1", None, "1"),
        ("0.0.0.0", None, "0"),
        ("192.168.1.5", None, "0"),
        ("my-machine", None, "0"),
        ("0.0.0.0", "1", "1"),
        ("localhost", "0", "0"),
    ],
)
def test_folders_are_opened_only_where_no_stranger_comes(started, monkeypatch, host, said, allowed):
    monkeypatch.delenv("CAPTIONER_APP_OPEN_FOLDERS", raising=False)
    if said:
        monkeypatch.setenv("CAPTIONER_APP_OPEN_FOLDERS", said)
    cli.main(["app", "--host", host])
    ((_, environment),) = started
    assert environment["CAPTIONER_APP_OPEN_FOLDERS"] == allowed


def test_the_page_is_this_programs_even_beside_an_app_py(started, tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    cli.main(["app"])
    ((command, environment),) = started
    code = "import app, captioner, sys; print(app.__file__); print(captioner.__file__)"
    found = subprocess.run(
        [command[0], command[1], "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert [os.path.dirname(os.path.dirname(line)) for line in found.stdout.split()] == [str(ROOT)] * 2


def test_it_names_the_variables_that_the_page_reads():
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    from app.work.limits import PREFIX

    assert page_server._PREFIX == PREFIX


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"), [("UPLOAD_MB", "abc"), ("UPLOAD_MB", "99"), ("UPLOAD_MB", "-1"), ("MEGAPIXELS", "0")]
)
def test_a_variable_that_is_wrong_is_told_in_a_line_before_the_server_starts(name, value):
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    environment = {**os.environ, f"CAPTIONER_APP_{name}": value}
    command = [sys.executable, "-m", "captioner", "app", "--no-browser", "--port", "8765"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1 and ended.stderr.startswith(f"captioner: CAPTIONER_APP_{name}: ")
