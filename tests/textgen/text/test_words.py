"""Running prose is split into words and reads as it was written once they are joined."""

import json
import random
import re
import time
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.paths import SHARED
from textgen.errors import UserError
from textgen.text.tokenizer import SPECIAL_TOKENS, UNK, ProseTokenizer, Tokenizer, WordTokenizer
from textgen.text.words import PARAGRAPH, PARAGRAPH_BREAK, split_prose, split_words, text_after

join_words = WordTokenizer([]).join

NOVELS = SHARED / "text" / "novels"

# Straight quotes, no line breaks: what split_prose takes apart and join_words puts together letter by letter.
PROSE = [
    "",
    "One sentence. Another one! A third? Yes; and: more, of it.",
    '"I am," he said. "You are not."',
    "'I am,' he said. 'You are not.'",
    "\"He told me 'never' twice,\" she said.",
    "\"He told me, 'Never.'\" She laughed.",
    "'He said \"so.\"' That was all.",
    "He went on, '\"Miss Alice! Come here!\"'",
    '"I thought—" She stopped.',
    '"You thought—"',
    "'You thought—'",
    '"And so," he began—"and so it went."',
    '("A bracket.") [And "another"] {and one more}',
    '"A paragraph whose quote stays open.',
    "a paragraph that closes one.\"",
    "Mr. and Mrs. Hall met Dr. Jekyll, J. S. Bach and St. Paul.",
    "He left at 5 p.m. She came at 3:30, with 1,000 men.",
    "It is I. He is in the U.S. They are not.",
    "It was so—and then—it was not.",
    "A well-known half -- spaced -- dash.",
    "Wait... what?... No.",
    "I don't, can't, won't and cannot; it's John's, we've said, I'd go, they'll see, you're late.",
    "DON'T SHOUT, IT'S JOHN'S!",
    "The dogs' ball, the boss's hat, James' coat.",
    "'Tis true, 'twas so. \"'Twas,\" he said; give 'em more'n that. How d'ye do?",
    "rock 'n' roll in the '90s, o'clock, ma'am, O'Brien",
    "I'm gonna, wanna go, gotta run, gimme, lemme.",
    "It costs $5, 50% more, &c. and so on, &c.",
    "café, Élise and Ignátovich, 犬 and 🙂",
    "One paragraph.\n\n\"Another,\" it said.\n\n'A third.'",
    "CHAPTER I.\n\nDown the Rabbit-Hole",
]  # fmt: skip


@pytest.mark.parametrize("text", PROSE)
def test_prose_reads_as_written_once_joined(text):
    assert join_words(split_prose(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"Hm," said he.', "`` Hm , '' said he ."),
        ("“Hm,” said he.", "`` Hm , '' said he ."),
        ("'Hm,' said he.", "` Hm , ' said he ."),
        ("‘Hm,’ said he.", "` Hm , ' said he ."),
        ("\"So 'never' it is\"", "`` So ` never ' it is ''"),
        ("“So ‘never.’”", "`` So ` never . ' ''"),
        ("‘So “never.”’", "` So `` never . '' '"),
        ('—"', "— ''"),
        ("what?—'", "what ? — '"),
        ('he—"she"', "he — `` she ''"),
        ("he--she", "he — she"),
        ("he---she --- it", "he — she — it"),
        ("he -- she", "he -- she"),
        ("“He”—‘she’―it", "`` He '' — ` she ' — it"),
        ("_He_ was __here__, a_b", "He was here , a_b"),
        ('_"He"_ was', "`` He '' was"),
        ("Wait…", "Wait ..."),
        ("Wait.... He", "Wait ... . He"),
        ("don't won’t", "do n't wo n't"),
        ("Tom's dogs' ball", "Tom 's dogs ' ball"),
        ("one\nline  and\tanother\u00a0one", "one line and another one"),
    ],
)
def test_quotes_dashes_and_italics_become_words_of_their_own(text, words):
    assert split_prose(text) == words.split()


# A prompt ends in the quote after which the model is to speak; a text, in the quote that ends it.
@pytest.mark.parametrize(
    ("text", "last"),
    [
        ('He said, "', "``"),
        ("He said, '", "`"),
        ('"', "``"),
        ("'", "`"),
        ("\"'", "`"),
        ('He said, "No."', "''"),
        ("He said, 'No.'", "'"),
        ("\"He said 'no'\"", "''"),
        ("'He said \"no\"'", "'"),
        ("the dogs'", "'"),
        ('"But—"', "''"),
        ("'But—'", "'"),
    ],
)
def test_a_quote_at_the_end_opens_only_behind_a_space(text, last):
    assert split_prose(text)[-1] == last
    assert join_words(split_prose(text)) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He came. She went.", 2),
        ("He came.", 1),
        ('He came." "She went."', 2),
        ('"He came." she said.', 2),
        ("He came.) She went.", 2),
        ("\"He 'came.'\" She went.", 2),
        ("He came. (She went.)", 2),
        ("He came. 'She went.'", 2),
        ('He came. "\'Twas late."', 2),
        ("He came.--And she went.", 2),
        ("It is I. He came.", 2),
        ("At 5 p.m. He came.", 2),
        ("He came.\n\nShe went.", 2),
        ("Mr. Hall, Mrs. Hall and Dr. Who came.", 1),
        ('"Mr. Hall (Capt. Hall) came."', 1),
        ("it came--Mr. Hall.", 1),
        ("J. S. Bach and (J. Doe) came.", 1),
        ("He came with Mr.", 1),
        ("He came... She went.", 1),
        ("no. 5 of e.g. this", 0),
        ("version 1.2.3 came", 0),
    ],
)
def test_sentence_ends_are_words_and_abbreviations_keep_theirs(text, sentences):
    assert split_prose(text).count(".") == sentences


@pytest.mark.parametrize("blank", ["\n\n", "\n \n", "\n\n\n\n", "  \n\t\n  ", "\n\n_\n\n"])
def test_blank_lines_are_one_paragraph_end(blank):
    assert split_prose(f"He came{blank}She went") == ["He", "came", PARAGRAPH, "She", "went"]
    assert split_prose(f"{blank}He came") == ["He", "came"]
    assert split_prose(f"He came.{blank}") == ["He", "came", ".", PARAGRAPH]


@pytest.mark.parametrize("text", ["", " ", "\n", "\n\n\n", "__", "_\n\n_", "\u00a0"])
def test_nothing_to_read_is_no_word(text):
    assert [word for word in split_prose(text) if word != PARAGRAPH] == []


@pytest.mark.parametrize(
    "piece", ["x", "犬", " ", "\n", "(", "'", '"', "_", "a_", "-", ".", ".—", "$", "a.", ",5"]
)
def test_long_texts_without_a_space_do_not_take_quadratic_time(piece):
    begin = time.process_time()
    split_prose("a" + 20_000 * piece + "b")
    assert time.process_time() - begin < 5  # quadratic: half a minute


@given(
    st.lists(st.sampled_from([*" \n.,'\"-—_(", "a", "Dr", "He", "n't", "“", "’", "…", "\n\n"]), max_size=25)
)
@settings(deadline=None, database=None, derandomize=True)
def test_splitting_any_prose_loses_no_letter_and_no_paragraph_part_way(pieces):
    text = "".join(pieces)
    words = split_prose(text)
    assert "".join(filter(str.isalpha, "".join(words))) == "".join(filter(str.isalpha, text))
    assert "" not in words
    assert (PARAGRAPH, PARAGRAPH) not in set(pairwise(words))


@given(
    st.lists(
        st.sampled_from(["He", "dog", "'s", "``", "''", "'", ".", "—", "(", PARAGRAPH, "n't"]), max_size=15
    )
)
@settings(deadline=None, database=None, derandomize=True)
def test_words_added_one_by_one_are_the_joined_text(words):
    text, previous = "", None
    for word in words:
        text += text_after(previous, word)
        previous = word
    assert text == join_words(words)


def plain(paragraph: str) -> str:
    """What is not kept of how a text was set: which quotes, line breaks, italics, and spaces around a dash."""
    for signs, sign in (("“”", '"'), ("‘’", "'"), ("…", "...")):
        paragraph = re.sub(f"[{signs}]", sign, paragraph)
    paragraph = re.sub(r"(?<=\S)--+|--+(?=\S)", "—", " ".join(paragraph.split()))
    return re.sub(r" ?— ?", "—", re.sub(r"(?<!\w)_+|_+(?!\w)", "", paragraph))


@pytest.mark.skipif(not NOVELS.exists(), reason="the novels are not beside the checkout")
def test_nearly_all_paragraphs_of_the_novels_read_as_written_once_joined():
    paragraphs = []
    for path in sorted(NOVELS.glob("*.txt")):
        found = [part for part in PARAGRAPH_BREAK.split(path.read_text(encoding="utf-8-sig")) if part.strip()]
        paragraphs += random.Random(0).sample(found, 60)
    kept = [join_words(split_prose(text)) == plain(text) for text in paragraphs]
    assert sum(kept) / len(kept) >= 0.99  # 0.9985 of 10,719 paragraphs; the rest has `..` `=>` and `''Tis`


def test_a_prose_vocabulary_is_the_most_frequent_words_with_their_case():
    texts = ["The dog. The dog?", "the dog.\n\nThe cat."]
    tokens = [".", "The", "dog", "\n\n", "?", "cat", "the"]
    assert ProseTokenizer.fit(texts).tokens[4:] == tokens
    assert ProseTokenizer.fit(texts[::-1]).tokens[4:] == tokens
    for size in range(1, len(tokens) + 2):
        assert ProseTokenizer.fit(texts, max_size=size).tokens[4:] == tokens[:size]
    assert set(ProseTokenizer.fit(texts, min_count=2).tokens[4:]) == {"The", "dog", "."}
    assert ProseTokenizer.fit(texts, min_count=9).tokens == list(SPECIAL_TOKENS)


@pytest.mark.parametrize("text", PROSE)
def test_prose_round_trips_through_ids(text):
    tokenizer = ProseTokenizer.fit([text])
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert min(ids, default=4) >= len(SPECIAL_TOKENS)


def test_a_paragraph_end_is_an_ordinary_word_and_none_where_no_text_has_one():
    tokenizer = ProseTokenizer.fit(["One.\n\nTwo."])
    assert tokenizer.break_token == PARAGRAPH
    assert tokenizer.ids[PARAGRAPH] >= len(SPECIAL_TOKENS)
    assert tokenizer.decode(tokenizer.encode("Two.\n \n\nOne.")) == "Two.\n\nOne."
    assert ProseTokenizer.fit(["One. Two."]).encode("One.\n\nTwo.")[2] == UNK


def test_words_beyond_the_vocabulary_are_unknown_also_in_another_case():
    tokenizer = ProseTokenizer.fit(["The dog"])
    assert tokenizer.encode("the Dog dog") == [UNK, UNK, tokenizer.ids["dog"]]


@given(
    st.lists(st.sampled_from(["a", "He. ", "_", "\n", " ", "\n\n", '"', "'", "--"]), max_size=20),
    st.integers(1, 9),
)
@settings(deadline=None, database=None, derandomize=True)
def test_a_long_text_in_parts_has_the_words_of_the_whole(pieces, size):
    text, tokenizer = "".join(pieces), ProseTokenizer([])
    with mock.patch("textgen.text.tokenizer._CHUNK", size):
        parts = list(tokenizer.chunks(text))
    assert "".join(parts) == text
    assert [word for part in parts for word in tokenizer.split(part)] == tokenizer.split(text)


def test_a_prose_vocabulary_survives_json():
    tokenizer = ProseTokenizer.fit(PROSE)
    data = json.loads(json.dumps(tokenizer.to_json()))
    assert sorted(data) == ["kind", "tokens"]
    again = Tokenizer.from_json(data)
    assert type(again) is ProseTokenizer
    assert again == tokenizer
    assert again != WordTokenizer(tokenizer.tokens[4:], lowercase=False)
    assert all(again.encode(text) == tokenizer.encode(text) for text in PROSE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("prose", {"lowercase": True}),
        ("prose", {"punctuation": True}),
        ("prose", {"merges": []}),
        ("word", {"merges": []}),
        ("char", {"lowercase": True}),
        ("char", {"self": 1}),
    ],
)
def test_unknown_options_of_a_vocabulary_are_refused_by_name(kind, options):
    with pytest.raises(
        UserError, match=f"vocabulary: unknown options for kind {kind}: {next(iter(options))}"
    ):
        Tokenizer.from_json({"kind": kind, "tokens": ["a"], **options})


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog .", "a dog ."),
        ("A dog runs. It barks.", "a dog runs. it barks ."),
        ("A dog\n\nruns", "a dog runs"),
        ("“A” dog", "“a” dog"),
        ('A "dog" runs', "a `` dog '' runs"),
        ("A 'dog' runs", "a 'dog ' runs"),
        ("A dog--a cat", "a dog -- a cat"),
        ("A _dog_", "a _dog_"),
        ("It's a dog's", "it 's a dog 's"),
    ],
)
def test_captions_are_split_by_the_treebank_alone(caption, words):
    assert split_words(caption) == WordTokenizer([]).split(caption) == words.split()
