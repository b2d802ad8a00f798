"""What shows nothing is dropped; what a script needs stays."""

import unicodedata

import pytest

from textgen.sequences.invisible import visible


@pytest.mark.parametrize("sign", "\u00ad\u200b\u200c\u200d\u200e\u202a\u2060\u2066\ufeff")
def test_signs_that_show_nothing_are_dropped_wherever_they_stand(sign):
    assert visible(f"{sign}A d{sign}{sign}og {sign} runs.{sign}") == "A dog  runs."


@pytest.mark.parametrize(
    "text",
    [
        "A dog runs.",
        "für\tTom\u00a0\u2028犬\n",
        "👨‍👩‍👧 and 👩🏽‍💻, ❤️‍🔥 🏳️‍🌈",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "می‌خواهم",
        "क्‍ष",
        "\u0600١٢",
    ],
)
def test_what_a_script_or_an_emoji_needs_stays(text):
    assert visible(text) == text


def test_a_joiner_that_joins_nothing_is_dropped():
    assert visible("Auf\u200clage, \u200d 犬") == "Auflage,  犬"
    assert visible("A\u200d\u200d dog") == "A dog"


def test_control_characters_are_spaces_and_white_space_stays():
    assert visible("A dog\0runs\x1b[0m\x7f\x9f") == "A dog runs [0m  "
    spaces = "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85"
    assert visible(spaces) == spaces


def test_no_other_sign_is_touched():
    kept = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for sign in kept:
        if visible(sign) != sign:
            assert unicodedata.category(sign) in ("Cf", "Cc") or 0xE0000 < ord(sign) < 0xE0080
    bare = [sign for sign in kept if unicodedata.category(sign) == "Cf" and visible(sign) == sign]
    assert all(unicodedata.name(sign).split()[0] in OF_SCRIPTS for sign in bare)


OF_SCRIPTS = ("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN", "SHORTHAND", "MUSICAL")
