"""The pages of translation and of whose words: what the library says, and one sentence where something is wrong."""

import shutil
from dataclasses import replace

import pytest

from tests.helpers import classifiers, translators
from tests.helpers.app_pages import assert_fine, opened, the_error

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.model_info import BOXES
from textgen.classification import stored as classification
from textgen.translation import stored as translation


@pytest.fixture
def boxes(tmp_path, monkeypatch):
    """Boxes with a translator and a classifier of the tests' own, by the names of the models that are meant first."""
    shutil.copytree(translators.exported(), tmp_path / "english-german")
    shutil.copytree(classifiers.exported(), tmp_path / "authors")
    for module, users in (
        (translation, ("textgen.translation.stored", "textgen.translation.translator")),
        (classification, ("textgen.classification.stored", "textgen.classification.classifier")),
    ):
        boxed = replace(module.BOX, folder=tmp_path)
        for user in users:
            monkeypatch.setattr(f"{user}.BOX", boxed)
        monkeypatch.setitem(BOXES, module.KIND, boxed)
    monkeypatch.setattr("app.cards.caption.BOX", replace(translation.BOX, folder=tmp_path))


def press(page, key):
    page.button(key=key).click().run()
    return page


def shown(page):
    return " ".join(html.proto.body for html in page.get("html"))


def test_a_text_is_translated_as_the_library_does(boxes):
    page = opened("translate")
    page.text_area[0].set_value("The red boat sinks.\nTom's lamp burns.")
    press(page, "translate-go")
    assert_fine(page)
    found = page.session_state["translated"].translation
    assert found == translators.translator("onnx").translate("The red boat sinks.\nTom's lamp burns.", n=3)
    assert found.text.split("\n")[0] in shown(page) and "five beams" in shown(page)
    page.toggle(key="translate-align").set_value(True).run()
    assert_fine(page)
    assert shown(page).count('class="alignment"') == 2 and 'scope="row"' in shown(page)


def test_what_is_typed_is_never_markup(boxes):
    page = opened("translate")
    page.text_area[0].set_value('<img src=x onerror="alert(1)"> boat')
    press(page, "translate-go")
    page.toggle(key="translate-align").set_value(True).run()
    assert_fine(page)
    assert "<img" not in shown(page)


def test_nothing_typed_is_one_sentence(boxes):
    page = opened("translate")
    page.text_area[0].set_value("  ")
    assert the_error(press(page, "translate-go")) == "Type a text first."


def test_a_passage_is_classified_with_the_words_that_decided(boxes):
    page = opened("whose")
    page.text_area[0].set_value("The old boat is gone.")
    press(page, "whose-go")
    assert_fine(page)
    found, words = page.session_state["whose"]
    assert found == classifiers.classifier("onnx").classify("The old boat is gone.")
    assert words == classifiers.classifier("onnx").deciding("The old boat is gone.")
    assert 'class="deciding for"' in shown(page) and "By occlusion" in shown(page)
    page.text_area[0].set_value("")
    assert the_error(press(page, "whose-go")) == "Type a passage first."


def test_a_caption_is_offered_in_other_languages(boxes):
    page = opened()
    page.button[0].click().run()
    assert_fine(page)
    (pills,) = [one for one in page.get("button_group") if one.key and one.key.startswith("language-")]
    pills.set_value("de").run()
    assert_fine(page)
    assert "A machine&#x27;s translation" in shown(page)


def test_every_kind_of_model_has_its_card(boxes):
    page = opened("models")
    assert "Translates · English to Other" in shown(page) and "Tells whose words they are" in shown(page)
