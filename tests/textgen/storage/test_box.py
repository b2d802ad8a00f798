"""The models in the box are found by name and listed with their figures; for both packages by the same code."""

import json

import pytest

from captioner import Captioner
from captioner.cli import main as captioner_main
from captioner.network import stored
from tests.helpers.paths import MODEL_IN_THE_BOX, MODELS
from textgen.cli import main as textgen_main
from textgen.engine import text_model
from textgen.errors import UserError
from textgen.storage.box import Box

BOXES = [stored.BOX, text_model.BOX]
MAIN = {"captioner": captioner_main, "textgen": textgen_main}


@pytest.mark.parametrize("box", BOXES, ids=lambda box: box.kind)
def test_every_model_in_the_box_is_found_by_its_name_and_by_its_folder(box):
    assert box.default in box.names() and box.find() == box.default_folder
    assert box.title(box.default_folder) == "model in the box"
    for name in box.names():
        assert box.find(f"{name}/") == box.folder / name
        assert box.find(name) == box.folder / name == box.find(box.folder / name)


@pytest.mark.parametrize("box", BOXES, ids=lambda box: box.kind)
@pytest.mark.parametrize("model", ["", "nowhere", "no/where", "\0", "a\nb"])
def test_what_is_neither_lists_the_box_in_one_line(box, model):
    with pytest.raises(UserError) as caught:
        box.find(model)
    assert "no such model or folder; in the box:" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("prog", MAIN)
def test_the_list_says_name_size_data_and_figures(capsys, prog):
    box = {box.kind: box for box in BOXES}[prog]
    assert MAIN[prog](["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert MAIN[prog](["models", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["default"] == box.default
    for line, model in zip(lines, document["models"], strict=True):
        size = sum(path.stat().st_size for path in (box.folder / model["name"]).iterdir())
        assert model["bytes"] == size and model["figures"]
        shown = [
            model["name"],
            f"{size / 1e6:.1f} MB",
            model["model"],
            model["data"],
            *model["figures"].values(),
        ]
        assert all(text in line for text in shown)


def test_the_figures_are_those_of_the_header():
    provenance = json.loads((MODELS / "novels" / "model.json").read_text(encoding="utf-8"))["provenance"]
    (novels,) = [model for model in text_model.BOX.listing() if model["name"] == "novels"]
    assert novels["figures"]["Perplexity a word"] == f"{provenance['held_out']['perplexity']:.2f}"
    assert "and 10 more" in novels["data"]


def test_a_captioner_is_loaded_by_its_name():
    assert Captioner.load(MODEL_IN_THE_BOX.name).hash == Captioner.load(MODEL_IN_THE_BOX).hash


def test_a_box_without_its_model_says_what_to_do(tmp_path):
    box = Box(tmp_path, "translator", "none", lambda header: None)
    with pytest.raises(
        UserError, match=r"^no translator is in the box; name a trained model's folder: --model DIR$"
    ):
        box.find()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 100_000, '{"kind": 3}'], ids=lambda text: text[:9]
)
def test_a_folder_whose_header_is_damaged_is_nobodys(tmp_path, text):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "model.json").write_text(text)
    assert Box(tmp_path, "textgen", "none", text_model.BOX.summary).names() == []
