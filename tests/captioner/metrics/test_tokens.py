"""Captions are cut into the very tokens of coco-caption's Java tokeniser, asked wherever it is installed."""

import csv
import random
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.metrics.tokens import PUNCTUATION, tokenize
from tests.helpers.paths import SHARED

FLICKR8K = SHARED / "flickr8k" / "captions.txt"

# A caption and Java's tokens of it, spaces between them.
GOLDEN = [
    ("A man and a dog .", "a man and a dog"),
    ("Two dogs, one black, run.", "two dogs one black run"),
    (
        "I don't know, it's John's; they've we'll you're I'd isn't",
        "i do n't know it 's john 's they 've we 'll you 're i 'd is n't",
    ),
    (
        "He cannot, she's gonna, I wanna gotta gimme lemme",
        "he can not she 's gon na i wan na got ta gim me lem me",
    ),
    (
        "'Tis 'twas 'em 'til 'cause 'n' rock 'n' roll in the '90s and '08",
        "'t is 't was 'em 'til 'cause 'n' rock 'n' roll in the '90s and '08",
    ),
    (
        "o'clock O'Brien d'Artagnan ma'am y'all c'mon nor'easter ol' dogs' 'hi'",
        "o'clock o'brien d'artagnan ma'am y' all c'mon nor'easter ol' dogs hi",
    ),
    ("a shop in D.C.", "a shop in d.c."),
    ("in D.C. a dog", "in d.c. a dog"),
    ("The U.S. The U.S.A. e.g. Ph.D. a.k.a. 5 p.m.", "the u.s. the u.s.a. e.g. ph.d. a.k.a. 5 p.m."),
    ("Mr. and Mrs. Hall vs. Dr. Jekyll Jr.", "mr. and mrs. hall vs. dr. jekyll jr."),
    ("Calif. in Mass. and etc.", "calif. in mass. and etc."),
    ("I. The end of J. S. Bach, v. fast", "i the end of j. s. bach v. fast"),
    ("no. 5, fig. 3, No.1 and no. way", "no. 5 fig. 3 no. 1 and no way"),
    ("co. ltd sino-U.S u.s.-u.k. ties", "co. ltd sino-u.s u.s.-u.k. ties"),
    ("1,000.50 men, .5 -5 +5 3:30pm 12:45", "1,000.50 men .5 -5 +5 3:30 pm 12:45"),
    ("1/2 of 1 1/2, 3-1/2, ½ and ⅛", "1/2 of 1\xa01/2 3-1/2 1/2 and ⅛"),
    ("12/25/2012, 12-25-12, 1st 2nd 90s 1990s 50% 100m", "12/25/2012 12-25-12 1st 2nd 90s 1990s 50 % 100m"),
    ("$5 US$5 £5 5¢ €5 ¥5 #5", "$ 5 us$ 5 # 5 5 cents $ 5 ¥ 5 # 5"),
    (
        "555-1234, (555) 123-4567, +1 555 1234, 555.123.4567",
        "555-1234 -lrb-555-rrb-\xa0123-4567 +1 555 1234 555.123.4567",
    ),
    (
        "well-known T-shirt twenty-one rock-n-roll jack-o'-lantern",
        "well-known t-shirt twenty-one rock-n-roll jack-o lantern",
    ),
    ("and/or he/she/it w/ w/o a/b/c/d", "and/or he/she/it w / w/o a/b/c / d"),
    (
        "AT&T, R&B, S&P-500, AT&amp;T &amp; a &lt; b &gt; c&nbsp;d caf&eacute;",
        "at&t r&b s&p-500 at&t & a < b > c d caf&eacute;",
    ),
    (
        "http://a.b/c?d=e, https://x.org. www.foo.com/bar foo.com, a@b.com",
        "http://a.b/c?d=e https://x.org www.foo.com/bar foo.com a@b.com",
    ),
    ("@user #tag # 1 @ _x_ a_b snake_case", "@user #tag # 1 @ _ x _ a_b snake_case"),
    ('<b>bold</b> <a href="x y"> <unk> <3', '<b> bold </b> <a\xa0href="x\xa0y"> <unk> < 3'),
    (":) ;-) =D :P (^_^) x_x ^_^", ":-rrb- ;--rrb- =d :p -lrb-^_^-rrb- x_x ^_^"),
    ("( a ) [ b ] { c }", "-lrb- a -rrb- -lsb- b -rsb- -lcb- c -rcb-"),
    (". .. ... .... . . . … ----- --- -- - – —", "-----"),
    ("!? wow!!! what?", "!? wow !!! what"),
    ("\"a\" “b” ‘c’ «d» ‹e› ``f''", "a b c d e f"),
    ("* ** \\* / \\/ a\\/b ~ ^ ", "* ** \\* / \\ / a\\/b ~ ^"),
    (" = + % §", "= + % §"),
    ("foo.txt a.py, c++ C# x.y", "foo.txt a.py c++ c# x.y"),
    (
        "naïve café, Ünïted — 犬と猫。 العربية ١٢٣ हिन्दी ไทย",
        "naïve café ünïted 犬と猫 。 العربية ١٢٣ हिन्दी ไทย",
    ),
    ("İstanbul ß ΣΑΣ ﬁ ǅ", "i\u0307stanbul ß σας ﬁ ǆ"),
    ("a😀b 👍🏽 ☀ ♥ © ™ °", "a b ☀ ♥ © ™ °"),
    ("\xad co\xadop e\u0301 a\u200bb a\xa0b a\u2003b \x01 \x7f\x00", "coop e\u0301 a b a b a b"),
    ("x² H₂O ① Ⅷ Ⓐ ⁻¹", "x ² h ₂ o ① ⓐ ⁻¹"),
    ("RIF=ding 6'2\" 5'10", "rif = ding 6 2 5 '10"),
    ("grey colour theatre", "grey colour theatre"),
    ("a\nb\tc\rd\u2028e", "a b c d e"),
    ("5.; 5., a.; b-c., A&B.,", "5. 5. a. b-c. a&b."),
    ("", ""),
    ("   ", ""),
    (".", ""),
]

# To be glued at random. A tag whose quote stays open would reach into the next caption, and beside digits and
# hyphens Java ends Greek words in ς elsewhere than Python does.
WORDS = """
    a dog The man I It A. J. D.C. U.S. U.S.A. e.g. p.m. Ph.D. Mr. Mrs Dr. Jr. Co. co. Ltd. etc. vs. No. no.
    Fig. Calif. Mass. Ill. u.s.-u.k. non-U.S. K.B. don't can't n't 's 'S 'll I'm o'clock ma'am 'em 'tis 'twas
    cannot gonna Wanna lemme 'n' d'Artagnan O'Brien J'accuse y'all c'mon cont'd nor'easter e'er '90s '90 dogs'
    don’t ‘a ’ ” “ ‘ „ « » ‹ › ` `` '' ' " &quot; &apos; &amp; &lt; &gt; &nbsp; &mdash; &eacute; &#39; & AT&T
    R&B S&P-500 AT&amp;T 1 2 8 12 100 1,000 3.14 .5 -5 +5 1/2 3/4 1-1/2 ½ ⅛ 12/25/2012 12-25-12 3:30 3:30pm
    1st 90s 10% $5 US$ £5 € ¢ ¥ # #1 #tag @user @ _ __ a_b a-b T-shirt x-ray pro- anti- and/or w/ / \\ \\/ \\*
    * ** ( ) [ ] { } < > << >> <b> </b> <br/> <unk> <3 :) :-) =D :/ 8) ^_^ (^_^) x_x . .. ... .... ..... … , ;
    : ! ?! ? - -- --- ----- – — ― http://a.b/c?d=e https://x.org. www.foo.com/a foo.com bar.org/x é.com
    x@y.com a@b foo.txt b.c c++ C# 555-1234 (555) 123-4567 555 11.22.333.4444 é ü café e\u0301 \u0301 \u00ad
    co\u00adop ß İ ı ſ Ж привет 犬 日本語 العربية ١٢٣ ٫ हिन्दी ไทย 한국 ﬁ Ⓐ Ⅰ ① ² ₂ ⁺ ⁻¹ ⁄ 1⁄2 § © ™ °C × ¿ 。 、 「 ！
    😀 👍🏽 ☀ ❤️ \u200b \u200d \ufeff \x01 \x7f % ^ ~ | = + 5'10" 6ft 4x4 grey
"""
PIECES = [*WORDS.split(), "1 1/2", "\u00a0", "\u2003", "\t", "\u2028"]


@pytest.fixture(scope="module")
def java():
    """Lists of tokens as pycocoevalcap gets them from Java."""
    wrapper = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("no Java here")

    def tokens(captions: list[str]) -> list[list[str]]:
        # Other line ends would shift its lines; a caption in between keeps the next one from being looked at.
        lines = [re.sub("[\r\v\f\x85\u2028\u2029]", " ", caption) for caption in captions]
        pairs = {number: [{"caption": line}, {"caption": "a"}] for number, line in enumerate(lines)}
        found = wrapper.PTBTokenizer().tokenize(pairs)
        return [[token for token in found[number][0].split(" ") if token] for number in pairs]

    return tokens


def differences(captions: list[str], expected: list[list[str]]) -> list[tuple]:
    return [
        (caption, tokens, tokenize(caption))
        for caption, tokens in zip(captions, expected, strict=True)
        if tokenize(caption) != tokens
    ]


@pytest.mark.parametrize(("caption", "tokens"), GOLDEN)
def test_tokens_of(caption, tokens):
    assert tokenize(caption) == (tokens.split(" ") if tokens else [])


def test_the_golden_tokens_are_javas(java):
    captions = [caption for caption, _ in GOLDEN]
    assert java(captions) == [tokens.split(" ") if tokens else [] for _, tokens in GOLDEN]


def test_any_pieces_give_javas_tokens(java):
    chance = random.Random(0)
    captions = [
        "".join(chance.choice(PIECES) + chance.choice(["", "", " "]) for _ in range(chance.randint(1, 6)))
        for _ in range(5000)
    ]
    assert differences(captions, java(captions)) == []


@pytest.mark.skipif(not FLICKR8K.exists(), reason="no Flickr8k here")
def test_flickr8k_has_javas_tokens(java):
    with FLICKR8K.open(encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    assert len(captions) == 35000
    assert differences(captions, java(captions)) == []


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_has_small_tokens_without_spaces(text):
    for token in tokenize(text):
        assert token
        assert " " not in token
        assert token == token.lower()
        assert token not in PUNCTUATION
