"""The Captions page in a real browser: photos of each kind go in, captions, pictures and files come out."""

import csv
import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from captioner import Captioner
from captioner.data.examples import load_dataset
from tests.helpers.app_server import browser, server, visit, wait_until_idle
from tests.helpers.image_files import ORIENTATION, encoded, png
from tests.helpers.paths import EXAMPLES

COFFEE = (EXAMPLES / "coffee.jpg").read_bytes()
LOOKED = "Where the model looked for “{}”"


@pytest.fixture(scope="module")
def address():
    with server() as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photos that can be read and photos that cannot, by name."""
    folder = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    coffee = Image.open(io.BytesIO(COFFEE))
    clear = coffee.convert("RGBA")
    clear.putalpha(120)
    made = {
        "sideways.jpg": encoded(coffee.rotate(90, expand=True), "JPEG", exif=exif),
        "clear.png": encoded(clear),
        "huge.png": png(20000, 20000, 8, 2),
        "half.jpg": COFFEE[: len(COFFEE) // 2],
        "text.jpg": b"this is a text, whatever it is called",
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in made}


def upload(page, *paths):
    page.locator("input[type=file]").set_input_files(list(paths))


def card(page, number):
    """The card of the photo that was taken as the so-manieth."""
    found = page.locator(f".st-key-card-{number}")
    found.wait_for()
    return found


def caption(card):
    return card.locator(".said").inner_text().strip()


def picture(card, alt):
    return card.locator(f"img[alt='{alt}']")


def downloaded(page, label):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label, exact=True).click()
    return waiting.value.path().read_bytes()


def sideways_scroll(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_photos_of_each_kind(chromium, address, captioner, files, size, scheme):
    with visit(chromium, address, size=size, scheme=scheme) as page:
        upload(page, *files.values())
        cards = [card(page, number) for number in (1, 2)]
        for shown, name in zip(cards, ("sideways.jpg", "clear.png"), strict=True):
            best = captioner.caption(files[name], n=3)[0].text
            assert caption(shown) == best
            width, height = picture(shown, best).evaluate(
                "image => [image.naturalWidth, image.naturalHeight]"
            )
            assert width > height, "upright"
            assert shown.get_by_text(name, exact=True).is_visible()
        wait_until_idle(page)
        told = page.get_by_test_id("stAlert").all_inner_texts()
        assert len(told) == 3
        for name, why in {"huge.png": "megapixels", "half.jpg": "incomplete", "text.jpg": "text"}.items():
            (line,) = [line for line in told if name in line]
            assert why in line
        assert page.get_by_text("Traceback").count() == 0
        assert sideways_scroll(page) == 0
        colour = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
        assert colour == {"light": "rgb(250, 250, 248)", "dark": "rgb(19, 21, 24)"}[scheme]


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_sliders_words_and_corrections(chromium, address, captioner, tmp_path, size):
    coffee = EXAMPLES / "coffee.jpg"
    with visit(chromium, address, size=size) as page:
        page.get_by_role("button", name="Coffee", exact=True).click()
        shown = card(page, 1)
        assert caption(shown) == captioner.caption(coffee, n=3)[0].text
        # The keyboard moves a slider, as a person without a mouse does.
        page.get_by_text("Settings", exact=True).click()
        slider = page.get_by_role("slider", name="Captions a photo")
        slider.focus()
        slider.press("ArrowRight")
        wanted = captioner.caption(coffee, n=4)
        shown.get_by_role("radio", name=wanted[3].text).first.wait_for(state="attached")
        page.get_by_role("radio", name="Drawn by chance").click()
        drawn = captioner.caption(coffee, n=4, temperature=0.8, seed=1)
        shown.get_by_text(drawn[0].text, exact=True).first.wait_for()
        assert caption(shown) == drawn[0].text
        page.get_by_role("radio", name="The likeliest").click()
        shown.get_by_text(wanted[0].text, exact=True).first.wait_for()
        # A word, by the keyboard, lights the place.
        for word in wanted[0].words[:2]:
            button = shown.get_by_role("radio", name=word, exact=True).first
            button.focus()
            button.press("Enter")
            picture(shown, LOOKED.format(word)).wait_for()
        shown.get_by_role("button", name="Copy", exact=True).click()
        shown.get_by_role("button", name="Copied", exact=True).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == wanted[0].text
        shown.get_by_role("button", name="Correct").click()
        text = "a cup of coffee, “seen” from <above>"
        page.get_by_role("textbox", name="What the photo shows").fill(text)
        page.get_by_role("button", name="Save").click()
        picture(shown, text).or_(picture(shown, LOOKED.format(wanted[0].words[1]))).first.wait_for()
        shown.get_by_text(text, exact=True).wait_for()
        page.locator("button:not([disabled]):visible", has_text="Training set").wait_for()
        with zipfile.ZipFile(io.BytesIO(downloaded(page, "Training set"))) as archive:
            archive.extractall(tmp_path)
        (example,) = load_dataset(tmp_path).examples
        assert (example.id, example.captions) == ("coffee.jpg", (text,))
        assert sideways_scroll(page) == 0


def test_downloads(chromium, address, captioner, files):
    with visit(chromium, address) as page:
        upload(page, files["clear.png"], files["sideways.jpg"])
        card(page, 2)
        wait_until_idle(page)
        found = {name: captioner.caption(files[name], n=3) for name in ("clear.png", "sideways.jpg")}
        table = list(csv.DictReader(io.StringIO(downloaded(page, "CSV").decode())))
        assert table == [{"image": name, "caption": captions[0].text} for name, captions in found.items()]
        document = json.loads(downloaded(page, "JSON"))
        assert (document["model"], document["n"], document["beam"]) == (captioner.hash, 3, 3)
        for photo, (name, captions) in zip(document["photos"], found.items(), strict=True):
            assert photo["photo"] == name
            assert [one["text"] for one in photo["captions"]] == [caption.text for caption in captions]
            assert [one["log_prob"] for one in photo["captions"]] == [round(c.log_prob, 4) for c in captions]
        texts = downloaded(page, "Alt texts").decode()
    with chromium.new_context(offline=True) as context:
        alone = context.new_page()
        alone.set_content(texts)
        shown = alone.locator("img").evaluate_all(
            "images => images.map(i => [i.alt, i.complete && i.naturalWidth > 0])"
        )
        assert shown == [[captions[0].text, True] for captions in found.values()]


def test_many_photos_can_be_stopped(chromium, address, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1800, 1800, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise))
    paths = [tmp_path / f"{number:02}.png" for number in range(30)]
    for path in paths:
        path.write_bytes(data)
    with visit(chromium, address) as page:
        upload(page, *paths)
        page.get_by_text(re.compile("^Reading: [2-9] of")).wait_for()
        page.get_by_role("button", name="Stop").click()
        card(page, 1)
        wait_until_idle(page)
        taken = page.locator("[class*=st-key-card-]").count()
        assert 1 <= taken < len(paths)
        assert page.get_by_test_id("stFileChip").count() == 0, "the rest is let go"


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_captioning_can_be_stopped_and_a_late_click_harms_nothing(chromium, address, tmp_path, size):
    paths = [tmp_path / f"{number:02}.jpg" for number in range(50)]
    for path in paths:
        path.write_bytes(COFFEE)
    with visit(chromium, address, size=size) as page:
        upload(page, *paths)
        # In the page itself: on a busy machine the moment would be over before it is told.
        spot = page.wait_for_function(
            """() => {
                const bar = document.querySelector('[data-testid=stProgress]')?.textContent ?? '';
                const stop = document.querySelector('.st-key-stop-Captioning button');
                if (!stop || !/Captioning: \\d+ of/.test(bar)) return null;
                stop.click();
                const box = stop.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }"""
        ).json_value()
        page.get_by_text(re.compile("^Stopped; .* to do")).wait_for()
        wait_until_idle(page)
        todo = int(re.search(r"\d+", page.get_by_text(re.compile("^Stopped; ")).inner_text())[0])
        assert 0 < todo < len(paths)
        cards = page.locator("[class*=st-key-card-]")
        page.wait_for_function(
            "count => document.querySelectorAll('[class*=st-key-card-]').length === count",
            arg=len(paths) - todo,
        )
        page.mouse.click(*spot)
        wait_until_idle(page)
        assert page.get_by_text(f"{len(paths)} photos", exact=True).is_visible()
        page.get_by_role("button", name="Go on").click()
        card(page, len(paths))
        wait_until_idle(page)
        assert cards.count() == len(paths)
        page.get_by_role("button", name="Remove all").click()
        question = page.get_by_text(f"Remove {len(paths)} photos")
        question.wait_for()
        assert cards.count() == len(paths), "it asks first"
        page.locator(".st-key-remove-all button").click()
        page.locator(".st-key-way-in").wait_for()
        assert cards.count() == 0


def test_a_corrected_card_stays_closed_and_its_correction_is_one_of_the_choices(chromium, address, captioner):
    with visit(chromium, address) as page:
        page.get_by_role("button", name="Cat", exact=True).click()
        shown = card(page, 1)
        shown.get_by_role("button", name="Correct").click()
        text = page.get_by_role("textbox", name="What the photo shows")
        text.fill("my own cat")
        page.get_by_role("button", name="Save").click()
        picture(shown, "my own cat").wait_for()
        second = captioner.caption(EXAMPLES / "cat.jpg", n=3)[1].text
        for chosen in (second, "my own cat", second):
            shown.get_by_test_id("stRadioOption").filter(has_text=chosen).click()
            picture(shown, chosen).wait_for()
            wait_until_idle(page)
            assert caption(shown) == chosen and text.count() == 0


def test_a_tab_says_which_page_it_shows_and_where_the_keyboard_is(chromium, address):
    for path, name in {"": "Captions", "text": "Text", "models": "Models"}.items():
        with visit(chromium, address, path) as page:
            page.get_by_role("heading", name=name, exact=True).wait_for()
            page.wait_for_function(f"document.title == '{name} · Captioner'")
            wait_until_idle(page)
            link = page.get_by_test_id("stTopNavLink").first
            for _ in range(20):
                page.keyboard.press("Tab")
                if link.evaluate("link => link == document.activeElement"):
                    break
            page.wait_for_function(
                """link => link == document.activeElement
                    && getComputedStyle(link).outlineStyle == 'solid'
                    && getComputedStyle(link).outlineWidth == '2px'""",
                arg=link.element_handle(),
            )


def test_every_widget_has_a_name(chromium, address):
    with visit(chromium, address) as page:
        page.get_by_role("button", name="Cat", exact=True).click()
        card(page, 1)
        wait_until_idle(page)
        nameless = page.get_by_test_id("stMain").evaluate(
            """main => [...main.querySelectorAll('button, input, textarea, [role=slider], img')]
                .filter(it => it.offsetParent && !(it.ariaLabel || it.alt || it.textContent.trim() || it.title
                    || it.labels?.length || it.getAttribute('aria-labelledby')))
                .map(it => it.outerHTML.slice(0, 200))"""
        )
        assert nameless == []


def test_visitors_do_not_see_each_others_photos(chromium, address, captioner):
    with visit(chromium, address) as one, visit(chromium, address) as other:
        one.get_by_role("button", name="Cat", exact=True).click()
        other.get_by_role("button", name="Coffee", exact=True).click()
        for page, name in ((one, "cat.jpg"), (other, "coffee.jpg")):
            assert caption(card(page, 1)) == captioner.caption(EXAMPLES / name, n=3)[0].text
            assert page.locator("[class*=st-key-card-]").count() == 1


def test_every_file_of_a_drop_is_captioned_or_stays_named_with_its_reason(chromium, address, tmp_path):
    drop = {
        "good.jpg": COFFEE,
        "noending": COFFEE,
        "toolarge.jpg": COFFEE.ljust(22 << 20, b"\0"),
        "livephoto.mov": b"\0\0\0\x14ftypqt  " + bytes(200),
        "report.pdf": b"%PDF-1.4 nothing",
    }
    for name, data in drop.items():
        (tmp_path / name).write_bytes(data)
    with visit(chromium, address) as page:
        upload(page, *(tmp_path / name for name in drop))
        card(page, 2)
        wait_until_idle(page)
        page.wait_for_timeout(1500)
        text = page.locator("body").inner_text()
        assert "2 photos" in text and "noending" in text
        for refusal in (
            "toolarge.jpg: 22 MB is more than the limit of 20 MB",
            "livephoto.mov: not a picture: looks like a video",
            "report.pdf: not a picture: looks like a PDF",
        ):
            assert refusal in text
        # They are of the last upload.
        upload(page, tmp_path / "good.jpg")
        card(page, 3)
        wait_until_idle(page)
        assert "toolarge.jpg" not in page.locator("body").inner_text()
