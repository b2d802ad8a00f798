"""The cards of the Captions page: compare, look where the model looked, correct."""

import io
import re
import zipfile

import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="streamlit is not installed: pip install 'captioner[app]'")

from app.cards import caption as caption_card
from captioner import Captioner
from captioner.data.examples import load_dataset
from captioner.network.decoding import Caption
from captioner.report.exports import training_set
from tests.helpers.app_pages import opened
from tests.helpers.caption_page import COFFEE, EXAMPLES, WORDS, album, group, pictures, press, said, upload


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()


@pytest.fixture
def page():
    return opened()


def test_a_word_shows_where_the_model_looked(page, captioner):
    press(page, "Cat")
    best = captioner.caption(EXAMPLES / "cat.jpg", n=3)[0]
    words = group(page, WORDS)
    # Markup is made harmless, and a word that comes twice is told apart by a sign without width.
    assert tuple(re.sub(r"[\\\u200b]", "", word) for word in words.options) == best.words
    whole = pictures(page, best.text)[0].url
    seen = {whole}
    for index, word in enumerate(best.words):
        group(page, WORDS).set_value(index).run()
        assert not page.exception and not page.error
        (lit,) = pictures(page, f"Where the model looked for “{word}”")
        seen.add(lit.url)
    assert len(seen) == 1 + len(best.words), "each word has a picture of its own"
    group(page, WORDS).set_value(None).run()
    assert pictures(page, best.text)[0].url == whole


def test_another_caption_can_be_chosen(page):
    press(page, "Cat")
    second = album(page).photos[0].captions[1]
    page.radio[0].set_value(1).run()
    assert said(page) == [second.text] and pictures(page, second.text)
    assert tuple(word.rstrip("\u200b") for word in group(page, WORDS).options) == second.words
    page.slider(key="caption-count").set_value(4).run()
    assert said(page) == [album(page).photos[0].captions[0].text], "new captions, and the best of them"


def correct(page, text):
    photo = album(page).photos[0]
    key = f"correct-{photo.number}-{photo.edits}"
    page.session_state[key] = True
    page.run()
    page.text_area[0].set_value(text)
    return press(page, "Save")


def training_button(page):
    return next(button for button in page.get("download_button") if button.label == "Training set")


def test_a_corrected_caption_counts_and_becomes_training_data(page, tmp_path):
    press(press(page, "Cat"), "Coffee")
    assert training_button(page).proto.disabled
    correct(page, "  a coffee on its\n *own saucer* , at night ")
    text = "a coffee on its *own saucer* , at night"
    assert said(page)[0] == text and pictures(page, text)
    assert not training_button(page).proto.disabled and not page.text_area, "the window is closed"
    with zipfile.ZipFile(io.BytesIO(training_set(album(page).corrected()))) as archive:
        archive.extractall(tmp_path)
    (example,) = load_dataset(tmp_path).examples
    assert (example.id, example.captions) == ("coffee.jpg", (text,))
    page.slider(key="caption-count").set_value(2).run()
    assert said(page)[0] == text, "a correction outlives new captions"
    correct(page, "")
    assert said(page)[0] == album(page).photos[0].captions[0].text and training_button(page).proto.disabled


def test_a_correction_is_one_of_the_captions_to_choose_from(page):
    press(page, "Cat")
    best, second = (caption.text for caption in album(page).photos[0].captions[:2])
    correct(page, "my cat")
    assert page.radio[0].value == 3 and page.radio[0].options[3].startswith("my cat")
    page.radio[0].set_value(1).run()
    assert said(page) == [second] and training_button(page).proto.disabled
    page.radio[0].set_value(3).run()
    assert said(page) == ["my cat"] and not training_button(page).proto.disabled
    page.slider(key="caption-count").set_value(1).run()
    assert said(page) == ["my cat"]
    page.radio[0].set_value(0).run()
    assert said(page) == [best], "there is a way back from a single caption, too"


def test_all_photos_are_removed_only_when_asked_once_more(page):
    press(press(page, "Cat"), "Coffee")
    (window,) = [found for found in page.get("popover") if found.proto.popover.label == "Remove all"]
    assert [button.label for button in window.button] == ["Remove all"]
    assert [button.label for button in page.button].count("Remove all") == 1, "none outside of it"


def test_of_an_animation_it_is_said_that_the_first_frame_was_read(page):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    upload(page, ("moving.gif", data.getvalue()))
    (photo,) = album(page).photos
    assert photo.number == 1 and "first" in photo.note
    assert any(f"moving.gif · {photo.note}" in html.proto.body for html in page.get("html"))


def test_a_quotation_mark_in_a_name_is_one_again(page):
    upload(page, ("my %22best%22 50%.jpg", COFFEE))  # as browsers send it
    assert album(page).photos[0].name == 'my "best" 50%.jpg'


def test_the_settings_make_way_for_the_photos(page):
    assert not [found for found in page.expander if found.label == "Examples and camera"]
    press(page, "Cat")
    (place,) = [found for found in page.expander if found.label == "Examples and camera"]
    assert not place.proto.expanded and not place.get("image")
    press(page, "Coffee")
    assert len(said(page)) == 2


@pytest.mark.parametrize(
    ("log_probs", "shown"),
    [
        ((-0.5, -2.0), ["61 %", "14 %"]),
        ((-0.5, -9.0), ["1 in 1.6", "1 in 8,100"]),
        ((-6.9, -20.0), ["1 in 990", "1 in 490 million"]),
        ((-30.0,), ["next to none"]),
    ],
)
def test_the_probabilities_of_a_card_have_one_unit(log_probs, shown):
    found = caption_card._probabilities([Caption("a", log_prob, True, ("a",)) for log_prob in log_probs])
    assert [text.replace("\u00a0", " ") for text in found] == shown
