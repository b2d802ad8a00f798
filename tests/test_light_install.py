"""Captions, text and scores in an environment without torch: what `pip install .` brings is enough."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.captioned_folders import write
from tests.helpers.paths import EXAMPLES, ROOT

PYTHON = os.environ.get("LIGHT_PYTHON")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="LIGHT_PYTHON names no environment without torch (`make test` does)"
)


def run(*argv, status=0):
    done = subprocess.run(
        [ROOT / PYTHON, *map(str, argv)], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.mark.parametrize("name", ["torch", "torchvision", "onnx", "pytest"])
def test_the_environment_is_light(name):
    run("-c", f"import {name}", status=1)


def test_photos_get_captions():
    found = json.loads(run("-m", "captioner", "caption", EXAMPLES, "--json"))
    captions = {Path(photo["photo"]).name: photo["captions"][0]["text"] for photo in found["photos"]}
    assert len(captions) == 3 and all(len(text.split()) > 3 for text in captions.values())


def test_prompts_get_texts():
    for model in ("shakespeare", "novels"):
        text = run("-m", "textgen", "generate", "The king", "--model", model, "--seed", "1", "--length", "40")
        assert text.startswith("The king") and len(text) > 40


def test_captions_get_scores(tmp_path):
    said = write(tmp_path / "said.txt", "a dog runs\na cat sits on a mat\n")
    truth = write(tmp_path / "truth.txt", "a dog is running\nthe cat is on the mat\n")
    assert "CIDEr" in run("-m", "captioner", "score", said, truth)


@pytest.mark.parametrize(
    "argv",
    [
        ("captioner", "train", "data", "--out", "model"),
        ("textgen", "train", "book.txt", "--out", "model"),
        ("captioner", "export", "model"),
    ],
)
def test_what_needs_torch_says_so_in_a_line(argv):
    error = run("-m", *argv, status=2)
    assert error.count("\n") == 1 and "pip install 'captioner[train]'" in error and "torch" in error
