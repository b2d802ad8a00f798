"""Text in another encoding is named by it, or not at all: a wrong name would spoil the text."""

import random

import pytest

from textgen.text.charsets import likely_charset

TEXTS = {  # of captions in many languages, with the encodings that such text comes in
    "ru": ("Собака бежит по траве. Двое мужчин едут на велосипедах с горы.", "cp1251 koi8-r cp866 iso8859-5"),
    "ru, a table": (
        "image,caption\na.jpg,Собака бежит по траве\nb.jpg,Кошка спит на диване",
        "cp1251 koi8-r",
    ),
    "ru, small": ("собака бежит по траве\nкошка сидит на диване и смотрит в окно", "cp1251 koi8-r cp866"),
    "uk": ("Дві собаки біжать по зеленій траві, а дівчинка сидить на червоному стільці.", "cp1251 koi8-u"),
    "bg": ("Две кучета тичат по зелената трева, а момиче седи на червен стол.", "cp1251"),
    "ja": ("茶色の犬が草の上を走っている。男の人が二人、自転車で山を下りている。", "shift_jis euc_jp"),
    "ja, katakana": ("テレビのニュースを見る。スマートフォンとコンピューター。", "shift_jis euc_jp"),
    "zh": ("一只棕色的狗在草地上奔跑。两个男人骑自行车下山。", "gbk gb18030"),
    "zh, news": ("深圳机场迎来客流高峰，航班准点率提升。市民积极参与志愿服务，弘扬雷锋精神。", "gbk"),
    "zh-Hant": ("一隻棕色的狗在草地上奔跑。兩個男人騎自行車下山。", "big5"),
    "ko": ("갈색 개가 풀밭 위를 달리고 있다. 두 남자가 자전거를 타고 산을 내려간다.", "euc_kr cp949"),
    "el": ("Ένας καφέ σκύλος τρέχει πάνω στο γρασίδι. Δύο άντρες κάνουν ποδήλατο.", "cp1253 iso8859-7"),
    "he": ("כלב חום רץ על הדשא. שני גברים רוכבים על אופניים במורד ההר.", "cp1255"),
    "ar": ("كلب بني يجري على العشب. رجلان يركبان دراجة في الجبل.", "cp1256 iso8859-6"),
    "th": ("สุนัขสีน้ำตาลวิ่งบนสนามหญ้า ชายสองคนขี่จักรยานลงเขา", "cp874"),
    "de": ("Ein Mann fährt über die Straße. Zwei Hunde laufen über das grüne Gras.", "cp1252 latin-1"),
    "fr": ("Un garçon mange à l'école. Une femme âgée est assise près de la fenêtre.", "cp1252"),
    "es": ("El niño pequeño corre por la montaña con su perro. ¿Dónde está el señor?", "cp1252"),
    "pl": (
        "Żółta łódź płynie po rzece. Dwóch mężczyzn jedzie w dół góry, świeci słońce.",
        "cp1250 iso8859-2",
    ),
    "cs": ("Hnědý pes běží po trávě. Dva muži jedou na kole, příliš žluťoučký kůň.", "cp1250 iso8859-2"),
    "hu": ("Egy barna kutya fut a füvön. Két férfi kerékpározik, őszi árvíztűrő.", "cp1250 iso8859-2"),
    "tr": ("Kahverengi bir köpek çimlerde koşuyor. İki adam dağdan aşağı iniyor, ışık.", "cp1254"),
    "en": ("He said “yes” — it’s a café. The dog runs over the green grass.", "cp1252"),
}
CASES = [(text, encoding) for text, encodings in TEXTS.values() for encoding in encodings.split()]


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_the_encoding_of_captions_is_told(text, encoding):
    data = f"{text}\n".encode(encoding) * 20
    found = likely_charset(data)
    assert found is not None and data.decode(found.codec) == data.decode(encoding)


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_the_encoding_of_a_few_words_is_told_rightly_or_not_at_all(text, encoding):
    for words in (text.split()[:2], text.split()[-3:]):
        data = " ".join(words).encode(encoding)
        found = likely_charset(data)
        assert found is None or data.decode(found.codec) == data.decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hnědý pes běží po trávě, příliš žluťoučký kůň úpěl.", "cp852"),
        ("Ein Mann fährt über die Straße, grüne Bäche, größere Häuser.", "mac_roman"),
        ("Un garçon mange à l'école, une femme âgée près de la fenêtre.", "cp850"),
        ("СОБАКА БЕЖИТ ПО ТРАВЕ", "koi8-r"),
    ],
)
def test_older_encodings_are_told_rightly_or_not_at_all(text, encoding):
    data = f"{text}\n".encode(encoding) * 20
    found = likely_charset(data)
    assert found is None or data.decode(found.codec) == data.decode(encoding)


@pytest.mark.parametrize("size", [50, 500, 5000])
def test_noise_has_no_encoding(size):
    rng = random.Random(size)
    for _ in range(20):
        assert likely_charset(rng.randbytes(size)) is None
        assert likely_charset(bytes(rng.randrange(160, 256) for _ in range(size))) is None
