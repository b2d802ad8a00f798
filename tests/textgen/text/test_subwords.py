"""Any text goes in and comes out whole, in pieces of words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.translators import tokenizer
from textgen.errors import UserError
from textgen.text.subwords import PLACEHOLDERS, SubwordTokenizer
from textgen.text.tokenizer import SPECIAL_TOKENS, Tokenizer


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufdd0"), max_size=40))
def test_any_text_comes_back_whole(text):
    made, whole = tokenizer(), unicodedata.normalize("NFC", text)
    assert made.decode(made.encode(text)) == whole
    assert made.join(made.split(text)) == whole
    assert [made.ids[piece] for piece in made.split(text)] == made.encode(text)
    assert made.encode_all([text, ""]) == [made.encode(text), []]


@pytest.mark.parametrize(
    "text", ["  two  spaces ", "a\nb\r\n\tc", "\u2581 x \u2581", "犬 😀", "\0", "<unk> <s> <pad>"]
)
def test_odd_texts_come_back_whole(text):
    assert tokenizer().decode(tokenizer().encode(text)) == text


def test_half_a_character_is_a_question_mark():
    assert tokenizer().decode(tokenizer().encode("a\ud800b")) == "a?b"


def test_words_that_were_learnt_are_pieces_and_special_tokens_are_not():
    made = tokenizer()
    assert len(made.split("The red boat")) < 6
    assert made.tokens[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert made.decode([0, 1, 2, 3, *made.encode("red")]) == "red"
    assert all(made.split(sign)[-1] == sign for sign in PLACEHOLDERS)


def test_it_knows_which_letters_it_has_to_spell():
    assert tokenizer().knows("ü") and not tokenizer().knows("犬")


def test_a_text_piece_by_piece_is_the_text():
    pieces = tokenizer().split("The red boat sinks.")
    told = "".join(map(tokenizer().text_after, [None, *pieces], pieces))
    assert told == "The red boat sinks." and tokenizer().text_after("a", "<0xE7>") == ""


def test_it_is_stored_and_restored():
    data = tokenizer().to_json()
    assert Tokenizer.from_json(data) == tokenizer()
    for damaged in ({"model": "AAAA"}, {"model": "?"}, {"model": 3}, {"tokens": []}):
        with pytest.raises(UserError, match="vocabulary"):
            Tokenizer.from_json({**data, **damaged})
    with pytest.raises(UserError, match="not a SentencePiece model, or damaged"):
        SubwordTokenizer(b"nonsense")


def test_too_few_pieces_or_no_text_are_said():
    with pytest.raises(UserError, match="100 subwords are too few"):
        SubwordTokenizer.fit(["a"], 100)
    with pytest.raises(UserError, match="no text"):
        SubwordTokenizer.fit([" ", ""], 400)
    with pytest.raises(UserError) as told:
        SubwordTokenizer.fit(["".join(map(chr, range(ord("a"), ord("z"))))] * 9, 280)
    assert str(told.value) == (
        "vocabulary: 280 subwords do not fit the text: its letters alone take 294; give as many or more"
    )
    assert len(SubwordTokenizer.fit(["ab"], 5000)) < 300  # of little text there are fewer


def test_long_lines_are_learnt_from_too():
    made = SubwordTokenizer.fit(["short", "zeta quux " * 30_000, "x" * 9000], 400)
    assert made.knows("zetaqux")
