"""Captions in other languages: the translator's, beside the English ones, and loaded only when asked for."""

import json

import pytest

from captioner import Captioner, languages
from captioner.cli import main
from tests.helpers.command_lines import assert_one_line_of, run_command
from tests.helpers.paths import EXAMPLES
from textgen.errors import UserError

PHOTO = EXAMPLES / "cat.jpg"


class Shouting:
    """A translator that keeps what it is given."""

    def __init__(self):
        self.given = []

    def translate(self, texts):
        self.given += texts
        return [type("Found", (), {"text": text.upper()})() for text in texts]


@pytest.fixture
def shouting(monkeypatch):
    made = Shouting()
    monkeypatch.setattr(languages, "translator", lambda language: made)
    return made


def test_captions_carry_their_translations(shouting):
    captioner = Captioner.load()
    plain = captioner.caption(PHOTO, n=2)
    found = captioner.caption(PHOTO, n=2, language="de")
    assert [caption.text for caption in found] == [caption.text for caption in plain]
    sentences = [caption.text.capitalize() + "." for caption in plain]
    assert shouting.given == sentences and [c.translation for c in found] == [s.upper() for s in sentences]
    assert all(caption.translation is None for caption in plain)


def test_the_command_line_prints_them(capsys, shouting):
    (caption,) = Captioner.load().caption(PHOTO)
    status, out, _ = run_command(main, capsys, "caption", PHOTO, "--language", "fr")
    assert (status, out) == (0, f"{caption.text.upper()}.\n")
    _, out, _ = run_command(main, capsys, "caption", PHOTO, "--language", "fr", "--json")
    (told,) = json.loads(out)["photos"][0]["captions"]
    assert told["text"] == caption.text and told["translation"] == f"{caption.text.upper()}."


def test_a_language_that_is_not_known_is_named(capsys):
    status, _, err = run_command(main, capsys, "caption", PHOTO, "--language", "xx")
    assert status == 2
    assert_one_line_of("captioner", err, "language: unknown 'xx'; known: en, de, fr")
    with pytest.raises(UserError, match="known: en, de, fr"):
        Captioner.load().caption(PHOTO, language="xx")
