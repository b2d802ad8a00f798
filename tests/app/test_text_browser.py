"""Text, Evaluate and Models in a real browser, at a desk and on a phone, in light and dark."""

import json
import zipfile
from itertools import pairwise

import pytest

from captioner.score import score
from tests.helpers.app_server import browser, server, visit, wait_until_idle
from tests.helpers.captioned_folders import table
from textgen import TextGenerator
from textgen.alternatives import alternatives

pytest.importorskip("streamlit", reason="streamlit is not installed: pip install 'captioner[app]'")

from app.work.writing import TEMPERATURES
from tests.helpers.paths import EXAMPLES

PROMPT = "KING RICHARD:\nMy <b>lord</b>"
LOOKS = [("desk", "light"), ("desk", "dark"), ("phone", "light"), ("phone", "dark")]


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(chromium):
    with server() as found:
        yield found


@pytest.fixture(scope="module")
def shakespeare():
    return TextGenerator.load("shakespeare")


def fill(page, label, text):
    box = page.get_by_label(label, exact=True)
    box.fill(text)
    box.press("Control+Enter" if label == "Beginning" else "Enter")
    wait_until_idle(page)


def set_up(page, prompt=PROMPT, seed=7):
    """A prompt and a seed, typed as a visitor types them."""
    page.get_by_role("button", name="Write").wait_for()
    wait_until_idle(page)
    fill(page, "Beginning", prompt)
    page.get_by_text("More settings").click()
    fill(page, "Seed", str(seed))


def fits(page):
    """Nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def upload(page, place, file):
    """A file given to the uploader at `place`, once the server has it."""
    with page.expect_response(lambda answer: "upload_file" in answer.url and answer.request.method == "PUT"):
        page.locator("input[type=file]").nth(place).set_input_files(file)
    page.get_by_text(file.name).wait_for()
    wait_until_idle(page)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def test_whoever_comes_by_the_address_of_a_page_finds_it_in_its_frame(chromium):
    with server() as fresh, visit(chromium, fresh, "models") as page:
        page.get_by_role("heading", name="Novels").wait_for()
        assert page.get_by_role("link", name="Captions").is_visible()
        assert page.get_by_role("link", name="main", exact=True).count() == 0


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_text_is_the_librarys_and_can_be_copied_and_downloaded(
    chromium, address, shakespeare, size, scheme, tmp_path
):
    expected = str(shakespeare.generate(PROMPT, seed=7)[0])
    with visit(chromium, address, "text", size, scheme) as page:
        set_up(page)
        press(page, "Write")
        page.get_by_role("button", name="Copy").wait_for()
        assert page.locator(".text").text_content() == expected and fits(page)
        press(page, "Copy")
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == expected
        with page.expect_download() as download:
            press(page, "Download .txt")
        download.value.save_as(tmp_path / "text.txt")
        assert (tmp_path / "text.txt").read_bytes().decode() == f"{expected}\n"


def test_on_a_phone_the_text_is_in_sight_and_its_settings_below(chromium, address):
    with visit(chromium, address, "text", "phone") as page:
        page.get_by_role("button", name="Write").click()
        page.get_by_role("button", name="Copy").wait_for()
        text, settings = page.locator(".text"), page.get_by_label("Temperature", exact=True).first
        lines_in_sight = (844 - text.bounding_box()["y"]) / 30
        assert lines_in_sight > 5
        assert settings.bounding_box()["y"] > text.bounding_box()["y"] + text.bounding_box()["height"]


def test_a_long_beginning_leaves_room_for_what_follows_it(chromium, address):
    prompt = "To be or not to be. " * 500
    with visit(chromium, address, "text") as page:
        set_up(page, prompt)
        press(page, "Write")
        page.get_by_role("button", name="Copy").wait_for()
        box = page.get_by_role("region", name="The beginning")
        assert box.bounding_box()["height"] < 200
        assert page.locator(".text").text_content().startswith(prompt)
        end = box.evaluate(
            "box => box.firstChild.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom"
        )
        assert abs(end) < 2
        box.focus()
        page.keyboard.press("PageUp")
        page.wait_for_function("document.querySelector('.prompt.long').scrollTop < 0")


def test_a_text_comes_piece_by_piece_and_stops_where_it_is_told_to(chromium, address, shakespeare):
    with visit(chromium, address, "text") as page:
        set_up(page)
        page.get_by_label("Length, in characters").locator("input").press("End")
        page.get_by_test_id("stSlider").get_by_text("2000").first.wait_for()
        wait_until_idle(page)
        press(page, "At five temperatures")
        page.locator(".texts.many .caret").first.wait_for()
        seen = page.locator(".text").first.text_content()
        press(page, "Stop")
        page.get_by_text("Stopped.").first.wait_for()
        assert page.get_by_role("button", name="Stop", exact=True).count() == 0
        left = page.locator(".text").first.text_content()
        whole = str(shakespeare.generate(PROMPT, seed=7, length=2000, temperature=0.0)[0])
        assert whole.startswith(left) and left.startswith(seen) and len(left) < len(whole)


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_five_temperatures_stand_side_by_side_or_below_each_other(chromium, address, shakespeare, size):
    with visit(chromium, address, "text", size) as page:
        set_up(page)
        press(page, "At five temperatures")
        page.get_by_role("button", name="Copy").nth(4).wait_for()
        found = page.locator(".text").all_text_contents()
        assert found == [str(shakespeare.generate(PROMPT, seed=7, temperature=t)[0]) for t in TEMPERATURES]
        lefts = {round(card.bounding_box()["x"]) for card in page.locator(".text-card").all()}
        assert len(lefts) == (5 if size == "desk" else 1) and fits(page)


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_a_tapped_letter_says_what_else_it_might_have_been(chromium, address, shakespeare, size):
    places = list(alternatives(shakespeare, shakespeare.generate(PROMPT, seed=7)[0]))
    with visit(chromium, address, "text", size) as page:
        set_up(page)
        press(page, "Write")
        page.get_by_text("What else it might have said").click()
        words = page.locator(".word")
        words.first.wait_for()
        assert words.count() == len(places)
        before = page.locator(".text").text_content()
        words.nth(4).click()
        assert shown(page) == [choice.text.strip() or "space" for choice in places[4].likeliest]
        page.keyboard.press("ArrowRight")
        assert shown(page) == [choice.text.strip() or "space" for choice in places[5].likeliest]
        assert words.nth(5).evaluate("word => word === document.activeElement")
        page.keyboard.press("Home")
        assert shown(page)[:5] == [choice.text.strip() or "space" for choice in places[0].likeliest]
        assert page.locator(".text").text_content() == before and fits(page)


def shown(page):
    """The alternatives that stand there, without the letter itself where it is none of them."""
    return page.locator(".others .choice .name").all_text_contents()[:5]


def test_the_keyboard_is_enough(chromium, address):
    with visit(chromium, address, "text") as page:
        set_up(page)
        page.get_by_role("button", name="Write").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Copy").wait_for()
        page.get_by_role("switch", name="What else it might have said").focus()
        page.keyboard.press("Space")
        page.locator(".word").first.wait_for()
        page.get_by_role("button", name="Copy").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert shown(page) and page.locator(".word[aria-pressed]").count() == 1


# --- Evaluate


@pytest.fixture
def files(tmp_path):
    said = table(tmp_path, "a.jpg,a dog runs", "b.jpg,two men <i>ride</i>", name="said.csv")
    truth = table(tmp_path, "a.jpg,A dog is running.", "b.jpg,Two men ride bikes.", name="truth.csv")
    return said, truth


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_files_are_scored_and_the_report_downloaded(chromium, address, files, tmp_path, size, scheme):
    said, truth = files
    expected = score(said, [truth])
    with visit(chromium, address, "evaluate", size, scheme) as page:
        page.get_by_role("button", name="Score", exact=True).wait_for()
        upload(page, 0, said)
        upload(page, 1, truth)
        press(page, "Score")
        report = page.frame_locator("iframe")
        report.get_by_role("heading", name="Captions: said.csv").wait_for()
        assert report.locator("#signature").text_content() == expected["signature"]
        assert f"{expected['CIDEr']:.1f}" in report.locator("header").text_content()
        page_colour = report.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert page_colour == {"light": "rgb(250, 250, 248)", "dark": "rgb(19, 21, 24)"}[scheme]
        assert fits(page)
        with page.expect_download() as download:
            press(page, "Download as JSON")
        download.value.save_as(tmp_path / "report.json")
        found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert {**found, "notes": []} == {**json.loads(json.dumps(expected)), "notes": []}
        with page.expect_download() as download:
            press(page, "Download the report")
        download.value.save_as(tmp_path / "report.html")
        assert "<!doctype html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_is_scored_on_uploaded_photos_and_can_be_stopped(chromium, address, tmp_path):
    rows = "".join(f"{number}.jpg,a cat looks at {number} birds\n" for number in range(60))
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        packed.writestr("captions.csv", f"image,caption\n{rows}")
        for number in range(60):
            packed.write(EXAMPLES / "cat.jpg", f"{number}.jpg")
    with visit(chromium, address, "evaluate", "phone") as page:
        page.get_by_text("A model's captions").click()
        page.get_by_role("button", name="Caption and score").wait_for()
        wait_until_idle(page)
        upload(page, 0, tmp_path / "many.zip")
        press(page, "Caption and score")
        page.get_by_text(" of 60 photos").wait_for()
        press(page, "Stop")
        page.get_by_role("button", name="Stop", exact=True).wait_for(state="detached")
        wait_until_idle(page)
        assert page.locator("iframe").count() == 0
        press(page, "Caption and score")
        report = page.frame_locator("iframe")
        report.get_by_text("60 pictures", exact=False).first.wait_for()
        assert report.locator("article.card img").count() > 0 and fits(page)


# --- Models


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_model_is_chosen_and_its_card_read(chromium, address, size, scheme):
    with visit(chromium, address, "models", size, scheme) as page:
        page.get_by_role("heading", name="Novels").wait_for()
        page.locator("summary").filter(has_text="Its card").first.click()
        page.get_by_text("One English sentence about a photo").wait_for()
        page.locator("summary").filter(has_text="Its training").first.click()
        page.locator(
            "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg"
        ).first.wait_for()
        assert fits(page) and page.locator(".vega-actions, .vega-embed summary").count() == 0
        card = page.locator(".st-key-card-model-0")
        right = card.bounding_box()["x"] + card.bounding_box()["width"]
        tables = [table.bounding_box() for table in card.locator("table:visible").all()]
        assert tables and all(table["x"] + table["width"] <= right for table in tables)
        headings = page.locator("h1, h2, h3, h4, h5, h6").all()
        levels = [int(heading.evaluate("heading => heading.tagName[1]")) for heading in headings]
        assert levels[0] == 1 and all(below <= above + 1 for above, below in pairwise(levels))
        press(page, "Use for text")
        page.locator(".st-key-card-model-1").get_by_text("In use").wait_for()
        if size == "phone":
            page.locator("[data-testid=stExpandSidebarButton]").click()
        page.get_by_role("link", name="Text").click()
        page.get_by_label("Length, in words").wait_for()
