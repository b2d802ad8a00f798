"""The Captions page without a browser: what a visitor does there, and reads."""

import re
from html import unescape

from tests.helpers.paths import EXAMPLES

COFFEE = (EXAMPLES / "coffee.jpg").read_bytes()


def upload(page, *files):
    """Uploads files, each a name and its bytes."""
    page.file_uploader[0].set_value([(name, data, "image/jpeg") for name, data in files]).run()
    assert not page.exception
    return page


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page


def said(page):
    """The captions on the page, the upper card first."""
    bodies = "".join(html.proto.body for html in page.get("html"))
    return [unescape(text) for text in re.findall(r'<p class="said"[^>]*>(.*?)</p>', bodies)]


def album(page):
    return page.session_state["album"]


def errors(page):
    return [box.value.replace("\\", "") for box in page.error]


def pictures(page, of):
    """The images whose alternative text begins so."""
    return [image.proto.imgs[0] for image in page.get("image") if image.proto.imgs[0].alt.startswith(of)]


def group(page, label, number=0):
    return [found for found in page.button_group if found.proto.label == label][number]


WORDS = "Where the model looked for each word"
