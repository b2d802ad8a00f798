"""Who is served when: those who wait are captioned side by side, none waits for ever, and nobody's defect is another's."""

import asyncio
import threading

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
import httpx
from fastapi.testclient import TestClient

from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.refusals import ImageError
from captioner.service.answers import Busy
from captioner.service.application import create_app
from captioner.service.config import ServiceConfig
from captioner.service.models import Models
from captioner.service.turns import Batches, Turns
from tests.helpers.answers import JPEG, told


class Slow:
    """A captioner that waits for a sign."""

    hash, workers = "0" * 64, 1

    def __init__(self):
        self.go, self.batches = threading.Event(), []

    def caption_each(self, pictures, config=DecodingConfig(), *rest):
        self.batches.append(len(pictures))
        self.go.wait(20)
        for data in pictures:
            yield (
                ImageError("picture: broken")
                if data == b"broken"
                else [Caption(data.decode(), -1.0, True, ())]
            )


def asked(app, *bodies, before=lambda: None):
    """The answers of requests that are sent at once."""

    async def run():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                tasks = []
                for body in bodies:
                    tasks.append(asyncio.create_task(client.post("/v1/captions", content=body, headers=JPEG)))
                    await asyncio.sleep(0.05)
                before()
                return await asyncio.gather(*tasks)

    return asyncio.run(run())


def service(captioner, **settings):
    models = Models(captioner, *[lambda name: None] * 3, (), lambda: [])
    return create_app(models, ServiceConfig(**settings), log=lambda line: None)


def test_those_who_wait_are_captioned_side_by_side_and_the_next_is_told_to_come_again():
    captioner = Slow()
    found = asked(
        service(captioner, photos=1, queue=4, batch=3),
        *(f"{i}".encode() for i in range(7)),
        before=captioner.go.set,
    )
    assert [one.status_code for one in found] == [200] * 5 + [503] * 2
    assert [one.json()["photos"][0]["captions"][0]["text"] for one in found[:5]] == list("01234")
    assert captioner.batches == [1, 3, 1] and int(found[6].headers["retry-after"]) >= 1


def test_a_wait_that_is_too_long_is_told_and_what_has_begun_is_ended():
    captioner = Slow()
    later = threading.Timer(1.0, captioner.go.set)
    app = service(captioner, wait_seconds=0.3)
    found = asked(app, b"a", b"b", b"c", before=later.start)
    assert [one.status_code for one in found] == [200, 503, 503] and captioner.batches == [1]


def test_who_has_gone_leaves_no_photo_in_the_queue():
    async def run():
        go = threading.Event()
        batches = Batches(lambda key, items: go.wait(10) and list(items), 1, 8, 4, 10.0)
        first = asyncio.create_task(batches.result("a", ["x"]))
        waiting = [asyncio.create_task(batches.result("a", ["y", "z"])) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert len(batches) == 4
        for one in waiting:
            one.cancel()
        await asyncio.sleep(0.05)
        assert len(batches) == 0
        go.set()
        assert await first == ["x"]
        await batches.close()

    asyncio.run(run())


def test_a_broken_photo_among_others_harms_none():
    captioner = Slow()
    captioner.go.set()
    found = asked(service(captioner), b"a", b"broken", b"c")
    assert [one.status_code for one in found] == [200, 422, 200]


def test_a_defect_of_ours_is_told_as_one_and_the_next_is_served():
    class Broken(Slow):
        def caption_each(self, pictures, *rest):
            if pictures[0] == b"boom":
                raise ValueError("secret")
            return super().caption_each(pictures, *rest)

    captioner = Broken()
    captioner.go.set()
    app = service(captioner)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/v1/captions", content=b"boom", headers={**JPEG, "X-Request-ID": "abc"})
        assert told(answer, 500) == "something went wrong on our side"
        assert answer.headers["x-request-id"] == "abc"
        assert client.post("/v1/captions", content=b"a", headers=JPEG).status_code == 200


def test_a_defect_that_one_photo_meets_harms_none_beside_it():
    class Broken(Slow):
        def caption_each(self, pictures, *rest):
            found = list(super().caption_each(pictures, *rest))
            if b"boom" in pictures:
                raise ValueError("secret")
            return iter(found)

    captioner = Broken()
    app = service(captioner)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def run():
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://t") as to,
        ):
            bodies = [b"first", b"a", b"boom", b"c"]
            asking = [
                asyncio.create_task(to.post("/v1/captions", content=one, headers=JPEG)) for one in bodies
            ]
            await asyncio.sleep(0.1)
            captioner.go.set()
            return await asyncio.gather(*asking)

    assert [one.status_code for one in asyncio.run(run())] == [200, 200, 500, 200]


def test_turns_are_bounded_and_given_back():
    async def run():
        turns = Turns(1, 1, 0.2)
        async with turns.place():
            waiting = asyncio.create_task(turns.place().__aenter__())
            await asyncio.sleep(0.02)
            with pytest.raises(Busy):
                async with turns.place():
                    pass
            with pytest.raises(Busy):
                await waiting
        async with turns.place():
            pass

    asyncio.run(run())


def test_who_has_gone_is_not_worked_for():
    async def run():
        go, seen = threading.Event(), []

        def work(key, items):
            seen.append(list(items))
            go.wait(10)
            return items

        batches = Batches(work, 1, 8, 8, 10.0)
        first = asyncio.create_task(batches.result("a", ["x"]))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(batches.result("a", ["y"]))
        stays = asyncio.create_task(batches.result("b", ["z"]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0.05)
        go.set()
        assert await first == ["x"] and await stays == ["z"] and seen == [["x"], ["z"]]
        await batches.close()

    asyncio.run(run())
