"""The service: the command line's answers behind an address, and one sentence where there is none."""

import asyncio
import io
import json
import threading

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed")
import httpx
from fastapi.testclient import TestClient

from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.refusals import ImageError
from captioner.serve import load_models, read_token
from captioner.service.answers import Busy
from captioner.service.application import create_app
from captioner.service.config import ServiceConfig
from captioner.service.models import Models
from captioner.service.turns import Batches, Turns
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX
from textgen.errors import UserError

JPEG = {"content-type": "image/jpeg"}


def picture(name="cat"):
    return (EXAMPLES / f"{name}.jpg").read_bytes()


@pytest.fixture(scope="module")
def models():
    return load_models(None, "auto")


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def client(models, lines):
    with TestClient(create_app(models, ServiceConfig(photos=4, photo_mb=1.0), log=lines.append)) as found:
        yield found


def told(response, status):
    """The one sentence of a refusal."""
    assert response.status_code == status, response.text
    (name,) = response.json()
    text = response.json()["error"]
    assert name == "error" and "\n" not in text and "Traceback" not in text and text
    return text


# --- captions


def test_a_photo_is_captioned_as_the_command_line_does(client, models):
    found = client.post("/v1/captions", params={"n": 2, "beam": 4}, content=picture(), headers=JPEG).json()
    expected = models.captioner.caption(EXAMPLES / "cat.jpg", n=2, beam=4)
    assert [one["text"] for one in found["photos"][0]["captions"]] == [one.text for one in expected]
    assert found["model"] == models.captioner.hash and found["beam"] == 4
    assert found["photos"][0]["captions"][0]["confidence"] == round(expected[0].confidence, 3)


def test_a_form_of_photos_has_an_entry_each(client):
    files = [
        ("a", ("cat.jpg", picture())),
        ("b", ("x.txt", b"hello there")),
        ("c", ("dog.jpg", picture("coffee"))),
    ]
    found = client.post("/v1/captions", files=files).json()["photos"]
    assert [one["photo"] for one in found] == ["cat.jpg", "x.txt", "dog.jpg"]
    assert "captions" in found[0] and "error" in found[1] and "captions" in found[2]


def test_attention_is_told_where_it_is_asked_for(client):
    entry = client.post("/v1/captions?attention=true", content=picture(), headers=JPEG).json()["photos"][0]
    (caption,) = entry["captions"]
    assert len(caption["attention"]) == len(caption["words"])
    assert sum(map(sum, caption["attention"][0])) == pytest.approx(1, abs=0.01)


def test_requests_side_by_side_get_each_its_own(client):
    names = ["cat", "coffee", "astronaut", "rocket"] * 4
    alone = {
        name: client.post("/v1/captions", content=picture(name), headers=JPEG).json() for name in set(names)
    }
    found = {}

    def ask(place):
        name = names[place]
        found[place] = client.post("/v1/captions", content=picture(name), headers=JPEG).json() == alone[name]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16 and all(found.values())


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b"hello", "headers": {"content-type": "text/plain"}}, 415, "send one photo as the body"),
        ({"content": b"hello"}, 415, "of no type"),
        ({"content": b"", "headers": JPEG}, 422, "the body is empty"),
        ({"content": b"hello there", "headers": JPEG}, 422, "not a picture"),
        ({"content": b"\xff\xd8\xff" + bytes(100), "headers": JPEG}, 422, "picture"),
        ({"content": bytes(2_000_000), "headers": JPEG}, 413, "a photo is larger than 1 MB"),
        ({"content": iter([bytes(600_000)] * 3), "headers": JPEG}, 413, "a photo is larger than 1 MB"),
        ({"files": [("a", ("a.jpg", bytes(1_100_000)))]}, 413, "a photo is larger than 1 MB"),
        ({"files": [("a", (f"{i}.jpg", b"x")) for i in range(5)]}, 413, "more than 4 photos"),
        ({"files": [("a", ("a.jpg", bytes(5_000_000)))]}, 413, "larger than 4 photos of 1 MB"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "the form is damaged"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=q"}}, 422, "form"),
        ({"files": [("a", (None, b"x"))]}, 422, "a field that is no file"),
    ],
)
def test_what_is_no_photo_is_told_by_its_status_and_a_sentence(client, request_, status, message):
    assert message in told(client.post("/v1/captions", **request_), status)


def test_a_bomb_is_refused_by_its_pixels(client):
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    assert "megapixels" in told(client.post("/v1/captions", content=file.getvalue(), headers=JPEG), 413)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("beam=x", "beam: "),
        ("beam=0", "beam: "),
        ("n=1000", "n: "),
        ("temperature=-1", "temperature: -1.0"),
        ("temperature=nan", "temperature: nan"),
        ("top_k=3", "they need a temperature"),
        ("seed=-1", "seed: "),
        ("language=xx", "language: unknown 'xx'"),
        ("max_length=0", "max_length: "),
        ("bem=5", "bem: unknown; known: n, beam, "),
        ("n=100&temperature=1&max_length=1000", "n, beam, max_length: 100,000 tokens may be computed"),
        ("n=100&max_length=60&language=de", "n, beam, max_length: "),
    ],
)
def test_settings_out_of_range_are_named(client, query, message):
    assert message in told(client.post(f"/v1/captions?{query}", content=picture(), headers=JPEG), 422)


# --- text


def test_a_prompt_is_read_on_and_streamed_the_same(client, models):
    body = {"prompt": "ROMEO:", "length": 50, "seed": 1, "model": "shakespeare"}
    found = client.post("/v1/text", json={**body, "n": 2}).json()
    generator = models.text("shakespeare")
    assert [one["text"] for one in found["texts"]] == [
        one.text for one in generator.generate("ROMEO:", n=2, length=50, seed=1)
    ]
    events = client.post("/v1/text/stream", json=body).text.strip().split("\n\n")
    assert events[-1] == "event: end\ndata: {}"
    pieces = [json.loads(event.removeprefix("data: "))["text"] for event in events[:-1]]
    assert "".join(pieces) == found["texts"][0]["text"] and len(pieces) > 2


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("{", 422, "the body is not JSON"),
        ("[]", 422, "body: "),
        ('{"prompt": 1}', 422, "prompt: "),
        ('{"prompt": "a", "promt": "b"}', 422, "promt: "),
        ('{"model": "../../etc"}', 422, "model: unknown '../../etc'; known: "),
        ('{"length": 1000000}', 422, "length: 1,000,000 is more than 2,000"),
        ('{"length": 0}', 422, "length: 0"),
        ('{"temperature": -1}', 422, "temperature: -1"),
        ('{"prompt": "\\ud800"}', 422, "prompt: not UTF-8"),
        ('{"stop": [""]}', 422, "stop: "),
        ('{"stop": ["\\ud800"]}', 422, "stop: not UTF-8"),
        ('{"n": 100, "length": 2000}', 422, "n, length: 200,000 tokens may be computed"),
        (json.dumps({"prompt": "a" * 3000}), 413, "prompt: 3,000 characters; 2,000 at most"),
    ],
)
def test_texts_that_cannot_be_are_told(client, body, status, message):
    for path in ("/v1/text", "/v1/text/stream"):
        response = client.post(path, content=body, headers={"content-type": "application/json"})
        assert message in told(response, status)
    assert "cannot be streamed" in told(client.post("/v1/text/stream", json={"n": 2}), 422)


def test_a_body_of_a_million_wrong_texts_is_told_by_the_first(client):
    body = '{"texts": [' + ",".join(["1"] * 1_000_000) + "]}"
    answer = client.post("/v1/classes", content=body, headers={"content-type": "application/json"})
    assert told(answer, 422) == "texts.0: input should be a valid string"
    assert "larger than 2.5 MB" in told(client.post("/v1/classes", json={"texts": ["a" * 3_000_000]}), 413)
    long = {"texts": ["a" * 2000] * 100}
    assert "tokens may be computed" in told(client.post("/v1/translations", json=long), 422)


def test_models_that_are_not_in_the_box_are_told(client, models):
    listed = {one["kind"]: one["name"] for one in client.get("/v1/models").json()["models"]}
    assert listed["captioner"] == MODEL_IN_THE_BOX.name
    for kind, path in (("translator", "/v1/translations"), ("classifier", "/v1/classes")):
        if kind in listed:
            found = client.post(path, json={"texts": ["A dog runs.", ""]})
            assert found.status_code == 200, found.text
        else:
            assert f"no {kind} in the box" in told(client.post(path, json={"texts": ["A dog"]}), 422)
        assert "more than 100 texts" in told(client.post(path, json={"texts": ["a"] * 101}), 413)


# --- around it


def test_health_figures_and_unknown_paths(client):
    assert client.head("/healthz").status_code == client.head("/readyz").status_code == 200
    assert client.get("/healthz").text == "ok" and client.get("/readyz").text == "ready"
    client.post("/v1/captions", content=picture(), headers=JPEG)
    text = client.get("/metrics").text
    assert 'captioner_requests_total{path="/v1/captions",status="200"}' in text
    assert "captioner_photos_total" in text and "captioner_queue 0.0" in text
    assert told(client.get("/nothing"), 404) == "not found"
    assert told(client.get("/v1/captions"), 405) == "method not allowed"


def test_a_request_has_an_id_and_a_line_without_what_was_sent(client, lines):
    lines.clear()
    answer = client.post("/v1/captions?beam=2", content=picture(), headers={**JPEG, "X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    odd = client.get("/secret-name", headers={"X-Request-ID": "a b\n"})
    assert len(odd.headers["x-request-id"]) == 32
    first, second = map(json.loads, lines)
    assert (first["request_id"], first["status"], first["path"]) == ("abc-1", 200, "/v1/captions")
    assert second["path"] == "other" and "secret" not in lines[1] and first["milliseconds"] > 0


def test_the_pages_about_it_have_every_path(client):
    document = client.get("/openapi.json").json()
    assert {"/v1/captions", "/v1/text", "/v1/text/stream", "/v1/translations", "/v1/classes"} <= set(
        document["paths"]
    )
    example = document["components"]["schemas"]["TextRequest"]["properties"]
    body = {name: field["examples"][0] for name, field in example.items() if "examples" in field}
    assert client.post("/v1/text", json=body).status_code == 200
    assert client.get("/docs").status_code == 200


def test_with_a_token_who_has_none_is_turned_away(models, tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    app = create_app(models, ServiceConfig(), read_token(file), log=lambda line: None)
    with TestClient(app) as client:
        for headers in (
            {},
            {"authorization": "Bearer 0123456789abcdeg"},
            {"authorization": "Basic 0123456789abcdef"},
        ):
            answer = client.get("/v1/models", headers=headers)
            assert told(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        assert (
            client.get("/v1/models", headers={"authorization": "bearer 0123456789abcdef"}).status_code == 200
        )
        assert client.get("/healthz").status_code == 200 and client.get("/metrics").status_code == 401
        assert "HTTPBearer" in client.get("/openapi.json").json()["components"]["securitySchemes"]


@pytest.mark.parametrize("text", ["", "short", "with a space 12345678", "ünïcödé-0123456789"])
def test_a_token_that_is_none_is_told(tmp_path, text):
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(UserError, match="holds no token"):
        read_token(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "none")


# --- turns


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


def test_limits_that_contradict_one_another_are_told():
    with pytest.raises(UserError, match="queue: 8 has no room for the 16 photos"):
        ServiceConfig(queue=8)


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
