"""The report page: whole, safe, legible, and alive in a browser."""

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import textgen.report.web
from captioner.report.gallery import Section, Shown
from captioner.report.page import report_page

SCORES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STYLE = Path(textgen.report.web.__file__).with_name("page.css").read_text(encoding="utf-8")
HOSTILE = (
    """</script><script>alert(1)</script> <img src=http://evil.test/x onerror=alert(2)> "'&amp; ]]> -->"""
)
VOID = {"meta", "link", "img", "wbr"}


class Page(HTMLParser):
    """The page's tags and text; AssertionError where they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag, **attributes):
        """The attributes of the tags of a kind, and with those attributes."""
        wanted = attributes.items()
        return [found for name, found in self.tags if name == tag and wanted <= found.items()]


def scores(*values):
    return dict(zip(SCORES, values, strict=True))


def bleu_parts(precisions, *others):
    names = ("brevity_penalty", "length_ratio", "hypothesis_length", "reference_length")
    return {"precisions": precisions, **dict(zip(names, others, strict=True))}


def diversity(distinct, vocabulary, mean_length, copied, **others):
    found = {"distinct_captions": distinct, "vocabulary": vocabulary, "mean_length": mean_length}
    return {**found, "unfinished": 6, "repeated_trigram": 3, "unknown": 0, "copied": copied, **others}


def minimal(**changes):
    """The least report there is."""
    return {
        **{"signature": "n:1|refs:1|tok:x", "name": "predictions.json", "pictures": 1, "references": [1, 1]},
        **scores(50.0, 40.0, 30.0, 20.0, 45.0, 0.0),
        **bleu_parts([50.0, 0.0, 0.0, 0.0], 1.0, 1.0, 1, 1),
        "diversity": diversity(1, 1, 1.0, None),
        "lengths": {"predictions": {1: 1}, "references": {1: 1}},
        **{"intervals": {}, "anchors": [], "other": None, "warnings": []},
        **changes,
    }


HUMAN = {
    "name": "a human",
    "note": "against 4",
    "references": 4,
    **scores(62.7, 42.7, 28.7, 18.7, 46.7, 82.7),
}
FLOOR = {"name": "shuffled", "note": "", "references": 5, **scores(40.8, 17.8, 7.8, 3.8, 29.8, 4.8)}


def full():
    """A report in which hardly two numbers read alike, so that each must be shown for itself."""
    other = {
        **{"name": "other.json", "intervals": {"CIDEr": [55.1, 60.2]}},
        **scores(64.26, 46.36, 32.46, 22.46, 47.86, 57.56),
        **bleu_parts([65.14, 44.24, 29.54, 19.34], 0.9893, 0.9882, 10288, 10411),
        "extra": {"METEOR 1.5": 19.86, "SPICE": 13.96},
        "diversity": diversity(863, 1598, 9.86, 52, cut=7),
        "differences": {
            "CIDEr": {"difference": 1.9, "interval": [0.42, 3.34], "p": 0.0124},
            "BLEU-4": {"difference": -0.74, "interval": [-1.63, -0.24], "p": 0.2131},
            "ROUGE-L": {"difference": -0.04, "interval": [-0.52, 0.61], "p": 0.0004},
        },
    }
    lows, highs = (64.11, 45.91, 31.71, 21.91, 47.31, 56.81), (66.61, 48.61, 34.41, 24.41, 49.11, 62.01)
    return minimal(
        **{"signature": "n:1000|refs:4-5|captioner:0.1.0", "pictures": 1000, "references": [4, 5]},
        **scores(65.44, 47.24, 33.14, 23.14, 48.24, 59.44),
        **bleu_parts([66.04, 45.14, 30.24, 19.94], 0.9913, 0.9922, 10312, 10407),
        intervals=scores(*map(list, zip(lows, highs, strict=True))),
        extra={"METEOR 1.5": 20.14, "SPICE": 14.24},
        diversity=diversity(912, 1640, 10.34, 41, cut=8),
        lengths={"predictions": {"9": 400, "10": 600}, "references": {"4": 1000, "22": 3900}},
        anchors=[HUMAN, FLOOR],
        other=other,
        warnings=["2 captions are empty"],
        notes=["made for a test"],
        speed={"pictures_per_second": 53.14},
        unreadable={"broken.jpg": "it is cut short"},
    )


def thumbnail(size=(8, 6)):
    data = io.BytesIO()
    Image.new("RGB", size, "white").save(data, "JPEG")
    return data.getvalue()


def looked(rows=3, columns=4):
    """A picture with a caption of three words, for each of which the model looked at another row."""
    attention = np.full((3, rows, columns), 0.01)
    attention[[0, 1, 2], [0, 1, 2], 0] = 0.5
    ours, theirs = {"CIDEr": 81.24, "ROUGE-L": 33.31}, {"CIDEr": 11.61, "ROUGE-L": 22.72}
    looks = (thumbnail(), ("dog", "'s", "ball"), attention)
    return Shown("17.jpg", "Dog's ball.", ours, ("the ball of a dog",), "a cat", theirs, *looks)


def section(*pictures, title="Best", explanation="By CIDEr."):
    return Section(title, explanation, pictures)


def test_every_number_is_shown():
    text = Page(report_page(full(), [section(looked())], "Scores")).text
    numbers = """65.4 47.2 33.1 23.1 48.2 59.4 66.0 45.1 30.2 19.9 0.991 0.992 10,312 10,407
        20.1 14.2 912 91.2 1,640 10.3 41 4.1 3 0.3 6 0.6 0 0.0 8 0.8
        62.7 42.7 28.7 18.7 46.7 82.7 40.8 17.8 7.8 3.8 29.8 4.8
        64.3 46.4 32.5 22.5 47.9 57.6 19.9 14.0 65.1 44.2 29.5 19.3 0.989 0.988 10,288 10,411
        863 86.3 1,598 9.9 52 5.2 7 0.7 +1.9 −0.7 0.0 0.012 0.213 81.2 33.3 11.6 22.7 53.1 1,000"""
    shown = re.findall(r"[+−]?[\d,]*\d(?:\.\d+)?", text)
    assert set(numbers.split()) <= set(shown)
    intervals = """64.1 to 66.6; 45.9 to 48.6; 31.7 to 34.4; 21.9 to 24.4; 47.3 to 49.1; 56.8 to 62.0;
        55.1 to 60.2; 0.4 to 3.3; −1.6 to −0.2; −0.5 to 0.6; < 0.001; 4 to 5 references a picture"""
    assert [words for words in map(str.strip, intervals.split(";")) if words not in text] == []
    for words in ("2 captions are empty", "made for a test", "broken.jpg cannot be read: it is cut short"):
        assert words in text
    assert "−0.0" not in text


def test_the_headline_is_cider_and_bleu_4():
    page = report_page(full(), [], "Scores")
    assert re.findall(r'<dt>([^<]*)</dt><dd class="large">([^<]*)</dd>', page) == [
        ("CIDEr", "59.4"),
        ("BLEU-4", "23.1"),
    ]
    assert "95 % interval 56.8 to 62.0" in page and "difference +1.9 (0.4 to 3.3)" in page


def test_a_difference_is_bold_where_its_interval_leaves_out_0():
    assert re.findall("<strong>(.*?)</strong>", report_page(full(), [], "Scores")) == ["−0.7", "+1.9"]


def test_the_signature_is_whole_whatever_its_length():
    parts = ["n:1", *(f"part{index}:{'x' * index}" for index in range(40)), "captioner:0"]
    page = report_page(minimal(signature="|".join(parts)), [], "Scores")
    code = re.search('<code id="signature">(.*?)</code>', page)[1]
    assert code.replace("<wbr>", "") == "|".join(parts)


@pytest.mark.parametrize(
    "report",
    [
        minimal(),
        minimal(warnings=None, anchors=None, extra=None, notes=None),
        minimal(lengths={"predictions": {}, "references": {1: 1}}),
        minimal(other={**minimal(), "name": "other.json", "diversity": None, "differences": {}}),
        minimal(**scores(*[0.0] * 6), anchors=[HUMAN]),
    ],
)
def test_little_is_enough(report):
    page = Page(report_page(report, [section()], "Scores"))
    assert "1 picture · 1 reference a picture" in page.text
    assert "None" not in page.text and "nan" not in page.text
    assert page.all("article") == page.all("strong") == []
    assert "Best" not in page.text, "a section without a picture has no heading"


def test_what_was_not_counted_is_said_to_be_so():
    assert "not counted" in Page(report_page(minimal(), [], "Scores")).text
    assert "not counted" not in Page(report_page(full(), [], "Scores")).text


def hostile_page():
    """Everything that can come from people's data is hostile."""
    looks = (thumbnail(), (HOSTILE,), np.ones((1, 2, 2)))
    shown = Shown(HOSTILE, HOSTILE, {"CIDEr": 1.0}, (HOSTILE, "قطة"), HOSTILE, {"CIDEr": 2.0}, *looks)
    texts = {"name": HOSTILE, "signature": HOSTILE, "warnings": [HOSTILE], "notes": [HOSTILE]}
    report = full() | texts | {"extra": {HOSTILE: 1.0}, "unreadable": {HOSTILE: HOSTILE}}
    report["other"]["name"] = HOSTILE
    report["anchors"] = [HUMAN | {"name": HOSTILE, "note": HOSTILE}]
    plain = Shown("2", HOSTILE, {}, ())
    return report_page(report, [section(shown, plain, title=HOSTILE, explanation=HOSTILE)], HOSTILE)


def test_all_that_comes_from_data_is_escaped():
    page = Page(hostile_page())
    assert len(page.all("script")) == 1
    assert [found for _, found in page.tags if "onerror" in found] == []
    assert page.text.count(HOSTILE) > 15
    image, *others = page.all("img")
    assert image["alt"] == HOSTILE and not others


def test_half_a_surrogate_pair_does_not_stop_a_page():
    page = report_page(
        minimal(name="\ud83d.json"), [section(Shown("1", "a \udc00", {}, ("\ud800",)))], "\ud800"
    )
    assert "?.json" in page.encode().decode()


@pytest.mark.parametrize("page", [report_page(full(), [section(looked())], "Scores"), hostile_page()])
def test_nothing_comes_from_elsewhere(page):
    found = Page(page)
    for _, attributes in found.tags:
        for name in {"src", "href", "action", "data", "poster", "srcset"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), attributes
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "@import" not in page and "url(" not in page
    policy = found.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy.startswith("default-src 'none';") and "http" not in policy and "*" not in policy


def test_machines_and_readers_find_their_way():
    page = Page(report_page(full(), [section(looked())], "Scores"))
    assert page.all("html") == [{"lang": "en"}] and page.all("meta", name="viewport")
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(below <= above + 1 for above, below in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) == 4
    assert all(found.get("scope") in ("row", "col") for found in page.all("th"))
    plots = page.all("svg", role="img")
    assert len(plots) == len(page.all("svg")) == 3
    for number in ("66.0", "10", "59.4 (56.8 to 62.0)", "a human, 4 references: 82.7"):
        assert any(number in plot["aria-label"] for plot in plots)
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(set(ids)) == len(ids)


def bars(page):
    return [float(found["height"]) for found in Page(page).all("rect")]


def test_bars_are_as_high_as_their_precisions():
    low, high = bars(report_page(minimal(precisions=[20.0, 80.0]), [], "Scores"))
    assert high == pytest.approx(4 * low, abs=0.1)


def test_lengths_are_shares_whatever_the_number_of_captions():
    pages = [
        report_page(minimal(lengths={"predictions": {2: n, 4: 3 * n}, "references": {3: 1}}), [], "Scores")
        for n in (1, 50)
    ]
    first, second = ([found["d"] for found in Page(page).all("path")] for page in pages)
    assert len(first) == 2 and first == second
    at = [float(height) for height in re.findall(r"V([\d.]+)H", first[0])]
    floor = at[1]
    assert len(at) == 3 and floor - at[2] == pytest.approx(3 * (floor - at[0]), abs=0.3)


def test_an_endless_caption_leaves_the_plot_of_lengths_readable():
    lengths = {"predictions": {9: 50, 100_000: 1}, "references": {8: 50}}
    page = report_page(minimal(lengths=lengths), [], "Scores")
    (steps, _) = (found["d"] for found in Page(page).all("path"))
    at = [(float(y), float(x)) for y, x in re.findall(r"V([\d.]+)H([\d.]+)", steps)]
    assert len(at) == 60 and at[-1][1] == pytest.approx(322, abs=0.1)  # the right margin
    assert at[-1][0] < at[-2][0] and ">67+<" in page
    assert len(page) < 100_000


def test_dots_stand_where_their_scores_are():
    page = Page(report_page(full(), [], "Scores"))
    human, this, other, shuffled = (float(found["cx"]) for found in page.all("circle"))
    assert human > this > other > shuffled
    whisker = page.all("line", **{"class": "whisker this"})[0]
    assert float(whisker["x1"]) < this < float(whisker["x2"])
    # On one scale: equal differences are equally far apart.
    assert (human - this) / (82.7 - 59.44) == pytest.approx((other - shuffled) / (57.56 - 4.8), rel=0.02)


def test_a_card_has_all_of_a_picture():
    page = Page(report_page(full(), [section(looked())], "Scores"))
    (image,) = page.all("img")
    assert image["alt"] == "Dog's ball."
    data = image["src"].removeprefix("data:image/jpeg;base64,")
    assert base64.b64decode(data, validate=True) == thumbnail()
    for words in ("17.jpg", "the ball of a dog", "a cat", "CIDEr 81.2 · ROUGE-L 33.3", "1 reference"):
        assert words in page.text
    # The caption as it was written, whatever its words are wrapped in.
    assert "Dog's ball." in "".join(page.texts)


def test_a_word_carries_where_the_model_looked():
    page = Page(report_page(minimal(), [section(looked(rows=3, columns=4))], "Scores"))
    (canvas,) = page.all("canvas")
    assert (canvas["data-rows"], canvas["data-columns"]) == ("3", "4")
    looks = [re.findall("..", found["data-look"]) for found in page.all("button", **{"class": "word"})]
    assert len(looks) == 3
    for row, look in enumerate(looks):
        assert len(look) == 3 * 4 and look.index("99") == row * 4 and set(look) == {"99", "02"}


def test_words_that_are_not_the_captions_are_shown_instead():
    page = Page(report_page(minimal(), [section(replace(looked(), words=("an", "odd", "one")))], "Scores"))
    assert "an odd one" in page.text and len(page.all("button", **{"class": "word"})) == 3


@pytest.mark.parametrize("changes", [{"thumbnail": None}, {"attention": None}, {"words": (), "caption": ""}])
def test_without_a_picture_or_a_look_words_are_plain(changes):
    page = Page(report_page(minimal(), [section(replace(looked(), **changes))], "Scores"))
    assert page.all("canvas") == page.all("button", **{"class": "word"}) == []
    assert "Point at a word" not in page.text
    assert ("no words" in page.text) == ("caption" in changes)


def test_a_large_report_stays_small():
    attention = np.random.default_rng(0).random((14, 14, 14))
    shown = Shown("1", "a " * 14, {"CIDEr": 1.0}, ("a b c",) * 5, None, None, b"", ("a",) * 14, attention)
    assert len(report_page(full(), [section(*[shown] * 18)], "Scores")) < 300_000


def luminance(colour):
    shares = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    linear = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares)
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("above", "below", "least"),
    [
        *((above, below, 4.5) for above in ("text", "quiet", "this") for below in ("page", "sheet")),
        ("text", "well", 4.5),  # the copy button
        ("this", "this-tint", 4.5),
        *((above, "warning-tint", 4.5) for above in ("text", "warning")),
        *((above, "page", 3) for above in ("other", "neutral")),  # of plots
    ],
)
def test_contrast_is_enough_for_wcag_aa(scheme, above, below, least):
    light, dark, _paper = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", {"light": light, "dark": dark}[scheme]))
    low, high = sorted(luminance(colours[name]) for name in (above, below))
    assert (high + 0.05) / (low + 0.05) >= least


LOOK = """<script>addEventListener("load", () => {
  const canvas = document.querySelector("canvas"), words = document.querySelectorAll(".word");
  words[2].dispatchEvent(new Event("focus"));
  const { width, height, hidden } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const dark = (x, y) => data[4 * (y * width + x) + 3];
  const seen = [hidden, width, height, dark(0, 5) < 40, dark(7, 0) > 160];
  words[2].dispatchEvent(new Event("blur"));
  document.body.style.width = "390px";
  seen.push(canvas.hidden, words[0].disabled, document.body.scrollWidth);
  document.documentElement.dataset.seen = seen.join();
})</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_a_browser_runs_it_without_a_complaint(tmp_path):
    """A word lights the part of the photo where the model looked; a phone need not scroll sideways."""
    page = report_page(full() | {"name": 12 * "longname"}, [section(looked())], "Scores")
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    root = re.search("<html[^>]*>", ended.stdout)[0]
    assert 'data-ready=""' in root, ended.stderr
    assert 'data-seen="false,8,6,true,true,true,false,390"' in root
    assert re.search('<button type="button" class="copy" aria-live="polite">', ended.stdout)
    assert [line for line in ended.stderr.splitlines() if "CONSOLE" in line] == []
