"""Models pickled and copied: loaded anew from where they came, or a line that says why not."""

from __future__ import annotations

import copy
import pickle
import shutil

import numpy as np
import pytest

from captioner import Captioner
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX, MODELS
from tests.helpers.text_models import generator as trained_generator
from textgen import TextGenerator
from textgen.errors import UserError

WAYS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def said(model):
    if isinstance(model, TextGenerator):
        return model.generate("Tom", n=2, length=20, seed=1)
    return [(c.text, c.log_prob) for c in model.caption(EXAMPLES / "cat.jpg", n=2)]


@ways
@pytest.mark.parametrize("kind", [Captioner, TextGenerator])
def test_a_copy_says_the_same(kind, way):
    model = kind.load()
    found = way(model)
    assert found is not model and (type(found), found.hash, said(found)) == (kind, model.hash, said(model))
    assert said(way(found)) == said(model)  # a copy of a copy


@ways
def test_models_within_other_things_are_copied_with_them(way):
    model = TextGenerator.load("novels")
    found = way({"model": model, "method": model.generate})
    assert found["method"]("Tom", length=5, seed=1) == model.generate("Tom", length=5, seed=1)


def test_a_model_in_the_box_goes_by_its_name_so_that_it_is_found_on_another_machine():
    assert str(MODELS).encode() not in pickle.dumps(TextGenerator.load(MODELS / "novels"))
    assert str(MODEL_IN_THE_BOX.parent).encode() not in pickle.dumps(Captioner.load())


def test_another_goes_by_its_folder_from_wherever_it_is_opened(tmp_path, monkeypatch):
    shutil.copytree(MODELS / "novels", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    model = TextGenerator.load("mine", "onnx")
    data = pickle.dumps(model)
    monkeypatch.chdir("/")
    found = pickle.loads(data)
    assert found.origin == (str(tmp_path / "mine"), "onnx") and said(found) == said(model)


def test_a_folder_that_is_gone_or_holds_another_model_is_a_line(tmp_path):
    shutil.copytree(MODELS / "novels", tmp_path / "mine", ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(MODELS / "novels" / "model.safetensors", tmp_path / "mine")
    data = pickle.dumps(TextGenerator.load(tmp_path / "mine"))
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(UserError, match="mine: no such model or folder"):
        pickle.loads(data)
    shutil.copytree(MODELS / "shakespeare", tmp_path / "mine")
    with pytest.raises(UserError, match="mine: holds another model than when it was loaded first"):
        pickle.loads(data)


@ways
def test_a_model_that_was_never_stored_is_a_line_that_says_what_to_do(way):
    model = trained_generator("char")
    made = TextGenerator(model.model, model.tokenizer, model.header, hash="")
    with pytest.raises(
        UserError, match=r"a TextGenerator that was not loaded from a folder .* store its model"
    ):
        way(made)


@ways
def test_what_models_return_and_raise_goes_to_other_processes(way):
    captioner = Captioner.load()
    (caption,) = captioner.caption(EXAMPLES / "cat.jpg", attention=True)
    found = way(caption)
    assert found.text == caption.text and np.array_equal(found.attention, caption.attention)
    text = TextGenerator.load().generate("Tom", length=5, seed=1)[0]
    assert way(text) == text
    with pytest.raises(UserError) as refused:
        captioner.caption("nowhere.jpg")
    again = way(refused.value)
    assert (type(again), str(again)) == (type(refused.value), str(refused.value))
