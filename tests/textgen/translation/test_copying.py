"""Names and letters of other scripts are copied."""

import numpy as np
import pytest

from textgen.text.subwords import PLACEHOLDERS
from textgen.translation.copying import (
    Renaming,
    copied_words,
    hide,
    packed_words,
    reveal,
    seen_words,
    unpacked_words,
)

PAIR = ("Tom met Mary in Boston in 2013.", "Tom hat Mary 2013 in Boston getroffen.")


def latin(letter):
    return letter.isascii()


def test_names_and_numbers_of_both_sides_are_found():
    assert copied_words(PAIR) == ["Tom", "Mary", "Boston", "2013"]
    assert copied_words(("Tom's in Rome.", "Toms Auto ist in Rom.")) == []


def test_renaming_changes_both_sides_alike():
    renaming = Renaming([PAIR, ("Holmes saw it.", "Holmes sah es.")], 1.0)
    seen = set()
    for seed in range(60):
        source, target = renaming(PAIR, np.random.default_rng(seed))
        changed = set(source.replace(".", "").split()) - set(PAIR[0].replace(".", "").split())
        assert changed == set(target.replace(".", "").split()) - set(PAIR[1].replace(".", "").split())
        seen |= changed
    assert "Holmes" in seen and PLACEHOLDERS[0] in seen and len(seen) > 20


def test_renaming_leaves_alone_what_it_should():
    rng = np.random.default_rng(0)
    assert Renaming([PAIR], 0.0)(PAIR, rng) == PAIR
    plain = ("the boat sinks", "das Boot sinkt")
    assert Renaming([PAIR], 1.0)(plain, rng) == plain


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("plain", ()),
        ("", ()),
        ("See 犬 and 猫.", ("犬", "猫")),
        ("Привет, как дела?", ("Привет, как дела",)),
        ("😀😀 ok 😀", ("😀😀", "😀")),
        (f"a {PLACEHOLDERS[2]} b", (PLACEHOLDERS[2],)),
    ],
)
def test_what_is_hidden_is_revealed(text, hidden):
    shown, found = hide(text, latin)
    assert found == hidden
    assert all(map(latin, shown.translate({ord(sign): "" for sign in PLACEHOLDERS})))
    if hidden != (PLACEHOLDERS[2],):
        assert reveal(shown, found) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Zbigniew lives in Qarshi.", ("Zbigniew", "Qarshi")),
        ("Tom lives in Boston.", ()),
        ("Lives in Boston", ()),
        ("Volodymyr Zelenskyy met Tom.", ("Volodymyr Zelenskyy",)),
        ("Tom met a zyzzyva.", ()),
        ("I met Zbigniew's Qarshi-Tom 犬.", ("Zbigniew", "Qarshi", "犬")),
        ("Al met Ed.", ()),
    ],
)
def test_words_with_a_capital_that_were_never_seen_are_hidden(text, hidden):
    seen = seen_words([("Tom lives in Boston. I met a dog.", "")])
    shown, found = hide(text, latin, seen)
    assert found == hidden and reveal(shown, found) == text


def test_seen_words_are_stored_whole():
    seen = seen_words([("Tom's café, 3 DOGS", ""), ("don't", "x")])
    assert seen == {"tom", "s", "café", "dogs", "don", "t"}
    assert unpacked_words(packed_words(seen)) == seen
    for damaged in ("?", "AAAA"):
        with pytest.raises(ValueError, match="words: damaged"):
            unpacked_words(damaged)


def test_what_is_beyond_the_place_holders_stays():
    text = " a ".join(chr(0x4E00 + n) for n in range(12))
    shown, hidden = hide(text, latin)
    assert len(hidden) == len(PLACEHOLDERS) and reveal(shown, hidden) == text


def test_place_holders_that_stand_for_nothing_vanish():
    assert reveal(f"a{PLACEHOLDERS[0]}b{PLACEHOLDERS[5]}c", ("X",)) == "aXbc"
