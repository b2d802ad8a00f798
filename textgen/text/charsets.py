"""Which encoding text that is not UTF-8 is likely in: said only where one reading fits a language and no other does.

A wrong guess would spoil a text for good, so none is better. Letters decide: text read in a wrong encoding has letters
that no one language has, capitals within words, or letters that its language rarely uses.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from itertools import pairwise
from typing import NamedTuple

_SAMPLE = 65536  # bytes
_CLEARLY = 1.25  # times as usual letters as those of any other reading
_PUNCTUATION = frozenset(
    "“”„‟‘’‚‛«»‹›–—…•·°§¿¡€£©®™№×\u00a0\u00ad、。，．・：；！？「」『』（）《》〈〉【】“”〜～"
)
_DASHES_AND_QUOTES = frozenset("“”‘’–—…€")
_ASCII = frozenset(map(chr, range(128)))


class Charset(NamedTuple):
    """An encoding by its names."""

    codec: str
    """In Python."""
    iconv: str
    """For `iconv -f`."""
    words: str
    """For people."""


class _Language(NamedTuple):
    charsets: tuple[Charset, ...]
    usual: frozenset[str]
    """Letters beyond ASCII, in small: all of a Latin alphabet's, else the frequent ones."""
    least: float
    """The share of a text's letters beyond ASCII that must be among them."""


_WESTERN = (
    Charset("cp1252", "WINDOWS-1252", "Western European"),
    Charset("mac_roman", "MACINTOSH", "Western European of old Macs"),
    Charset("cp850", "CP850", "Western European of DOS"),
)
_CENTRAL = (
    Charset("cp1250", "WINDOWS-1250", "Central European"),
    Charset("iso8859_2", "ISO-8859-2", "Central European"),
    Charset("cp852", "CP852", "Central European of DOS"),
)
_TURKISH = (Charset("cp1254", "WINDOWS-1254", "Turkish"),)
_BALTIC = (Charset("cp1257", "WINDOWS-1257", "Baltic"),)
_CYRILLIC = (
    Charset("cp1251", "WINDOWS-1251", "Cyrillic"),
    Charset("koi8_u", "KOI8-U", "Cyrillic"),
    Charset("koi8_r", "KOI8-R", "Cyrillic"),
    Charset("cp866", "CP866", "Cyrillic of DOS"),
    Charset("iso8859_5", "ISO-8859-5", "Cyrillic"),
    Charset("mac_cyrillic", "MAC-CYRILLIC", "Cyrillic of old Macs"),
)
_GREEK = (Charset("cp1253", "WINDOWS-1253", "Greek"), Charset("iso8859_7", "ISO-8859-7", "Greek"))
_HEBREW = (Charset("cp1255", "WINDOWS-1255", "Hebrew"),)
_ARABIC = (Charset("cp1256", "WINDOWS-1256", "Arabic"), Charset("iso8859_6", "ISO-8859-6", "Arabic"))
_THAI = (Charset("cp874", "CP874", "Thai"),)
_JAPANESE = (
    Charset("cp932", "CP932", "Japanese, Shift-JIS"),
    Charset("euc_jp", "EUC-JP", "Japanese, EUC-JP"),
)
_CHINESE = (Charset("gb18030", "GB18030", "Chinese, GBK"),)
_TRADITIONAL = (Charset("big5", "BIG5", "Chinese, Big5"), Charset("big5hkscs", "BIG5-HKSCS", "Chinese, Big5"))
_KOREAN = (Charset("cp949", "CP949", "Korean, EUC-KR"),)

_ALPHABETS = (  # whole ones: text has all of its letters beyond ASCII from one of these
    *(
        (_WESTERN, letters)
        for letters in ("äöüß", "éèàçêôîûâëïœùæ", "áéíóúñüªº", "ãçáéíóúâêôõàü", "èàùòìéî", "åäöé")
    ),
    *((_WESTERN, letters) for letters in ("æøåéòó", "éëïèêöüó", "áéíóúýðþæö", "àèéíòóúçïü")),
    *(
        (_CENTRAL, letters)
        for letters in ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž")
    ),
    *((_CENTRAL, letters) for letters in ("ăâîşţ", "ëç")),
    (_TURKISH, "çğı\u0307öşüâîû"),
    *((_BALTIC, letters) for letters in ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž")),
)
_FREQUENT = (  # of texts by people, in the order of how often they come
    (_CYRILLIC, "оеаинтсрвл", 0.5),
    (_CYRILLIC, "оаинветріс", 0.5),  # Ukrainian
    (_CYRILLIC, "аиоетнрсвл", 0.5),  # Bulgarian, Serbian, Macedonian
    (_GREEK, "αοιετσνηυρ", 0.5),
    (_HEBREW, "יוהלאמרתבש", 0.5),
    (_ARABIC, "الينمورتبهع", 0.5),
    (_THAI, "านรอกเงวมยลตดสท่้ัีี", 0.5),
    (_JAPANESE, "のにはをたがでてとしれさあるいかなりこらもすまんきっくよけーンスルトリアイラクテ", 0.3),
    (
        _CHINESE,
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然"
        "家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把"
        "机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果"
        "加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔"
        "更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展"
        "马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共"
        "确传师观清今切院让识候带导争运笔狗男孩红黑草街站坐穿骑车跑",
        0.2,
    ),
    (
        _TRADITIONAL,
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然"
        "家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把"
        "機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果"
        "加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾"
        "更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展"
        "馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共"
        "確傳師觀清今切院讓識候帶導爭運筆狗男孩紅黑草街站坐穿騎車跑",
        0.2,
    ),
    (_KOREAN, "이다는을의가에고하한지사로기도자은를서어대인리라시나해아있그들과스습니여정수일", 0.25),
)
_LANGUAGES = (
    *(_Language(charsets, frozenset(letters), 0.97) for charsets, letters in _ALPHABETS),
    *(_Language(charsets, frozenset(letters), least) for charsets, letters, least in _FREQUENT),
)
_COMMON = {_WESTERN[0], _CENTRAL[0]}
_EVIDENCE = 12  # bytes beyond ASCII; a few fit some language in nearly any of the rarer encodings
_WORD = re.compile(r"[^\W\d_]+")
_NO_TEXT = re.compile(  # frames and signs of DOS and KOI8 in a word, quotation marks within one or the wrong way round
    r"[\u2200-\u22ff\u2500-\u25ff][^\W\d_]|[^\W\d_][\u2200-\u22ff\u2500-\u25ff]|[^\W\d_][“”‘„‚][^\W\d_]|(?:^|\s)”\w"
)


def likely_charset(data: bytes) -> Charset | None:
    """The encoding of text that is not UTF-8; None where no reading fits a language, or several differing ones do."""
    sample = _sample(data)
    found: dict[str, tuple[float, Charset]] = {}
    for language in _LANGUAGES:
        for charset in language.charsets:
            text = _decoded(sample, charset)
            if text is None or (share := _usual(text, language)) < language.least:
                continue
            fits = share / language.least * _by_capitals(text)
            if text not in found or found[text][0] < fits:
                # The first that reads so has the better known name.
                found[text] = fits, found[text][1] if text in found else charset
    ranked = sorted(found.values(), key=lambda one: -one[0])
    if not ranked or (len(ranked) > 1 and ranked[0][0] < _CLEARLY * ranked[1][0]):
        return None
    best = ranked[0][1]
    odd_bytes = sum(byte > 127 for byte in sample)
    return best if odd_bytes >= _EVIDENCE or best in _COMMON else None


def _sample(data: bytes) -> bytes:
    """Lines that are not all ASCII, as many as it takes to judge."""
    lines, size = [], 0
    for line in data.split(b"\n"):
        if not line.isascii():
            lines.append(line[:_SAMPLE])
            size += len(line)
            if size > _SAMPLE:
                break
    return b"\n".join(lines)


def _decoded(sample: bytes, charset: Charset) -> str | None:
    """The sample read so, but for half a character at its end; None where it cannot be, or not as text."""
    try:
        text = codecs.getincrementaldecoder(charset.codec)("strict").decode(sample)
    except UnicodeDecodeError:
        return None
    odd = {unicodedata.category(char) for char in set(text) - set("\t\n\r\f\u200c\u200d\u200e\u200f\xad")}
    return None if odd & {"Cc", "Cf", "Cn", "Co", "Cs"} else text


def _by_capitals(text: str) -> float:
    """How likely its capitals make a reading, where its letters have them: Cyrillic encodings differ in little else."""
    letters = "".join(char for char in text if not char.isascii())
    return 0.75 if letters.islower() else 0.65 if letters.isupper() else 1.0


def _usual(text: str, language: _Language) -> float:
    """The share of its letters beyond ASCII that are usual in a language; 0 where its words are none of any."""
    if _NO_TEXT.search(text):
        return 0.0
    letters = [char for char in text.lower() if not char.isascii() and char not in _PUNCTUATION]
    if not letters:  # dashes and quotation marks stand in the same places of all of Windows' encodings
        return float(language.least > 0.9 and not set(text) - _DASHES_AND_QUOTES - _ASCII)
    if any(ord(one) < 128 and unicodedata.combining(other) for one, other in pairwise(text)):
        return 0.0
    words = _WORD.findall(text)
    odd = sum(map(_is_no_word, words))
    marked = sum(not word.isascii() for word in words)
    if odd > 0.05 * marked:
        return 0.0
    return sum(char in language.usual for char in letters) / len(letters)


def _is_no_word(word: str) -> bool:
    """Letters of two scripts, or a capital behind a small letter, as no word has them that is not all ASCII."""
    if word.isascii():
        return False
    if any(one.islower() and other.isupper() for one, other in pairwise(word)):
        return True
    scripts = {unicodedata.name(char, "?").partition(" ")[0] for char in word if char.isalpha()}
    return "LATIN" in scripts and len(scripts) > 1 and not scripts & {"CJK", "HIRAGANA", "KATAKANA", "HANGUL"}
