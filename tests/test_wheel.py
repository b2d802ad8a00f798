"""The wheel and the sdist hold all that is needed: a photo gets its caption where nothing of the checkout is."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import EXAMPLES, ROOT

pytestmark = pytest.mark.slow
FILES = ["captioner", "textgen", "app", "pyproject.toml", "README.md", "LICENSE"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, built from a copy, so that nothing is left in the checkout."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for cache in source.rglob("__pycache__"):
        shutil.rmtree(cache)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = (source / "dist").glob("*.whl"), (source / "dist").glob("*.tar.gz")
    return wheel, sdist


def test_both_hold_every_file_of_the_packages(built):
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "captioner", "textgen", "app"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("not a git checkout")
    # Notes are for the trainers of a model; the card has them.
    needed = {name for name in listed.stdout.split() if (ROOT / name).is_file()}
    assert needed - in_wheel == set() and needed - in_sdist == set()


def test_the_wheel_captions_a_picture_in_an_empty_environment(built, tmp_path):
    """Its libraries are those of this environment, by their folder: an installation would need the network."""
    wheel, _ = built
    home = tmp_path / "empty"
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")  # lib64 is a link to lib
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        home / "bin" / "python",
        "install",
        "--no-deps",
        wheel,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    libraries = Path(pytest.__file__).parent.parent
    (site / "libraries.pth").write_text(f"{libraries}\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*argv):
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(home / "bin" / "python", "-c", "import captioner, textgen; print(captioner.__file__)")
    assert Path(where.strip()).is_relative_to(home)
    caption = run(home / "bin" / "captioner", "caption", EXAMPLES / "cat.jpg")
    assert len(caption.split()) > 3
    assert run(home / "bin" / "textgen", "generate", "The king", "--seed", "1").startswith("The king")
    shown = {
        line.split()[0]
        for prog in ("captioner", "textgen")
        for line in run(home / "bin" / prog, "models").splitlines()
    }
    assert {"shakespeare", "novels"} < shown
