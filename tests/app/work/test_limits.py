"""Limits: their defaults, what the environment says instead, and one line for what it says wrong."""

import tomllib
from dataclasses import fields

import pytest

from app.work.limits import PREFIX, Limits
from tests.helpers.paths import ROOT
from textgen.errors import UserError

APP = ROOT / "app"


def test_without_an_environment_the_defaults_hold():
    limits = Limits.from_environment({})
    assert (limits.upload_mb, limits.photos) == (20, 50)
    assert limits == Limits()


def test_streamlit_refuses_what_the_limits_refuse():
    config = tomllib.loads((APP / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] == Limits().upload_mb


def test_pictures_are_read_within_the_same_limits():
    images = Limits(upload_mb=3, megapixels=7).images
    assert (images.max_bytes, images.max_pixels) == (3_000_000, 7_000_000)


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_each_limit_has_a_variable_of_its_name(field):
    least = {"wait_seconds": 0.5, "text_length": 60, "open_folders": 1}.get(field.name, 1)
    limits = Limits.from_environment({PREFIX + field.name.upper(): f" {least} "})
    assert getattr(limits, field.name) == least
    assert [f.name for f in fields(Limits) if getattr(limits, f.name) != f.default] == [field.name]


def test_an_empty_variable_says_nothing():
    assert Limits.from_environment({"CAPTIONER_APP_PHOTOS": " "}) == Limits()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("PHOTOS", "many", "not a whole number"),
        ("PHOTOS", "2.5", "not a whole number"),
        ("PHOTOS", "0", "outside 1 to 1000"),
        ("PHOTOS", "-3", "outside 1 to 1000"),
        ("UPLOAD_MB", "51", "outside 1 to 50"),
        ("MEGAPIXELS", "1001", "outside 1 to 1000"),
        ("INFERENCES", "0", "outside 1 to 256"),
        ("QUEUE", "-1", "outside 0 to"),
        ("WAIT_SECONDS", "soon", "not a number"),
        ("WAIT_SECONDS", "nan", "outside"),
        ("WAIT_SECONDS", "inf", "outside"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(name, text, said):
    with pytest.raises(UserError) as caught:
        Limits.from_environment({PREFIX + name: text})
    message = str(caught.value)
    assert message.startswith(PREFIX + name) and said in message and message.isprintable()
