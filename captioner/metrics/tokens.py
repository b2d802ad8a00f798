"""coco-caption's tokens of a caption, without Java.

coco-caption (pycocoevalcap) pipes captions through `PTBTokenizer -preserveLines -lowerCase` of Stanford
CoreNLP 3.4.1 and drops punctuation. That tokeniser, PTBLexer, is a lexer: at every place the rule with the
longest match wins, on a tie the first one, and some look further than the token they cut off. `_RULES` gives
the same tokens as Java writes them: `(` is `-lrb-`, `£` is `#`, a space inside `1 1/2` is a no-break space.

Java reads all captions as one text. This is what it makes of one before a caption that starts with a small
letter, as generated ones do; before another, a last `J.` can lose its full stop and a last `no.` keep it.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable
from functools import lru_cache

from textgen.text.words import PUNCTUATION

TOKENISERS = {"ptb": "ptb-3.4.1", "char": "char", "none": "none"}
"""Ways to split captions into tokens -> how a signature calls them: coco-caption's words, characters without white space
as sacrebleu's `char`, what stands between white space."""


def _ranges(text: str) -> list[int]:
    """Borders of ranges in hexadecimal: a character is inside if an odd number of them is not above it."""
    ranges = [part.partition("-") for part in text.split()]
    return [border for first, _, last in ranges for border in (int(first, 16), int(last or first, 16) + 1)]


# Letters younger than the lexer are unknown to it.
_YOUNG = _ranges(
    "37f-383 528-530 560 588 5ef 860-89f 8a1 8ad-8ff 978 980 9fc-a00 af9-b04 c34 c5a-c5f c80-c84 cdd d04 "
    "d54-d5f de6-def e86 e89 e8c e8e-e93 e98 ea0 ea8-ea9 eac 13f5-1400 16f1-16ff 170d 171f 1878-187f "
    "191d-1945 19b0-19c0 19c8-19cf 1b4c-1b4f 1c80-1ce8 1cf2-1cf4 1cfa-1cff 2c2f 2c5f 312e-3130 31bb-31ef "
    "4db6-4dff 9fcd-9fff a698-a69f a78f a794-a79f a7ab-a7f7 a8fd-a8ff a9e0-a9ff aa7e-aa7f ab30-abbf"
)
_MARKS = _ranges(
    "2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-36f 375 378-379 384-385 3f6 483-487 55a-55f 591-5bd 5bf 5c1-5c2 "
    "5c4-5c5 5c7 615-61a 64b-65e 670 6d6-6e4 6e7-6ed 6fd-6fe 70f 711 730-74c 7a6-7b0 7eb-7f3 900-903 93c "
    "93e-94e 951-955 962-963 981-983 9bc 9be-9c4 9c7-9c8 9cb-9cd 9d7 9e2-9e3 a01-a03 a3c a3e-a4f a81-a83 "
    "abc abe-acf b82 bbe-bc2 bc6-bc8 bca-bcd c01-c03 c3e-c56 d3e-d44 d46-d48 e31 e34-e3a e47-e4e eb1 "
    "eb4-ebc ec8-ecd"
)
_SYMBOLS = _ranges(
    "a1 a6-a9 ac ae-b1 b4 b6-b8 bf d7 f7 37e 387 589 5be 5c0 5c3 5c6 5f3-5f4 600-603 606-60a 60c 614 61b "
    "61e-61f 66a 66d 6d4 700-70d 7f6-7f8 964-965 e4f 1fbd 2016-2017 2020-2023 2030-2038 203b 203e-2042 "
    "207c-207e 208c-208e 2100-2101 2103-2106 2108-2109 2114 2116-2118 211e-2123 2125 2127 2129 212e "
    "213a-213b 2140-2144 214a-214d 214f 2190-2bff 3002 3012 30fb ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65"
)
# Each character is lexed as one that stands for all that the lexer does not tell apart.
_UNKNOWN, _LETTER, _MARK, _DIGIT, _SYMBOL = "\x01", "é", "\u0301", "٠", "§"
_ALIKE = {
    _LETTER: "\u1885\u1886",
    " ": "\n\r\v\f\x85\u2028\u2029",  # A caption is one line.
    "\u2000": "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u3000",
    "\u200b": "\0\u200b\u200e\u200f\ufeff",
    "–": "\x96\x97–—―",
    "‐": "\u058a‐\u2011",
    "’": "\x92’",
    "‘": "\x91‘‛",
    "“": "\x93\x94«»‚“”„‟‹›",
    "²": "²³¹⁰⁴⁵⁶⁷⁸⁹",
    "⁺": "⁺⁻₊₋",
    "₀": "₀₁₂₃₄₅₆₇₈₉",
    "½": "¼½¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞",
    "¢": "\x80¢£¤¥\u060b฿₠₤€￠￡￥￦",
    "٫": "٫٬",
}


class _Shadow(dict[int, str]):
    """Which character stands for which, found out when first asked."""

    def __missing__(self, code: int) -> str:
        return self.setdefault(code, self._find(chr(code), code))

    @staticmethod
    def _find(character: str, code: int) -> str:
        if 32 <= code < 127 or character in "\t\xa0\xad⁄…、ıİſ\u212a":
            return character
        if code > 0xFFFF or bisect(_YOUNG, code) % 2:
            return _UNKNOWN
        for borders, shade in (_MARKS, _MARK), (_SYMBOLS, _SYMBOL):
            if bisect(borders, code) % 2:
                return shade
        return _LETTER if character.isalpha() else _DIGIT if character.isdecimal() else _UNKNOWN


_SHADOW = _Shadow({ord(one): shade for shade, many in _ALIKE.items() for one in many})

_SIGNS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "&lt;": "<", "&gt;": ">"}
_SIGNS |= {"¢": "cents", "£": "#"} | dict.fromkeys("\x80¤₠€", "$")
_SIGNS |= {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}
_ROUND = str.maketrans({"(": "-LRB-", ")": "-RRB-"})
_QUOTES = {"‘": "`", "’": "'", "‹": "`", "›": "'", "“": "``", "”": "''", "«": "``", "»": "''"}
_QUOTES |= {'"': "''", "‛": "`", "\x91": "`", "\x92": "'", "\x93": "``", "\x94": "''"}
_LATEX = str.maketrans(_QUOTES)


def _drop(token: str) -> str:
    return ""


def _punctuation(token: str) -> str:
    return "--"


def _sign(token: str) -> str:
    return _SIGNS.get(token.lower(), token)


def _round(token: str) -> str:
    return token.translate(_ROUND)


def _quote(token: str) -> str:
    return token.replace("&apos;", "'").replace("&quot;", '"').translate(_LATEX)


def _word(token: str) -> str:
    """Without soft hyphens; one alone is written as a hyphen, which is punctuation."""
    return re.sub("&amp;", "&", token.replace("\xad", ""), flags=re.IGNORECASE)


_L = r"(?:[A-Za-zé\u0301\xadıİſ\u212a]|&[AEIOUaeiou](?i:acute|grave|uml);)"
_ALPHA = "[A-Za-zéıİſ\u212a]"
_D = "[0-9٠]"
_AN = rf"(?:{_ALPHA}|{_D})"
_SPACE = r"[ \t\xa0\u2000]"
_GAP = r"[ \t\n\xa0\u2000]"
_APOS = "(?:['’]|(?i:&apos;))"
_APOS_LIKE = "(?:['’‘`]|(?i:&apos;))"
_COMMA = "[,;:、]"
_CLITIC = rf"(?:{_APOS}(?:[msdMSD]|(?i:re|ve|ll))|[nN]{_APOS_LIKE}[tT])"

_WORD = rf"{_L}(?:{_L}|{_D})*(?:[.!?]{_L}(?:{_L}|{_D})*)*"
_TAG_NAME = r"[A-Za-z][A-Za-z0-9_:.-]*"
_TAG_VALUE = r"""(?: *= *(?:'[^']*'|"[^"]*"))"""
_TAG = rf"<(?:[!?][A-Za-z-][^>\n]*|{_TAG_NAME}(?: +{_TAG_NAME}{_TAG_VALUE}?)* */?|/{_TAG_NAME}) *>"
_AMPED = "[A-Z]+(?:(?:[+&]|(?i:&amp;))[A-Z]+)+"
_PARTICLE = rf"[dDoOlL]{_APOS_LIKE}"
_THING = rf"(?:{_PARTICLE}{_AN})?{_AN}+(?:[_‐-](?:{_PARTICLE}{_AN})?{_AN}+)*"
_NATIONS = r"(?i:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-(?:u\.k|u\.s\.s\.r))"
_INITIALS = rf"(?:{_NATIONS}|[A-Za-z](?:\.[A-Za-z])*)"
_HYPHENED = r"[A-Za-z0-9][A-Za-z0-9.,\xad]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9\xad]+))+"
_FILE_ENDS = (
    "bat|bmp|c|class|cgi|cpp|dll|docx?|exe|gif|gz|html?|h|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql"
    "|tar|txt|wav|xml|x|zip"
)
_FILE = rf"(?:{_L}|{_D})+(?:\.(?:{_L}|{_D})+)*\.(?i:{_FILE_ENDS})"
_BREAK = r" \t\n\"<>"
_URL_END = rf"[^{_BREAK}|.!?(){{}},-]"
_URL_PATH = rf"/[^{_BREAK}|()]+{_URL_END}"
_WWW = rf"(?i:www\.)(?:[^{_BREAK}|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}"
_HOST = rf"(?:[^{_BREAK}`'|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu)"
_MAIL_PART = rf"[^{_BREAK}|(){{}}.\xa0]+"
_MAIL_BOX = rf"(?:<|(?i:&lt;))?[a-zA-Z0-9][^{_BREAK}|(){{}}\xa0]*"
_MAIL = rf"{_MAIL_BOX}@(?:{_MAIL_PART}\.)*{_MAIL_PART}(?:>|(?i:&gt;))?"
_PHONE_START = r"(?:\([0-9]{2,3}\)[ \xa0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \xa0])?[0-9]{2,4}[- \xa0])"
_PHONE = (
    rf"{_PHONE_START}[0-9]{{3,4}}[- \xa0]?[0-9]{{3,5}}"
    r"|(?:\+\+?)?[0-9]{2,4}\.[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)
_FACE = (
    r"[\^x=~<>]\.\[\^[xX]=[^<]*<>]|[-^x=~<>']_[-^x=~<>']"
    r"|\((?:[-^x=~<>'][_.]?[-^x=~<>']|[\^x=~<>']-[\^x=~<>'`])\)"
)
_SLASHED = "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_APOS_WORD = (
    rf"[A-HJ-XZn]{_APOS_LIKE}{_ALPHA}{{2,}}|{_ALPHA}+[aeiouyAEIOUY]{_APOS_LIKE}[aeiouA-Z]{_ALPHA}*"
    rf"|{_APOS}[nN]{_APOS}?|[lLdDjJ]{_APOS}|(?i:dunkin|somethin|ol){_APOS}|{_APOS}(?i:em|till?|cause|[2-9]0s)"
    rf"|(?i:ev'ry|(?:li|nat)'l|c'mon|e'er|s'mores|nor'easter|o{_APOS_LIKE}o)"
)

# These keep their full stop; behind initials, the words that start a sentence end the one before.
_ABBREVIATION = (
    "(?:(?i:ala?|apr|ariz|assn|aug|bancorp|bhd|bldg|blvd|bros|calif|colo|conn|corp|cos?|ct|dak|dec|esq|est"
    "|etc|ext|feb|fla|fri|ga|inc|ind|intl|jan|jr|jul|jun|kans?|ky|ltd|mar|md|mich|minn|mont?|mo|neb|nev|nov"
    "|oct|okla|penn|plc|p?pt(?-i:[ey])s?|rd|rt|sept?|seq|sq|sr|sys|tel|tenn|thu|thurs|tues?|univ|va|vt|wed"
    r"|wisc?|wyo|(?:ed|ph)\.d)|A(?i:rk|z)|D(?i:el)|I(?i:ll)|L(?i:a)|M(?i:ass|iss)|O(?i:re)|P(?i:a)|T(?i:ex)"
    "|W(?i:ash))"
)
_TITLE = (
    "(?i:adj|adm|adv|alex|assoc|asst|attys?|ave|brig|capt|cf|cie|cmdr|col|comdr|cpl|dept|det|drs?|elec|ens"
    "|ft|gen|govs?|hon|insp|invt|jos|lieut|lt|maj|messrs|m(?-i:[ft])g|mlle|mme|mr|mrs|ms|msgr|mt|natl|pfc"
    "|ph|pres|profs?|pvt|reps?|rev|sens?|sfc|sgt|spc|ste?|supts?|treas|vs|wm)"
)
_NUMBERED = "(?i:art|bldg|ca|figs?|nos?|op|pp|prop)"
_STARTER = (
    "(?:A(?i:bout|ccording|dditionally|fter|n|s|t)?|B(?i:ut)|E(?i:arlier)|H(?i:ere?|er|owever|e)|I(?i:f|n|t)"
    r"|L(?i:ast)|M(?i:any|ore|r\.|s\.)|N(?i:ow)|O(?i:nce|ne|ther|ur)|S(?i:he|ince|o|ome|uch)"
    "|T(?i:hat|heir|hen|here|hese|hey|he|his)|W(?i:e|hat|hen|hile)|Y(?i:et|ou))"
)


# A token, what must follow it, how it is written. Inside a pattern, what can match more comes first.
_RULES: list[tuple[str, str, Callable[[str], str]]] = [
    (r"(?i:c\+\+|[cf]#|&(?:ht|tl|ur|lr|qc|ql|qr|odq|cdq|#[0-9]+);)|<<|>>", "", str),
    ("(?i:can)", "(?i:not)", str),
    ("(?i:gon|wan)", "(?i:na)", str),
    ("(?i:got)", "(?i:ta)", str),
    ("(?i:lem|gim)", "(?i:me)", str),
    ("'[tT]", "(?i:is|was)", str),
    (_TAG, "", str),
    ("(?i:&(?:md|mdash|ndash);)|–", "", _punctuation),
    (_WORD, rf"{_APOS}(?:[msdMSD]|(?i:re|ve|ll))", _word),
    (r"[A-Za-z\xad]*[A-MO-Za-mo-z]\xad*", rf"[nN]{_APOS_LIKE}[tT]", _word),
    (_WORD, "", _word),
    (_APOS_WORD, "", str),
    (rf"[yY]{_APOS}", _ALPHA, str),
    (rf"(?i:https?://)[^{_BREAK}|(){{}}]+{_URL_END}", "", str),
    (rf"{_WWW}{_URL_PATH}|{_WWW}", "", str),
    (rf"{_HOST}{_URL_PATH}|{_HOST}", "", str),
    (_MAIL, "", str),
    (rf"@[A-Za-z_][A-Za-z_0-9]*|#{_L}+", "", str),
    (_CLITIC, "[^A-Za-z]", _quote),
    ("'", r"[A-Za-z][^ \t\n\xa0]", _punctuation),
    (_CLITIC, "", _quote),
    (rf"{_D}{{1,2}}[/-]{_D}{{1,2}}[/-]{_D}{{2,4}}", "", str),
    (rf"[+-]?(?:{_D}*(?:[.:,\xad٫]{_D}+)+|{_D}+)", "", _word),
    (rf"(?:{_D}{{1,4}}[- \xa0])?{_D}{{1,4}}(?:\\?/|⁄){_D}{{1,4}}", "", str),
    (
        rf"(?i:&amp;|-[lr][rcs]b-|c\.d\.s|pro-|anti-|s(?:&|&amp;)(?:p-500|ls)|cap{_APOS}n|c{_APOS}est)",
        "",
        _word,
    ),
    (rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}", "", str),
    (r"[A-Z]*\$|#", "", str),
    (rf"{_ABBREVIATION}\.", rf"(?:{_GAP}{_TAG}|[\s\S][\s\S])", str),
    (r"(?i:co|pt[ey])\.", rf"{_SPACE}(?i:ltd|lim)", str),
    ("[A-Za-z]", rf"\.{_GAP}+(?:{_STARTER}|{_TAG}){_GAP}", str),
    (rf"(?:{_TITLE}|{_INITIALS}|(?i:cont'd))\.", "", str),
    (_NATIONS, _GAP, str),
    (rf"{_NUMBERED}\.", rf"{_GAP}?{_D}", str),
    (rf"{_APOS}[0-9][0-9]", _GAP, str),
    (_FILE, rf"(?:{_GAP}|[.?!,])", str),
    (rf"{_WORD}\.", _COMMA, _word),
    (_PHONE, "", _round),
    ('"|(?i:&quot;)', "[A-Za-z0-9$]", _quote),
    ("[][(){}<>½¢]|(?i:&[lg]t;)", "", _sign),
    (r"[<>]?[:;=][-o*']?[()DPdpO\\{@|[\]]", "[^A-Za-z0-9]", _round),
    (_FACE, "", _round),
    ("-{1,4}", "", _punctuation),
    (r"\.{3,5}|(?:\.[ \xa0]){2,4}\.|…", "", _punctuation),
    (r"@+|#+|_+|-{5,}|\*+|(?:\\\*){1,3}|[?!]+|⁺?(?:²+|₀+)|[,;:、/.=+%&~^|\\§⁺⁄]", "", str),
    (rf"{_AMPED}\.", _COMMA, _word),
    (_AMPED, "", _word),
    (rf"{_HYPHENED}\.", _COMMA, _word),
    (rf"{_THING}\.", _COMMA, str),
    (_HYPHENED, "", _word),
    (_THING, "", str),
    (rf"''|[`’‘“]{{1,2}}|{_APOS}|\"|(?i:&quot;)", "", _quote),
    (rf"{_SPACE}+|[\n\u200b\x01‐٫]|(?i:&nbsp;)", "", _drop),
]


@lru_cache(maxsize=1)
def _lexer() -> tuple[re.Pattern[str], list[Callable[[str], str]]]:
    """All rules, tried at one place: each has a group for its match and, next to it, one for the token."""
    rules = "".join(rf"(?:(?=(({token}){after}))|)" for token, after, _ in _RULES)
    return re.compile(rules), [write for *_, write in _RULES]


# In a caption of letters, commas and a last full stop, only the rule of words fits a word, but for these.
_PLAIN = re.compile(r"[A-Za-z ,]*(?:\. *)?")
_SPLIT = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])
_STOPPED = rf"(?:{_ABBREVIATION}|{_TITLE}|{_NUMBERED}|[A-Za-z])"
_IS_STOPPED = re.compile(_STOPPED, re.IGNORECASE)

# In any other caption, too, most words are no more than words, and most punctuation is dropped.
_EASY = re.compile(
    rf"(?:((?!(?i:{'|'.join(sorted(_SPLIT))})(?![A-Za-z])|{_STOPPED}\.)[A-Za-z]+(?:-[A-Za-z]+)*"
    r"(?=[ \n]|[,.](?: [^.]|\n)|'s[ \n])|'s(?=[ \n]))|[,.;?!](?= [^.]|\n))[ \t\xa0\u2000]*"
)


def tokenize(
    caption: str, *, lowercase: bool = True, full_stops: bool = False, tokenizer: str = "ptb"
) -> list[str]:
    """coco-caption's tokens of one caption: small letters, no punctuation; or another of `TOKENISERS`, which keep it.

    `lowercase=False` and `full_stops=True` keep what the protocol drops, to tell what keeping it would cost.
    """
    write = str.lower if lowercase else str
    if tokenizer != "ptb":
        words = write(caption).split()
        return list("".join(words)) if tokenizer == "char" else words
    if _PLAIN.fullmatch(caption):
        words = write(caption).replace(",", " ").replace(".", " ").split()
        stopped = "." in caption
        if _SPLIT.isdisjoint(words if lowercase else map(str.lower, words)) and not (
            stopped and words and _IS_STOPPED.fullmatch(words[-1])
        ):
            return [*words, "."] if stopped and full_stops else words
    dropped = PUNCTUATION - {"."} if full_stops else PUNCTUATION
    return [word for token in _lex(caption) if (word := write(token)) not in dropped]


def _lex(caption: str) -> list[str]:
    """The lexer's tokens, as Java writes them."""
    shadow = caption.translate(_SHADOW) + "\na"  # The next caption begins.
    (lexer, writers), easy = _lexer(), _EASY.match
    tokens = []
    at = 0
    while at < len(caption):
        if word := easy(shadow, at):
            tokens.append(word[1] or word[0].rstrip())
            at = word.end()
            continue
        found = lexer.match(shadow, at)
        assert found is not None, "the last rule takes any character"
        spans = found.regs
        rule = spans.index(max(spans))
        stop = spans[rule + 1][1]
        if token := writers[rule // 2](caption[at:stop]):
            tokens.append(token.replace(" ", "\xa0"))
        at = stop
    if tokens:
        tokens[-1] = tokens[-1].rstrip()  # coco-caption strips the lines that Java writes.
    return tokens
