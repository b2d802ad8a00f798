"""Nothing is sent: no command leaves a file in an empty home, opens a socket or looks a name up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest

from tests.helpers.app_server import serving
from tests.helpers.paths import EXAMPLES, ROOT
from tests.helpers.text_models import corpus
from textgen import telemetry

# What would keep the libraries silent without us, and where they would write if not in the home.
_FROM_OUTSIDE = re.compile(
    "ORT_|HF_|STREAMLIT_|XDG_|MPL|CI$|DO_NOT_TRACK|TF_BUILD|GITHUB_ACTIONS|BUILDKITE|JENKINS|TRAVIS|CIRCLECI"
)
PHOTO = str(EXAMPLES / "cat.jpg")
COMMANDS = {
    "caption": f"captioner caption {PHOTO}",
    "caption by torch": f"captioner caption {PHOTO} --engine torch",
    "caption's help": "captioner caption --help",
    "info": "captioner info",
    "generate": "textgen generate ROMEO: --length 20 --seed 1",
    "evaluate": "textgen evaluate {text}",
    "sweep": "textgen sweep Tom --length 20 --temperatures 0 1 --plot {tmp}/plot.png",
    "train": "textgen train {text} --out {tmp}/model --hidden 8 --embedding 8 --layers 1 --epochs 1",
    "score": "captioner score {tmp}/said.txt {tmp}/true.txt --report {tmp}/report.html",
}
# A process that goes on: ONNX Runtime looks a name up nine seconds after its import. Sockets are counted that Python opens
# or that are open at any moment.
HOLD = """
import os, sys, time
asked = []
sys.addaudithook(lambda event, what: asked.append(event) if event.startswith("socket.") else None)
from captioner import Captioner
from textgen import TextGenerator
Captioner.load().caption(sys.argv[1])
TextGenerator.load().generate("Tom", length=5)
end = time.monotonic() + 12
while time.monotonic() < end:
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                asked.append(name)
        except OSError:
            pass
    time.sleep(0.02)
sys.exit(f"sockets: {asked[:5]}" if asked else 0)
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def run(argv, home, **environment):
    """Runs it with `home`, and nothing that keeps it silent from outside."""
    kept = {name: value for name, value in os.environ.items() if not _FROM_OUTSIDE.match(name)}
    own = {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "USER": "somebody", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, env={**kept, **own, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def traced(argv, trace):
    """The command, with the sockets and the files that it opens written to `trace`, where strace is installed."""
    strace = shutil.which("strace")
    return [strace, "-f", "-qq", "-e", "trace=socket,openat", "-o", str(trace), *argv] if strace else argv


def asked_of_the_network(trace):
    """Of a trace, what has to do with other machines."""
    lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
    return [line for line in lines if re.search(r"socket\(AF_INET|/etc/resolv\.conf|/etc/hosts", line)]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_no_file_in_the_home_and_opens_no_socket(name, home, tmp_path):
    if "torch" in name or name in ("train",):
        pytest.importorskip("torch", reason="torch is not installed")
    if name == "sweep":
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    (tmp_path / "said.txt").write_text("a dog runs\n")
    (tmp_path / "true.txt").write_text("a dog is running\n")
    program, *argv = COMMANDS[name].format(tmp=tmp_path, text=corpus("char")).split()
    run(traced([sys.executable, "-m", program, *argv], tmp_path / "trace"), home, OMP_NUM_THREADS="1")
    assert files_in(home) == [] and asked_of_the_network(tmp_path / "trace") == []


@pytest.mark.slow
def test_a_process_that_goes_on_reports_nothing_later(home, tmp_path):
    run(traced([sys.executable, "-c", HOLD, PHOTO], tmp_path / "trace"), home)
    assert files_in(home) == [] and asked_of_the_network(tmp_path / "trace") == []


@pytest.mark.slow
@pytest.mark.parametrize("said", ["0", "", "false"])
def test_a_variable_that_says_otherwise_is_overruled(home, said):
    code = "from textgen import TextGenerator; TextGenerator.load().generate('Tom', length=5)"
    run([sys.executable, "-c", code], home, ORT_DISABLE_TELEMETRY=said)
    assert files_in(home) == []


@pytest.mark.slow
def test_the_page_leaves_no_file_in_the_home(home):
    with serving(subprocess.DEVNULL, HOME=str(home), PYTHONDONTWRITEBYTECODE="1"):
        pass
    assert files_in(home) == []


def test_the_page_does_not_ask_for_its_address_in_the_world():
    pytest.importorskip("streamlit", reason="streamlit is not installed")
    code = (
        "import runpy, sys, streamlit.web.cli as cli; cli.main = lambda: 0; asked = []\n"
        "sys.addaudithook(lambda event, what: asked.append(event) if event.startswith('socket.') else None)\n"
        "try: runpy.run_module('app', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "from streamlit import net_util\n"
        "assert net_util.get_external_ip() is None and not asked, asked"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["textgen", "captioner", "app", "captioner.cli", "textgen.generator"])
def test_whatever_of_us_is_imported_turns_it_off_and_loads_nothing_for_it(package):
    code = (
        f"import os, sys, {package}; "
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == os.environ['HF_HUB_DISABLE_TELEMETRY'] == '1'; "
        "assert os.environ['RAY_USAGE_STATS_ENABLED'] == '0'; "
        "assert 'onnxruntime' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if not _FROM_OUTSIDE.match(name)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("version", "said", "warned"),
    [
        ("1.29.0", None, True),
        ("1.32.1", "0", True),
        ("2.0", None, True),
        ("1.32.1", "1", False),
        ("1.28.0", None, False),
        ("unknown", None, False),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there it can be told later")
def test_it_warns_where_the_runtime_was_imported_before_us(monkeypatch, version, said, warned):
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__version__=version))
    for name in telemetry._OFF:
        monkeypatch.delenv(name, raising=False)
    if said is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", said)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        telemetry.turn_off()
        telemetry.turn_off()
    assert [w.category for w in caught] == [RuntimeWarning] * warned
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_runtime_is_told_too_where_it_was_imported_before_us(monkeypatch):
    from textgen.engine import session

    told = []
    monkeypatch.setitem(
        sys.modules, "onnxruntime", SimpleNamespace(disable_telemetry_events=lambda: told.append(1))
    )
    session.runtime()
    assert told == [1]
