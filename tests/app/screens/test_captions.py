"""The Captions page, with the model in the box: what it shows is what the library and the command line say."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="streamlit is not installed: pip install 'captioner[app]'")

from app.work import limits, photos, resources
from app.work.gate import Gate
from captioner import Captioner, cli
from captioner.network.confidence import Confidence, Usual
from captioner.network.decoding_config import DecodingConfig
from tests.helpers.app_pages import opened
from tests.helpers.caption_page import COFFEE, album, errors, group, pictures, press, said, upload
from tests.helpers.image_files import ORIENTATION, drawn, encoded, png
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX, ROOT


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()


@pytest.fixture
def page():
    return opened()


@pytest.fixture
def limited(monkeypatch):
    """Sets limits for a test."""

    def limit(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"CAPTIONER_APP_{name.upper()}", str(value))
        limits.limits.cache_clear()
        resources.gate.cache_clear()

    yield limit
    monkeypatch.undo()
    limits.limits.cache_clear()
    resources.gate.cache_clear()


@pytest.mark.parametrize("name", ["Cat", "Coffee", "Photographer"])
def test_an_example_is_captioned_in_one_click(page, captioner, name):
    press(page, name)
    best = captioner.caption(EXAMPLES / f"{name.lower()}.jpg", n=3)
    assert said(page) == [best[0].text]
    assert [option.split(" :gray")[0].replace("\\", "") for option in page.radio[0].options] == [
        found.text for found in best
    ]
    assert pictures(page, best[0].text), "the caption is the picture's alternative text"


def sideways():
    image = Image.open(io.BytesIO(COFFEE)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(image, "JPEG", exif=exif)


def transparent():
    image = Image.open(io.BytesIO(COFFEE)).convert("RGBA")
    image.putalpha(120)
    return encoded(image)


GOOD = {
    "sideways.jpg": sideways(),
    "clear.png": transparent(),
    "grey16.png": encoded(Image.fromarray((np.arange(64 * 48).reshape(48, 64) * 20).astype(np.uint16))),
    "palette.gif": drawn("GIF"),
    "thin.png": encoded(Image.new("RGB", (1, 4000), "navy")),
    "dot.png": encoded(Image.new("RGB", (1, 1), "white")),
    "cmyk.jpg": encoded(Image.new("CMYK", (60, 40), (10, 200, 30, 0)), "JPEG"),
}
BAD = {
    "half.jpg": (COFFEE[: len(COFFEE) // 2], "incomplete"),
    "text.jpg": (b"hello, I am a text", "looks like text"),
    "page.jpg": (b"<html><body>no</body></html>", "looks like HTML"),
    "huge.png": (png(20000, 20000, 8, 2), "megapixels"),
    "empty.jpg": (b"", "empty"),
}


def test_pictures_of_every_kind_are_captioned_and_broken_ones_told_in_a_line_each(page, captioner):
    mixed = [
        item for pair in zip(GOOD.items(), [(k, v[0]) for k, v in BAD.items()], strict=False) for item in pair
    ]
    rest = [item for item in GOOD.items() if item not in mixed]
    upload(page, *mixed, *rest)
    expected = {name: captioner.caption(data, n=3)[0].text for name, data in GOOD.items()}
    assert {photo.name: photo.caption for photo in album(page).photos} == expected
    assert said(page) == [expected[photo.name] for photo in album(page).photos]
    assert len(errors(page)) == len(BAD)
    for line, (name, (_, why)) in zip(errors(page), BAD.items(), strict=True):
        assert line.startswith(f"{name}: ") and why in line and "\n" not in line and "Traceback" not in line


def test_a_sideways_photo_is_shown_upright_and_without_its_metadata(page):
    upload(page, ("sideways.jpg", GOOD["sideways.jpg"]))
    shown = Image.open(io.BytesIO(album(page).photos[0].thumbnail))
    assert shown.width > shown.height and not shown.getexif()


def test_only_small_copies_are_kept(page):
    upload(page, ("big.png", encoded(Image.new("RGB", (3000, 2000), "olive"))))
    photo = album(page).photos[0]
    assert max(Image.open(io.BytesIO(photo.thumbnail)).size) == 960
    assert page.file_uploader[0].value == [], "the upload itself is let go"


def test_the_same_photo_twice_is_two_cards(page):
    upload(page, ("coffee.jpg", COFFEE), ("coffee.jpg", COFFEE))
    assert [photo.name for photo in album(page).photos] == ["coffee.jpg", "coffee (2).jpg"]
    assert len(said(page)) == 2 and len(set(said(page))) == 1


def test_what_is_too_large_or_too_many_is_left_out_and_told(limited):
    limited(photos=2, upload_mb=1)
    page = opened()
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    upload(page, ("large.png", encoded(Image.fromarray(noise))))
    assert said(page) == [] and len(errors(page)) == 1 and errors(page)[0].startswith("large.png: ")
    upload(page, *[(f"{n}.jpg", COFFEE) for n in range(5)])
    assert len(said(page)) == 2
    assert errors(page) == ["3 photos were left out: 2 fit at once; remove some first."]


def command_line(capsys, photo, *options):
    assert cli.main(["caption", str(photo), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)["photos"][0]["captions"]


def test_captions_are_the_command_lines(page, capsys):
    press(page, "Coffee")
    photo = EXAMPLES / "coffee.jpg"
    page.slider(key="caption-count").set_value(4).run()
    page.slider(key="caption-beam").set_value(5).run()
    found = command_line(capsys, photo, "-n", "4", "--beam", "5")
    assert [caption.text for caption in album(page).photos[0].captions] == [one["text"] for one in found]
    group(page, "How captions are chosen").set_value("sample").run()
    page.slider(key="caption-temperature").set_value(1.1).run()
    page.slider(key="caption-top-k").set_value(40).run()
    page.slider(key="caption-top-p").set_value(0.9).run()
    page.number_input(key="caption-seed").set_value(7).run()
    assert not page.exception and not page.error
    options = ("-n", "4", "--temperature", "1.1", "--top-k", "40", "--top-p", "0.9", "--seed", "7")
    found = command_line(capsys, photo, *options)
    drawn = album(page).photos[0].captions
    assert [caption.text for caption in drawn] == [one["text"] for one in found]
    assert [round(caption.log_prob, 4) for caption in drawn] == [one["log_prob"] for one in found]
    assert said(page) == [found[0]["text"]]


def test_a_slider_decodes_again_and_encodes_nothing(page, monkeypatch):
    upload(page, *[(f"{n}.jpg", COFFEE) for n in range(3)])
    encoded_photos, decoded, decode = [], [], Captioner.decode
    monkeypatch.setattr(Captioner, "encode", lambda self, pixels: encoded_photos.append(len(pixels)))

    def counted(self, context, *args, **options):
        decoded.append(len(context))
        return decode(self, context, *args, **options)

    monkeypatch.setattr(Captioner, "decode", counted)
    page.slider(key="caption-count").set_value(2).run()
    assert not page.exception and not page.error
    assert (encoded_photos, sum(decoded)) == ([], 3)
    assert all(len(radio.options) == 2 for radio in page.radio)
    page.run()
    assert sum(decoded) == 3, "what is said already is not said again"


def test_photos_can_be_removed(page):
    press(press(page, "Cat"), "Coffee")
    press(page, "Remove")
    assert [photo.name for photo in album(page).photos] == ["cat.jpg"]
    press(page, "Remove all")
    assert said(page) == [] and album(page).photos == []


def test_the_camera_is_asked_for_only_when_wanted_and_its_photo_is_captioned(page, captioner):
    assert not page.camera_input
    page.toggle(key="camera").set_value(True).run()
    page.camera_input[0].set_value(("camera.jpg", COFFEE, "image/jpeg")).run()
    assert not page.exception and said(page) == [captioner.caption(COFFEE, n=3)[0].text]


def test_captioning_that_was_stopped_goes_on_when_asked(page, captioner):
    press(page, "Cat")
    album(page).stopped = (captioner.hash, DecodingConfig(n=2))
    page.slider(key="caption-count").set_value(2).run()
    assert any("Stopped; 1 to do" in line.value for line in page.markdown)
    press(page, "Go on")
    assert len(page.radio[0].options) == 2


def test_another_model_captions_the_photos_that_are_there(page, tmp_path):
    press(page, "Cat")
    before = said(page)
    folder = tmp_path / "model"
    shutil.copytree(MODEL_IN_THE_BOX, folder)
    page.session_state["chosen_captioner"] = folder
    page.run()
    assert not page.error and said(page) == before
    (folder / "model.safetensors").write_bytes(b"damaged")
    page.run()
    assert len(errors(page)) == 1 and "model.safetensors" in errors(page)[0]
    assert not page.exception and said(page) == []


@pytest.mark.parametrize("bias", [-30, 30])
def test_a_caption_that_is_not_sure_says_so(page, tmp_path, bias):
    folder = tmp_path / "model"
    shutil.copytree(MODEL_IN_THE_BOX, folder)
    header = json.loads((folder / "model.json").read_text())
    size = header["config"]["decoder"]["context_size"]
    sure = Confidence(
        Usual(np.zeros(size), np.ones(size)), np.zeros(6), np.ones(6), np.zeros(6), bias, threshold=0.3
    )
    (folder / "model.json").write_text(json.dumps({**header, "confidence": sure.to_json()}))
    page.session_state["chosen_captioner"] = folder
    press(page, "Cat")
    told = any("Not sure" in line.value for line in page.markdown)
    assert len(said(page)) == 1 and told == (bias < 0)


def test_a_defect_of_ours_is_one_friendly_sentence(page, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("secret detail of /home/someone")

    monkeypatch.setattr(Captioner, "decode", broken)
    press(page, "Cat")
    assert len(errors(page)) == 1 and "secret" not in errors(page)[0] and "try again" in errors(page)[0]


def test_a_visitor_too_many_is_told_busy_and_loses_nothing(page, limited):
    limited(inferences=1, queue=0, wait_seconds=0.1)
    with resources.gate().place():
        upload(page, ("coffee.jpg", COFFEE))
        assert len(errors(page)) == 1 and "try again" in errors(page)[0]
        assert not page.get("progress")
    press(page, "Try again")
    assert not page.error and len(said(page)) == 1
    with resources.gate().place():
        page.slider(key="caption-count").set_value(2).run()
        assert len(errors(page)) == 1 and len(said(page)) == 1, "what is there stays there"
    press(page, "Try again")
    assert not page.error and len(page.radio[0].options) == 2


def test_a_photo_whose_reading_fails_for_no_known_reason_is_let_go(page, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(photos, "picture_pixels", lambda *_: 1 / 0)
        press(page, "Cat")
        assert len(errors(page)) == 1 and "division" not in errors(page)[0]
    page.run()
    assert not page.error and said(page) == []
    press(page, "Coffee")
    assert len(said(page)) == 1


def test_captions_do_not_depend_on_the_batch(captioner):
    names = [path.name for path in photos.EXAMPLES]
    read = [photos.read_photo(path, captioner.size) for path in photos.EXAMPLES]
    for done in photos.caption_photos(read, captioner, DecodingConfig()):
        assert done == len(names)
    alone = [captioner.caption(path)[0] for path in photos.EXAMPLES]
    assert [photo.captions[0].text for photo in read] == [caption.text for caption in alone]
    assert names == [photo.name for photo in read]


def test_the_gate_is_free_after_all_of_this():
    assert isinstance(resources.gate(), Gate)
    with resources.gate().place():
        pass


def test_the_page_needs_no_torch():
    code = """
import sys
sys.modules.update(dict.fromkeys(["torch", "torchvision", "onnx", "transformers"]))
from tests.helpers.app_pages import assert_fine, opened
page = opened()
next(button for button in page.button if button.label == "Cat").click().run()
assert_fine(page)
print(page.session_state["album"].photos[0].caption)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == Captioner.load().caption(EXAMPLES / "cat.jpg", n=3)[0].text


def test_captions_that_come_when_they_are_no_longer_wanted_are_dropped(captioner):
    read = [photos.read_photo(path, captioner.size) for path in photos.EXAMPLES]
    new, old = DecodingConfig(), DecodingConfig(beam=1)
    list(photos.caption_photos(read, captioner, new))
    said_before = [photo.captions for photo in read]
    late = list(photos.caption_photos(read, captioner, old, lambda: False))
    assert late and [photo.captions for photo in read] == said_before
    assert not photos.waiting(read, captioner, new)
