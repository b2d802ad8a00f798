"""Captions as files: what the page gives away is what the command line takes."""

import html
import io
import json
import zipfile
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner.data.examples import load_dataset
from captioner.data.predictions import read_predictions
from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError
from captioner.report.exports import (
    CaptionedPhoto,
    alt_text_page,
    captions_csv,
    captions_document,
    training_set,
)
from tests.helpers.image_files import encoded

JPEG = encoded(Image.new("RGB", (30, 20), "teal"), "JPEG")
# What a caption file can hold: no half characters, no control characters, nothing but white space at no end.
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1)
captions = st.lists(words, min_size=1, max_size=6).map(" ".join)


class Images(HTMLParser):
    """The images of a page, and the addresses that it asks for."""

    def __init__(self, page):
        super().__init__()
        self.images, self.asked, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.asked += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.images.append(attributes)


@given(captions)
def test_a_caption_survives_its_table(tmp_path_factory, caption):
    file = tmp_path_factory.mktemp("csv") / "captions.csv"
    file.write_text(captions_csv([("a, b.jpg", caption)]), encoding="utf-8")
    assert read_predictions(file).captions == {"a, b.jpg": caption}


def test_the_document_names_captions_and_failures():
    found = [Caption("a dog", -1.23456, True, ("a", "dog")), Caption("a", -9.0, False, ("a",), 0.1234, True)]
    document = captions_document(
        "abc", DecodingConfig(n=2), [("x.jpg", found), ("y.jpg", ImageError("y.jpg: picture is incomplete"))]
    )
    assert document["model"] == "abc" and document["n"] == 2 and document["beam"] == 3
    assert document["photos"] == [
        {
            "photo": "x.jpg",
            "captions": [
                {"text": "a dog", "log_prob": -1.2346, "finished": True, "confidence": None, "unsure": False},
                {"text": "a", "log_prob": -9.0, "finished": False, "confidence": 0.123, "unsure": True},
            ],
        },
        {"photo": "y.jpg", "error": "y.jpg: picture is incomplete"},
    ]
    assert json.loads(json.dumps(document)) == document


def test_the_document_says_which_caption_counts_where_a_person_has_said():
    found = [Caption("a dog", -1.0, True, ("a", "dog"))]
    photos = [("x.jpg", found), ("y.jpg", found)]
    document = captions_document("abc", DecodingConfig(), photos, {"x.jpg": "my dog"})
    assert [entry.get("caption") for entry in document["photos"]] == ["my dog", None]
    assert [entry["captions"][0]["text"] for entry in document["photos"]] == ["a dog", "a dog"]


def test_a_table_is_exact():
    assert captions_csv([("=a.jpg", "=1+1")]) == "image,caption\n=a.jpg,=1+1\n"


@given(captions)
def test_alternative_texts_are_told_as_they_are_and_run_nothing(caption):
    page = Images(alt_text_page([CaptionedPhoto("<x>.jpg", caption, JPEG)]))
    assert [image["alt"] for image in page.images] == [caption]
    assert all(address.startswith("data:") for address in page.asked)
    assert "script" not in page.tags


def test_the_page_of_alternative_texts_has_markup_to_copy():
    page = alt_text_page([CaptionedPhoto("my dog.jpg", 'a "big" dog & <b>', JPEG)])
    markup = '<img src="my dog.jpg" alt="a &quot;big&quot; dog &amp; &lt;b&gt;">'
    assert f"<code>{html.escape(markup)}</code>" in page


def unpacked(photos, folder):
    with zipfile.ZipFile(io.BytesIO(training_set(photos))) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return load_dataset(folder)


def test_corrections_are_a_data_set_that_training_takes(tmp_path):
    photos = [CaptionedPhoto(f"{n}.png", f"a photo, of the number {n}", JPEG) for n in range(12)]
    dataset = unpacked(photos, tmp_path)
    assert {example.captions for example in dataset.examples} == {(photo.caption,) for photo in photos}
    assert dataset.split("train") and dataset.split("dev")
    assert all(load_image(example.path).size == (30, 20) for example in dataset.examples)


NAMES = [
    "cat.jpg",
    "Cat.JPG",
    "cat.png",
    "../../etc/passwd",
    "C:\\photos\\cat.jpg",
    "a,b;\"c'.jpg",
    "=1+1.jpg",
    ".jpg",
]
NAMES += [
    "日本.webp",
    "x" * 300 + ".jpg",
    "a/b/cat.jpg",
    "no suffix",
    "two.dots.jpg",
    "line\nfeed.jpg",
    "...",
    "",
]


def test_odd_names_and_equal_ones_stay_apart_and_inside(tmp_path):
    photos = [CaptionedPhoto(name, f"caption {n}", JPEG) for n, name in enumerate(NAMES)]
    dataset = unpacked(photos, tmp_path / "in")
    assert sorted(example.captions for example in dataset.examples) == sorted((p.caption,) for p in photos)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"captions.csv", "Images"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_corrections_can_be_read(tmp_path, count):
    photos = [CaptionedPhoto(f"{n}.jpg", "a dog", JPEG) for n in range(count)]
    assert len(unpacked(photos, tmp_path).examples) == count
