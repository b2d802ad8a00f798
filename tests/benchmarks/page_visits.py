"""People on the Captions page, all at once: each uploads photos, reads, moves a slider, and thinks in between.

Everything that they read is compared with what `Captioner` says of that very photo with those very settings.
"""

from __future__ import annotations

import html
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from app.cards.views import friendly
from app.work.gate import Busy
from captioner import Captioner
from tests.benchmarks.page_client import Shown, Visitor

Settings = tuple[int, int]
"""Captions a photo, beam width."""
FIRST: Settings = (3, 3)
"""Those that the page begins with."""
_COUNTS, _BEAMS = (1, 3, 5), (3, 5, 10)
_SLIDERS = ("Captions a photo", "Beam width")
_THINKING = (2.0, 6.0)  # seconds, as people do
_ASK_AGAIN = 1.0  # seconds
_PHOTOS = 3  # that a visitor has at once before removing all
_BUSY = friendly(Busy())


@dataclass(frozen=True)
class Card:
    """What the page says of a photo."""

    block: Shown
    name: str
    best: str
    texts: tuple[str, ...]
    """All captions, as they are to be chosen from."""
    arrived: float


@dataclass(frozen=True)
class Answers:
    """Photos, and what is to be read of them."""

    photos: Sequence[bytes]
    right: Mapping[tuple[int, Settings], tuple[str, ...]]
    """By the photo's number and the settings."""

    @classmethod
    def of(cls, captioner: Captioner, photos: Sequence[bytes]) -> Answers:
        """By the library itself, for all settings that visitors choose."""
        right = {}
        for n, beam in product(_COUNTS, _BEAMS):
            for number, captions in enumerate(captioner.caption(list(photos), n=n, beam=beam)):
                right[number, (n, beam)] = tuple(caption.text for caption in captions)
        return cls(photos, right)


@dataclass
class Tally:
    """What people got."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    busy: int = 0
    nothing: list[str] = field(default_factory=list)
    """Questions without an answer, and other sentences than that it is busy."""
    opening: list[float] = field(default_factory=list)
    """Seconds from the page's address to all of the page."""
    captions: list[float] = field(default_factory=list)
    """Seconds from a photo's upload to its captions on the page."""
    sliders: list[float] = field(default_factory=list)
    """Seconds from a slider's move to new captions of all photos there."""

    def add(self, other: Tally) -> None:
        self.right += other.right
        self.busy += other.busy
        for name in ("wrong", "nothing", "opening", "captions", "sliders"):
            getattr(self, name).extend(getattr(other, name))


def cards(tab: Visitor) -> list[Card]:
    """The cards with captions, from the top of the page."""
    found = []
    for block in tab.all("add_block"):
        if re.search(r"-card-\d+$", block.proto.id):
            (picture,) = tab.all("imgs", block)
            name = next(text for shown in tab.all("html", block) if (text := _text(shown, "note")))
            best = next(text for shown in tab.all("html", block) if (text := _text(shown, "said")))
            options = [option for radio in tab.all("radio", block) for option in radio.proto.options]
            texts = tuple(_unmarked(option.partition(" :gray[")[0]) for option in options)
            found.append(Card(block, name, best, texts or (best,), picture.arrived))
    return found


def crowd(
    address: str, count: int, seconds: float, answers: Answers, thinking: tuple[float, float] = _THINKING
) -> Tally:
    """`count` visitors at once for so long, each of whom thinks for some seconds between two clicks."""
    tallies = [Tally() for _ in range(count)]
    end = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=_visit, args=(address, number, end, answers, tally, thinking))
        for number, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def _visit(
    address: str, number: int, end: float, answers: Answers, tally: Tally, thinking: tuple[float, float]
) -> None:
    chance = random.Random(number)

    def think() -> None:
        time.sleep(chance.uniform(*thinking))

    try:
        started = time.perf_counter()
        with Visitor(address) as tab:
            tally.opening.append(time.perf_counter() - started)
            person = _Person(tab, answers, tally, settings=FIRST)
            asked = number
            think()
            while time.perf_counter() < end:
                person.upload(asked % len(answers.photos))
                asked += 7  # to no two neighbours the same photos in turn
                think()
                person.choose((chance.choice(_COUNTS), chance.choice(_BEAMS)))
                think()
                if len(person.photos) == _PHOTOS:
                    person.remove_all()
    except Exception as error:
        tally.nothing.append(f"visitor {number}: {error!r}")


@dataclass
class _Person:
    tab: Visitor
    answers: Answers
    tally: Tally
    settings: Settings
    photos: dict[str, int] = field(default_factory=dict)
    """On the page, by the names of their files."""

    def upload(self, number: int) -> None:
        name = f"{len(self.photos)}-{number}.jpg"
        self.photos[name] = number
        started = time.perf_counter()
        self.tab.upload(self.tab.find("file_uploader", "Photos"), {name: self.answers.photos[number]})
        newest = next((card for card in self._read() if card.name == name), None)
        if newest:
            self.tally.captions.append(newest.arrived - started)

    def choose(self, settings: Settings) -> None:
        """By one slider after the other."""
        for place, label in enumerate(_SLIDERS):
            if settings[place] == self.settings[place]:
                continue
            self.settings = tuple(settings[: place + 1] + self.settings[place + 1 :])
            started = time.perf_counter()
            self.tab.set(self.tab.find("slider", label), double_array_value=[float(settings[place])])
            if found := self._read():
                self.tally.sliders.append(max(card.arrived for card in found) - started)

    def remove_all(self) -> None:
        self.tab.set(self.tab.find("button", "Remove all"), trigger_value=True)
        self.photos.clear()

    def _read(self) -> list[Card]:
        """The cards once every photo has its captions; as often as it is busy the person waits and asks again."""
        while self._is_busy():
            self.tally.busy += 1
            time.sleep(_ASK_AGAIN)
            self.tab.set(self.tab.find("button", "Try again"), trigger_value=True)
        found = cards(self.tab)
        for card in found:
            right = self.answers.right[self.photos[card.name], self.settings]
            if (card.best, card.texts) == (right[0], right):
                self.tally.right += 1
            else:
                self.tally.wrong.append(f"{card.name} {self.settings}: {card.texts} instead of {right}")
        for name in self.photos.keys() - {card.name for card in found}:
            self.tally.nothing.append(f"{name} {self.settings}")
        return found

    def _is_busy(self) -> bool:
        said = [_unmarked(alert.proto.body) for alert in self.tab.all("alert")]
        said += [shown.proto.message for shown in self.tab.all("exception")]
        self.tally.nothing += [text for text in said if text != _BUSY]
        return _BUSY in said


def _text(shown: Shown, style: str) -> str | None:
    """Of a paragraph of ours, as it is read."""
    found = re.search(rf'<p class="{style}"[^>]*>(.*?)</p>', shown.proto.body, re.DOTALL)
    return found and html.unescape(found[1])


def _unmarked(text: str) -> str:
    """`app.cards.views.plain` the other way round."""
    return re.sub(r"\\(.)", r"\1", text)
