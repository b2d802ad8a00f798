"""A prompt may hold any character: what the model does not know is read as its nearest, or named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.errors import UserError
from textgen.text.prompt import read_prompt
from textgen.text.tokenizer import BOS, UNK, CharTokenizer, ProseTokenizer, WordTokenizer

PLAIN = CharTokenizer.fit(['ROMEO: a rose, by any other name. O Beauty!? (-\'-) "so" it-is\n'])
LOWER = CharTokenizer.fit(["abcdefghijklmnopqrstuvwxyz .,'\n"])
STORY = ProseTokenizer.fit(
    ['Alice saw the King, and the cafe. "OFF with it!" he said -- "Mr. Hall..."\n\nAlice didn\'t go.']
)
PROSE = [
    "Alice saw it.",
    'He said, "Off!"',
    "the zebra",
    "naïve 犬 🙂",
    "don’t",
    "a\n\nb\r\n\r\nc",
    "Mr. Hall",
]


@pytest.mark.parametrize("text", [".", " .", "..", ". ."])
@pytest.mark.parametrize("tokenizer", [PLAIN, LOWER, STORY])
def test_a_full_stop_alone_is_a_prompt(text, tokenizer):
    assert read_prompt(text, tokenizer).text == text


def test_gaps_are_named_where_words_are_split_without_them():
    assert read_prompt("Alice ___ the", STORY).unknown == ("___",)


def read(text, tokenizer):
    """The pieces that the model reads."""
    return [tokenizer.tokens[index] for index in read_prompt(text, tokenizer).ids]


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("“so”", '"so"'),
        ("„so“ «so» so″", '"so" "so" so"'),
        ("‘so’", "'so'"),
        ("‚so` so´ so′", "'so' so' so'"),
        ("it–is it‑is it‐is it−is it‒is", "it-is it-is it-is it-is it-is"),
        ("it—is", "it--is"),
        ("it―is", "it--is"),
        ("so…", "so..."),
        ("so\tso", "so so"),
        ("so\u00a0so", "so so"),
        ("[so]", "(so)"),
        ("nàme, ñame, näme, nâme", "name, name, name, name"),
        ("na\u0300me", "name"),
        ("Ŕose", "Rose"),
        ("ﬁ", "fi"),
        ("ｒｏｓｅ", "rose"),
        ("x²", "x2"),
        ("…?", "...?"),
    ],
)
def test_a_character_unknown_to_the_model_is_read_as_its_plain_equivalent(typed, known):
    tokenizer = CharTokenizer.fit([known])
    prompt = read_prompt(typed, tokenizer)
    assert tokenizer.decode(prompt.ids) == known
    assert prompt.unknown == ()
    assert prompt.replaced
    assert prompt.text == typed


@pytest.mark.parametrize(
    "text", ["“so”", "it—is…", "[so]\t", "nàme", "na\u0300me", "ROMEO", "ﬁ", "🙂", "x²\u00a0"]
)
def test_what_the_model_knows_is_read_as_typed(text):
    plain = '"so" it--is... (so) name romeo fi x2'
    tokenizer = CharTokenizer.fit([text, plain])
    prompt = read_prompt(text, tokenizer)
    assert tokenizer.decode(prompt.ids) == text
    assert prompt.replaced == prompt.unknown == prompt.warnings == ()


@pytest.mark.parametrize(
    ("tokenizer", "typed", "known"),
    [
        (LOWER, "ROMEO", "romeo"),
        (LOWER, "É", "e"),
        (LOWER, "Ñ-", "n"),
        (CharTokenizer(["E", "e", "é"]), "É", "é"),
        (LOWER, "“So”", "'so'"),
        (CharTokenizer(["R", "O", "M", "é"]), "romÉ", "ROMé"),
        (CharTokenizer(["-", "'"]), "—“", "--'"),
        (CharTokenizer(["é"]), "e\u0301", "é"),
        (CharTokenizer(["e", "\u0301"]), "e\u0301", "e\u0301"),
    ],
)
def test_another_case_or_sign_is_taken_where_the_nearest_is_unknown_too(tokenizer, typed, known):
    assert "".join(read(typed, tokenizer)) == known


@pytest.mark.parametrize(
    ("text", "known", "unknown"),
    [
        ("a 🙂 rose", "a  rose", ("🙂",)),
        ("🙂", "", ("🙂",)),
        ("犬a犬", "a", ("犬", "犬")),
        ("👩‍👩‍👧", "", ("👩", "\u200d", "👩", "\u200d", "👧")),
        ("a\0b", "ab", ("\0",)),
        ("\u0301", "", ("\u0301",)),
        ("½", "", ("½",)),
        ("a\u2028b", "ab", ("\u2028",)),
    ],
)
def test_characters_without_an_equivalent_are_left_out_and_named(text, known, unknown):
    prompt = read_prompt(text, PLAIN)
    assert PLAIN.decode(prompt.ids) == known
    assert UNK not in prompt.ids
    assert prompt.unknown == unknown
    assert prompt.text == text


@pytest.mark.parametrize(
    ("typed", "pieces"),
    [
        ("alice", ["Alice"]),
        ("ALICE", ["Alice"]),
        ("KING king King", ["King", "King", "King"]),
        ("THE", ["the"]),
        ("off", ["OFF"]),
        ("café", ["cafe"]),
        ("Café", ["cafe"]),
        ("cafe\u0301", ["cafe"]),
        ("“off’", ["``", "OFF", "<unk>"]),
        ("—", ["--"]),
        ("the…", ["the", "..."]),
        ("DIDN'T", ["did", "n't"]),
        ("didn’t", ["did", "n't"]),
        ("the zebra.", ["the", "<unk>", "."]),
        ("犬 🙂", ["<unk>", "<unk>"]),
    ],
)
def test_a_word_is_read_in_another_case_or_without_accents_else_as_unknown(typed, pieces):
    assert read(typed, STORY) == pieces
    assert read_prompt(typed, STORY).text == typed


def test_the_case_that_was_typed_comes_first():
    tokenizer = ProseTokenizer.fit(["march March MARCH"])
    for word in ("march", "March", "MARCH"):
        assert read(word, tokenizer) == [word]
    assert read("mArch", tokenizer) == ["march"]


def test_a_vocabulary_without_case_folds_the_prompt_and_says_nothing():
    prompt = read_prompt("A DOG", WordTokenizer.fit(["a dog"]))
    assert (len(prompt.ids), prompt.warnings) == (2, ())


def test_warnings_name_each_piece_once_and_as_typed():
    prompt = read_prompt("“a” “rose” 犬 🙂 犬", PLAIN)
    assert prompt.warnings == (
        "the model does not know all of the prompt; it reads '“' as '\"', '”' as '\"'",
        "the model does not know '犬', '🙂'",
    )
    assert read_prompt("zebra Zebra zebra", STORY).warnings == ("the model does not know 'zebra', 'Zebra'",)
    assert read_prompt("alice ALICE alice", STORY).warnings == (
        "the model does not know all of the prompt; it reads 'alice' as 'Alice', 'ALICE' as 'Alice'",
    )


@pytest.mark.parametrize("text", ['"never"', "“never”"])
def test_a_quote_is_named_as_a_quote(text):
    prompt = read_prompt(text, ProseTokenizer.fit(["never"]))
    assert prompt.unknown == ('"', '"')
    assert prompt.warnings == ("the model does not know '\"'",)


@pytest.mark.parametrize("tokenizer", [PLAIN, STORY, WordTokenizer([]), CharTokenizer([])])
@pytest.mark.parametrize("text", [*PROSE, "\r", "\u2028\u2029\x85\x0b", "🙂\n\n犬\n", "\0\x1b[31m"])
def test_each_warning_is_one_line_without_control_characters(tokenizer, text):
    for warning in read_prompt(text, tokenizer).warnings:
        assert warning.isprintable()


@pytest.mark.parametrize("tokenizer", [PLAIN, STORY])
def test_windows_line_ends_are_read_as_line_ends_and_shown_as_typed(tokenizer):
    typed = "a\r\n\r\nrose\r\n"
    prompt = read_prompt(typed, tokenizer)
    assert prompt.ids == read_prompt("a\n\nrose\n", tokenizer).ids
    assert prompt.text == typed
    assert "\r" not in "".join(prompt.unknown)


@pytest.mark.parametrize("tokenizer", [PLAIN, STORY, WordTokenizer([]), CharTokenizer([])])
def test_an_empty_prompt_is_read_as_nothing(tokenizer):
    prompt = read_prompt("", tokenizer)
    assert (prompt.text, prompt.ids, prompt.last, prompt.warnings) == ("", (), None, ())


@pytest.mark.parametrize("tokenizer", [PLAIN, STORY])
@pytest.mark.parametrize(("text", "place"), [("\ud83d", 1), ("a rose \udcff, a", 8), ("🙂\ude00", 2)])
def test_half_a_character_is_refused_with_its_place(tokenizer, text, place):
    with pytest.raises(UserError, match=f"^prompt: character {place} is not UTF-8$"):
        read_prompt(text, tokenizer)


@pytest.mark.parametrize(
    ("text", "tokenizer", "last"),
    [
        ("a rose", PLAIN, "e"),
        ("a rose\n", PLAIN, "\n"),
        ("so—", PLAIN, "-"),
        ("rose🙂", PLAIN, "e"),
        ("🙂", PLAIN, None),
        ("  ", STORY, None),
        ("saw the ", STORY, "the"),
        ("ALICE", STORY, "Alice"),
        ("Alice.", STORY, "."),
        ('he said "', STORY, "``"),
        ("Alice\n\n", STORY, "\n\n"),
        ("a zebra", STORY, "<unk>"),
    ],
)
def test_the_last_piece_is_the_last_one_read(text, tokenizer, last):
    assert read_prompt(text, tokenizer).last == last


@pytest.mark.parametrize("text", ["<bos>", "<pad><eos>", "<unk>"])
def test_the_names_of_special_tokens_are_ordinary_text(text):
    tokenizer = CharTokenizer.fit([text])
    assert tokenizer.decode(read_prompt(text, tokenizer).ids) == text
    assert BOS not in read_prompt(text, STORY).ids


@given(st.text(max_size=30))
@settings(deadline=None, database=None, derandomize=True)
def test_any_prompt_is_read_without_special_tokens_and_kept_as_typed(text):
    for tokenizer in (PLAIN, LOWER, STORY):
        prompt = read_prompt(text, tokenizer)
        assert prompt.text == text
        assert all(index >= (4 if tokenizer is not STORY else UNK) for index in prompt.ids)
        assert all(warning.isprintable() for warning in prompt.warnings)
        if not prompt.warnings:
            assert list(prompt.ids) == tokenizer.encode(text.replace("\r\n", "\n"))


def test_a_prompt_may_end_in_an_abbreviation():
    tokenizer = ProseTokenizer(["It", "was", "Mr.", "."])
    for text in ("It was Mr.", "It was Mr. "):
        found = read_prompt(text, tokenizer)
        assert tokenizer.decode(found.ids) == "It was Mr." and found.warnings == ()
        assert len(found.ids) == 3
