"""The page of the seven families: what the library says, side by side."""

import json
import shutil
from dataclasses import replace

import pytest

from tests.helpers.app_pages import assert_fine, opened, the_error
from tests.helpers.families import LINES, trained

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.families import EXPLAINED, PREFIX, lines_of
from app.work.model_info import BOXES
from textgen.compare import compare
from textgen.compare_config import CompareConfig
from textgen.engine.text_model import BOX, KIND
from textgen.generator import TextGenerator
from textgen.rewriting import between, fill

pytestmark = pytest.mark.slow
FAMILIES = ("autoregressive", "vae", "diffusion")


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A box with models of three families, and what compares them."""
    shutil.copytree(BOX.default_folder, tmp_path / BOX.default)
    for family in FAMILIES:
        shutil.copytree(
            trained(family), tmp_path / f"{PREFIX}{family}", ignore=shutil.ignore_patterns("training")
        )
    models = {family: TextGenerator.load(trained(family)) for family in FAMILIES[:2]}
    report = compare(models, LINES[::2], LINES[1::2], CompareConfig(20, (0.5, 1.0), 20))
    (tmp_path / "captions.json").write_text(json.dumps(report))
    boxed = replace(BOX, folder=tmp_path)
    for user in ("app.work.families", "app.screens.text", "textgen.generator", "textgen.engine.text_model"):
        monkeypatch.setattr(f"{user}.BOX", boxed, raising=False)
    monkeypatch.setitem(BOXES, KIND, boxed)
    return tmp_path


def shown(page):
    return " ".join(html.proto.body for html in page.get("html"))


def test_all_speak_at_once_as_the_library_does(box):
    page = opened("seven")
    for family in FAMILIES:
        assert EXPLAINED[family][0] in shown(page)
        generator = TextGenerator.load(box / f"{PREFIX}{family}")
        assert page.session_state["seven-said"][family] == list(lines_of(generator, 3, 0.8, 1))
    assert EXPLAINED["gan"][0] not in shown(page)
    page.slider(key="seven-temperature").set_value(0.3)
    page.button(key="seven-go").click().run()
    assert_fine(page)
    generator = TextGenerator.load(box / f"{PREFIX}vae")
    assert page.session_state["seven-said"]["vae"] == list(lines_of(generator, 3, 0.3, 1))


def test_one_sentence_leads_to_another(box):
    page = opened("seven")
    page.text_input(key="seven-from").set_value("a small dog runs outside")
    page.text_input(key="seven-to").set_value("a big man sleeps on a bench").run()
    page.slider(key="seven-place").set_value(8).run()
    assert_fine(page)
    way = between(
        TextGenerator.load(box / f"{PREFIX}vae"), "a small dog runs outside", "a big man sleeps on a bench", 9
    )
    assert page.session_state["seven-way"][1] == way and way[8] in shown(page)
    page.text_input(key="seven-to").set_value(" ").run()
    assert the_error(page) == "Type a sentence on either side."


def test_gaps_are_filled_and_a_line_appears(box):
    page = opened("seven")
    page.text_input(key="seven-gaps").set_value("a ___ dog")
    page.button(key="seven-fill").click().run()
    assert_fine(page)
    assert page.session_state["seven-filled"] == fill(
        TextGenerator.load(box / f"{PREFIX}diffusion"), "a ___ dog", 3, 0.7, 1
    )
    page.text_input(key="seven-gaps").set_value("a dog")
    page.button(key="seven-fill").click().run()
    assert "has no gap" in the_error(page)
    page.text_input(key="seven-gaps").set_value("a ___ dog")
    page.button(key="seven-appear").click().run()
    assert_fine(page)


def test_without_such_models_there_is_no_such_page(box, monkeypatch):
    for family in FAMILIES[1:]:
        shutil.rmtree(box / f"{PREFIX}{family}")
    page = opened("text")
    assert "Seven" not in str(page.main)


def test_a_model_that_is_damaged_harms_no_other(box):
    header = box / f"{PREFIX}vae" / "model.json"
    header.write_text(header.read_text().replace('"format": 2', '"format": 99'))
    (box / "captions.json").write_text('{"models": []}')
    page = opened("seven")
    assert EXPLAINED["diffusion"][0] in shown(page) and EXPLAINED["vae"][0] not in shown(page)
