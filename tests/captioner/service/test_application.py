"""The service: the command line's answers behind an address, and one sentence where there is none."""

import io
import json
import threading

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="fastapi is not installed")
from fastapi.testclient import TestClient

from captioner.serve import load_models, read_token
from captioner.service.application import create_app
from captioner.service.config import ServiceConfig
from tests.helpers.answers import JPEG, told
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX
from textgen.errors import UserError


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
    names = ["cat", "coffee", "photographer"] * 5
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
    assert len(found) == len(names) and all(found.values())


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


def test_limits_that_contradict_one_another_are_told():
    with pytest.raises(UserError, match="queue: 8 has no room for the 16 photos"):
        ServiceConfig(queue=8)
