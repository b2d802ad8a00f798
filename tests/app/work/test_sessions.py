"""Several visitors at once, over real websockets: each has an answer of its own, and none is in another's way."""

import time

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed: pip install 'captioner[app]'")

import requests

from captioner import Captioner
from tests.benchmarks.page_client import Visitor
from tests.benchmarks.page_visits import Answers, cards, crowd
from tests.benchmarks.sample_photos import different, photos
from tests.helpers.app_server import server

KEPT = 1  # seconds that a session without a connection is kept
SOON = 60  # seconds, on a busy machine


@pytest.fixture(scope="module")
def address():
    # One computes, none waits: a place that is not given back is missed at once.
    limits = {"CAPTIONER_APP_INFERENCES": "1", "CAPTIONER_APP_QUEUE": "0"}
    with server(STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL=str(KEPT), **limits) as found:
        yield found


@pytest.fixture(scope="module")
def roomy():
    with server() as found:
        yield found


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load()


def upload(tab, files, wait=True):
    uploader = tab.find("file_uploader", "Photos")
    (tab.upload if wait else tab.send_files)(uploader, files)


def texts(captioner, photo):
    return tuple(caption.text for caption in captioner.caption(photo, n=3))


def test_two_at_once_read_each_their_own_captions(roomy, captioner):
    mine, yours = photos()[0], photos()[1]
    with Visitor(roomy) as one, Visitor(roomy) as other:
        upload(one, {"same.jpg": mine}, wait=False)
        upload(other, {"same.jpg": yours}, wait=False)
        one.read()
        other.read()
        assert one.session != other.session
        assert [card.texts for card in cards(one)] == [texts(captioner, mine)]
        assert [card.texts for card in cards(other)] == [texts(captioner, yours)]


def test_a_crowd_gets_right_answers_only(roomy, captioner):
    tally = crowd(roomy, 6, 1, Answers.of(captioner, different(8)), thinking=(0, 0.2))
    assert tally.right >= 6 and not tally.wrong and not tally.nothing


def test_a_bad_photo_disturbs_nobody_else(roomy, captioner):
    with Visitor(roomy) as one, Visitor(roomy) as other:
        upload(one, {"broken.jpg": photos()[2][:5000]}, wait=False)
        upload(other, {"good.jpg": photos()[2]}, wait=False)
        one.read()
        other.read()
        (alert,) = one.all("alert")
        assert alert.proto.body.startswith("broken\\.jpg")
        assert not cards(one)
        assert not other.all("alert")
        assert [card.texts for card in cards(other)] == [texts(captioner, photos()[2])]


def test_a_tab_closed_in_the_middle_gives_its_place_back(address, captioner):
    photo = photos()[1]
    with Visitor(address) as gone:
        upload(gone, {f"{number}.jpg": photo for number in range(40)}, wait=False)
        while not any("Captioning" in bar.proto.text for bar in gone.all("progress")):
            gone.read_one()
    with Visitor(address) as tab:
        upload(tab, {"mine.jpg": photo})
        end = time.monotonic() + SOON
        while not cards(tab) and time.monotonic() < end:  # until the other has finished what it had begun
            tab.set(tab.find("button", "Try again"), trigger_value=True)
        assert [card.texts for card in cards(tab)] == [texts(captioner, photo)]


def test_a_word_that_comes_twice_is_two_words(roomy):
    """A name that two choices share would be the last one's for Streamlit."""
    with Visitor(roomy) as tab:
        upload(tab, {"coffee.jpg": photos()[1]})
        words = tab.find("button_group", "Where the model looked for each word")
        names = [option.content for option in words.proto.options]
        assert [name.strip("\u200b") for name in names] == cards(tab)[0].best.split()
        assert len(set(names)) == len(names) > len({name.strip("\u200b") for name in names})
        shown = []
        for name in names:
            tab.set(
                tab.find("button_group", "Where the model looked for each word"), string_array_value=[name]
            )
            shown.append(tab.all("imgs")[0].proto.imgs[0].url)
        assert len(set(shown)) == len(names)


def test_photos_are_kept_while_a_connection_may_come_back_and_then_forgotten(address):
    with Visitor(address) as tab:
        upload(tab, {"mine.jpg": photos()[0]})
        best = cards(tab)[0].best
        picture = address + tab.all("imgs")[0].proto.imgs[0].url
    with Visitor(address, session=tab.session) as back:
        assert back.session == tab.session and cards(back)[0].best == best
        assert requests.get(picture, timeout=SOON).ok
    end = time.monotonic() + SOON
    while requests.get(picture, timeout=SOON).ok:
        assert time.monotonic() < end, "the photo is still there, though nobody is"
        time.sleep(0.2)
