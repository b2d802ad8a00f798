"""Text survives the way to ids and back, and special tokens never come out."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, CharTokenizer, Tokenizer, WordTokenizer
from textgen.text.words import PUNCTUATION, split_words

join_words = WordTokenizer([]).join

# Written English that the Treebank rules take apart and join_words puts together again.
ENGLISH = [
    "I don't know.",
    "DON'T SHOUT, it's JOHN'S!",
    "I'd say I'm sure I'll see we've won and you're late.",
    'She said, "Hello there."',
    '"a" and "b"',
    "it's \"fine\", isn't it?",
    "a dog (brown) runs [fast]; ok?",
    "{x} is: y",
    '("quoted") "(bracketed)"',
    "Wait... what?!",
    "Wait...",
    "the dog's ball",
    "the dogs' ball",
    "a 'quoted' word",
    "it costs $5 (or $6), 50% off",
    "3:30, 1,000.",
    "one -- two & three",
    "e.g. this",
    "café, naïve, 犬 and 🙂",
    "“curly” quotes don’t split",
    "",
]


@pytest.mark.parametrize("text", ENGLISH)
def test_split_words_read_as_written_english_once_joined(text):
    assert join_words(split_words(text, lowercase=False)) == text


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["do", "n't"], "don't"),
        (["a", "dog", "'s", "ball"], "a dog's ball"),
        (["two", "dogs", "'", "balls"], "two dogs' balls"),
        (["a", ",", "b"], "a, b"),
        (["(", "a", ")"], "(a)"),
        (["(", "(", "a", ")", ")"], "((a))"),
        (["``", "a", "''"], '"a"'),
        (["``", "a", ",", "''", "he", "said"], '"a," he said'),
        (["``", "never", "closed"], '"never closed'),
        (["never", "opened", "''"], 'never opened"'),
        (["wait", "..."], "wait..."),
        ([","], ","),
        (["a"], "a"),
        ([], ""),
    ],
)
def test_words_are_joined_as_written_english(pieces, text):
    assert join_words(pieces) == text


@given(
    st.lists(
        st.sampled_from(["``", "''", "'", "'s", "n't", "(", ")", "$", "...", ",", "a", "dog"]), max_size=9
    )
)
@settings(deadline=None, database=None, derandomize=True)
def test_joining_any_pieces_loses_no_letter(pieces):
    written = "".join(pieces).replace("``", '"').replace("''", '"')
    joined = join_words(pieces)
    assert joined.replace(" ", "").replace('"', "").replace("'", "") == written.replace('"', "").replace(
        "'", ""
    )


@given(st.text(max_size=40))
@settings(deadline=None, database=None, derandomize=True)
def test_characters_round_trip_exactly(text):
    tokenizer = CharTokenizer.fit([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["NUL\0", "\ufeffBOM", "a\r\nb", "👩‍👩‍👧", "cafe\u0301", "\ud7ff", "<pad><eos>"]
)
def test_odd_characters_round_trip_exactly(text):
    tokenizer = CharTokenizer.fit([text])
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert min(ids) >= len(SPECIAL_TOKENS)


@pytest.mark.parametrize("text", ENGLISH)
def test_words_round_trip(text):
    tokenizer = WordTokenizer.fit([text], lowercase=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    folded = WordTokenizer.fit([text])
    assert folded.decode(folded.encode(text)) == text.lower()


@pytest.mark.parametrize(
    "tokenizer",
    [
        CharTokenizer.fit(["hello, wörld\n🙂"]),
        CharTokenizer([]),
        WordTokenizer.fit(['A dog\'s "ball".', "two dogs"]),
        WordTokenizer.fit(["A dog's ball."], lowercase=False),
        WordTokenizer.fit(["A dog's ball."], punctuation=False),
        WordTokenizer([]),
    ],
)
def test_json_round_trip_keeps_ids_and_rules(tokenizer):
    again = Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again == tokenizer
    assert type(again) is type(tokenizer)
    text = 'A dog\'s "BALL", wörld?'
    assert again.encode(text) == tokenizer.encode(text)
    assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_tokenizers_of_other_words_or_rules_are_not_equal():
    assert WordTokenizer(["a"]) != WordTokenizer(["b"])
    assert WordTokenizer(["a"]) != WordTokenizer(["a"], lowercase=False)
    assert WordTokenizer(["a"]) != CharTokenizer(["a"])
    assert WordTokenizer(["a"]) != "a"


@pytest.mark.parametrize("tokenizer", [CharTokenizer(["a", "b"]), WordTokenizer(["a", "b"])])
def test_special_tokens_are_never_decoded(tokenizer):
    a, b = tokenizer.ids["a"], tokenizer.ids["b"]
    plain = tokenizer.decode([a, b])
    assert tokenizer.decode([BOS, a, UNK, b, EOS, PAD, PAD]) == plain
    assert tokenizer.decode([PAD, BOS, EOS, UNK]) == ""
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("cls", [CharTokenizer, WordTokenizer])
def test_the_names_of_special_tokens_in_a_text_are_ordinary_text(cls):
    text = " ".join(SPECIAL_TOKENS)
    tokenizer = cls.fit([text])
    assert tokenizer.tokens[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert min(tokenizer.encode(text)) >= len(SPECIAL_TOKENS)


def test_unknown_pieces_become_unk_and_known_ones_keep_their_place():
    words = WordTokenizer.fit(["a dog"])
    assert words.encode("a zebra dog") == [words.ids["a"], UNK, words.ids["dog"]]
    chars = CharTokenizer.fit(["ab"])
    assert chars.encode("azb") == [chars.ids["a"], UNK, chars.ids["b"]]


@pytest.mark.parametrize("cls", [CharTokenizer, WordTokenizer])
@pytest.mark.parametrize("tokens", [["a", "b", "a"], ["<eos>"]])
def test_a_vocabulary_with_a_token_twice_is_refused_by_name(cls, tokens):
    with pytest.raises(UserError, match=f"vocabulary: '{tokens[-1]}' is in it twice"):
        cls(tokens)


@pytest.mark.parametrize(
    "data", [{"kind": "bpe", "tokens": []}, {"kind": ["word"], "tokens": []}, {"tokens": []}, {}, [], None]
)
def test_an_unknown_kind_is_refused_and_the_known_are_listed(data):
    with pytest.raises(UserError, match=r"vocabulary: unknown kind .*known: char, word"):
        Tokenizer.from_json(data)


@pytest.mark.parametrize("tokens", [None, "abc", {"a": 0}, [1], ["a", None], [["a"]]], ids=str)
def test_a_damaged_list_of_tokens_is_refused_by_name(tokens):
    with pytest.raises(UserError, match="vocabulary: tokens must be a list of strings"):
        Tokenizer.from_json({"kind": "char", "tokens": tokens})


def test_the_bare_tokenizer_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Tokenizer(["a"])


@pytest.mark.parametrize("cls", [CharTokenizer, WordTokenizer])
@pytest.mark.parametrize("corpus", [[], [""], ["", ""]])
def test_an_empty_corpus_gives_only_special_tokens(cls, corpus):
    tokenizer = cls.fit(corpus)
    assert tokenizer.tokens == list(SPECIAL_TOKENS)
    assert len(tokenizer) == len(SPECIAL_TOKENS)
    assert tokenizer.encode("") == []
    assert set(tokenizer.encode("x")) == {UNK}


@pytest.mark.parametrize(("min_count", "kept"), [(1, "abc"), (2, "ab"), (3, "a"), (4, "")])
def test_pieces_rarer_than_min_count_are_left_out(min_count, kept):
    assert CharTokenizer.fit(["aab", "abc"], min_count).tokens[4:] == list(kept)
    assert WordTokenizer.fit(["a a b", "a b c"], min_count).tokens[4:] == list(kept)


def test_the_order_of_ids_does_not_depend_on_the_order_of_texts():
    texts = ["b b c", "a c d", "é B"]
    for cls in (CharTokenizer, WordTokenizer):
        assert cls.fit(texts) == cls.fit(texts[::-1]) == cls.fit(iter(texts))
    assert WordTokenizer.fit(texts, lowercase=False).tokens[4:] == ["b", "c", "B", "a", "d", "é"]
    assert CharTokenizer.fit(texts).tokens[4:] == [" ", "B", "a", "b", "c", "d", "é"]


def test_composed_and_decomposed_letters_are_one_word():
    tokenizer = WordTokenizer.fit(["caf\u00e9", "cafe\u0301"])
    assert tokenizer.tokens[4:] == ["caf\u00e9"]
    assert tokenizer.encode("CAFE\u0301") == tokenizer.encode("caf\u00e9") == [4]


def test_rules_of_case_and_punctuation():
    assert WordTokenizer.fit(["A Dog, a dog."]).split("A, Dog!") == ["a", ",", "dog", "!"]
    assert WordTokenizer([], lowercase=False).split("A Dog") == ["A", "Dog"]
    assert WordTokenizer([], punctuation=False).split('A "Dog", isn\'t it?') == [
        "a",
        "dog",
        "is",
        "n't",
        "it",
    ]
    assert not PUNCTUATION & set(split_words("a -- b ... `c', d; e: f!", punctuation=False))
