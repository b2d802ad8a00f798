"""Requests that no friend sends, as bytes on a socket: broken forms, wrong types, huge bodies, bombs, garbage, slow senders.

Each kind makes a request anew from a random generator; `STATUSES` are those it may be answered with.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator

from tests.helpers.paths import EXAMPLES

Pieces = Iterator[bytes]
"""What is sent, one after the other, a tenth of a second apart."""

_BODIES = [
    ("/v1/captions", "image/jpeg"),
    ("/v1/captions", "multipart/form-data; boundary=xyz"),
    ("/v1/text", "application/json"),
    ("/v1/translations", "application/json"),
]
_REAL = (EXAMPLES / "cat.jpg").read_bytes()


def _request(path: str, body: bytes, kind: str = "", method: str = "POST", length: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: service", f"Content-Length: {length or len(body)}"]
    head += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([*head, "", ""]).encode() + body


def _form(random: random.Random, body: bytes, boundary: str = "xyz") -> bytes:
    return _request("/v1/captions", body, f"multipart/form-data; boundary={boundary}")


def _part(name: str, data: bytes) -> bytes:
    said = f'--xyz\r\nContent-Disposition: form-data; name="a"; filename="{name}"\r\n\r\n'
    return said.encode() + data + b"\r\n"


def _broken_form(random: random.Random) -> Pieces:
    whole = _part("a.jpg", _REAL[:5000]) + b"--xyz--\r\n"
    place = random.randrange(1, 200)
    broken = [
        whole[:place],
        whole[:place] + random.randbytes(20) + whole[place:],
        whole.replace(b"--xyz", b"--abc"),
        whole.replace(b"\r\n", b"\n"),
        b"\r\n".join([b"--xyz"] * 50),
        random.randbytes(300),
        _part('"; drop\x00', b"x") + b"--xyz--",
    ]
    yield _form(random, random.choice(broken), random.choice(["xyz", "", "x" * 300, "ü"]))


def _many_parts(random: random.Random) -> Pieces:
    yield _form(random, _part("a.jpg", b"x") * random.randrange(17, 2000) + b"--xyz--\r\n")


def _fields(random: random.Random) -> Pieces:
    field = b'--xyz\r\nContent-Disposition: form-data; name="beam"\r\n\r\n3\r\n'
    yield _form(random, field * random.randrange(1, 1500) + b"--xyz--\r\n")


def _wrong_type(random: random.Random) -> Pieces:
    kinds = [
        "text/plain",
        "application/json",
        "",
        "image",
        "*/*",
        "multipart/mixed; boundary=q",
        "\x7f",
        "a" * 5000,
    ]
    yield _request("/v1/captions", random.choice([b"", b"{}", _REAL]), random.choice(kinds))


def _no_picture(random: random.Random) -> Pieces:
    starts = [
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"II*\0",
        b"<svg/>",
        b"%PDF-1.7",
        b"BM",
    ]
    yield _request(
        "/v1/captions", random.choice(starts) + random.randbytes(random.randrange(1, 3000)), "image/jpeg"
    )


def _torn_picture(random: random.Random) -> Pieces:
    yield _request("/v1/captions", _REAL[: random.randrange(1, len(_REAL) // 3)], "image/jpeg")


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG that says it is so large, of grey levels."""

    def chunk(name: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


_ZEROS = zlib.compress(bytes(50_000_000), 9)


def _bomb(random: random.Random) -> Pieces:
    side = random.choice([10_000, 60_000, 2**31 - 1])
    yield _request("/v1/captions", png(side, side, _ZEROS), "image/png")


def _text_bomb(random: random.Random) -> Pieces:
    """A picture of one pixel, and a comment that grows a thousand times."""
    comment = b"zTXta\0\0" + _ZEROS
    held = struct.pack(">I", len(comment) - 4) + comment + struct.pack(">I", zlib.crc32(comment))
    small = png(1, 1, b"torn")
    yield _request("/v1/captions", small[:33] + held + small[33:], "image/png")


def _said_huge(random: random.Random) -> Pieces:
    path, kind = random.choice(_BODIES)
    yield _request(path, b"", kind, length=str(random.choice([400_000_000, 10**12, 10**19])))


def _huge(random: random.Random) -> Pieces:
    """Without a length: 22 MB of a photo or of JSON, in parts."""
    path, kind = random.choice([_BODIES[0], *_BODIES[2:]])
    yield f"POST {path} HTTP/1.1\r\nHost: s\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    yield (b"100000\r\n" + b" " * 2**20 + b"\r\n") * 22


def _settings(random: random.Random) -> Pieces:
    name = random.choice(
        ["n", "beam", "temperature", "top_k", "top_p", "seed", "max_length", "language", "attention"]
    )
    value = random.choice(
        ["-1", "nan", "inf", "1e400", "99999999999999999999", "a", "%00", "%FF", "[]", "1.5.2"]
    )
    yield _request(f"/v1/captions?{name}={value}", _REAL, "image/jpeg")


def _json(random: random.Random) -> Pieces:
    path = random.choice(["/v1/text", "/v1/text/stream", "/v1/translations", "/v1/classes"])
    bodies = [
        b"{",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'"\\ud800"',
        b"\xff\xfe{}",
        b'{"length": 1e999}',
        b'{"length": ' + b"9" * 5000 + b"}",
        b'{"prompt": 1}',
        b'{"texts": "no list"}',
        b'{"texts": [null]}',
        json.dumps({"texts": ["a"] * 5000, "prompt": "a" * 5000}).encode(),
        b'{"unknown": 1}',
        b'{"model": "../../etc/passwd"}',
        b'{"temperature": NaN}',
        b"\0" * 1000,
    ]
    yield _request(path, random.choice(bodies), "application/json")


def _path(random: random.Random) -> Pieces:
    paths = [
        "/",
        "/v1",
        "/../../etc/passwd",
        "/%00",
        "/v1/captions/",
        "//v1/captions",
        "/" + "a" * 8000,
        "/v1/%F0%9F%98%80",
    ]
    yield _request(random.choice(paths), b"", method=random.choice(["GET", "POST", "DELETE"]))


def _method(random: random.Random) -> Pieces:
    yield _request(
        "/v1/captions",
        b"",
        method=random.choice(["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "OPTIONS"]),
    )


def _garbage(random: random.Random) -> Pieces:
    yield random.choice(
        [
            random.randbytes(200),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(500),  # a hello of TLS
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"POST /v1/captions HTTP/1.1\r\nHost: s\r\nContent-Length: -5\r\n\r\n",
            b"POST /v1/captions HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST /v1/captions HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        ]
    )


def _bad_chunk(random: random.Random) -> Pieces:
    head = b"POST /v1/captions HTTP/1.1\r\nHost: s\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield head + random.choice([b"zz\r\nhello\r\n", b"-1\r\n\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n"])


def _slow_body(random: random.Random) -> Pieces:
    path, kind = random.choice(_BODIES)
    yield _request(path, b"", kind, length="1000")
    for _ in range(100):
        yield b"-"


def _slow_head(random: random.Random) -> Pieces:
    for letter in b"POST /v1/captions HTTP/1.1\r\nHost: service\r\n" * 3:
        yield bytes([letter])


def _torn_off(random: random.Random) -> Pieces:
    """Gone in the middle of its body; nobody is there to be told."""
    yield _request("/v1/captions", _REAL[: random.randrange(1, 20_000)], "image/jpeg", length=str(len(_REAL)))


UNHEARD = "torn off"
KINDS: dict[str, Callable[[random.Random], Pieces]] = {
    "broken form": _broken_form,
    "form of too many photos": _many_parts,
    "form of fields": _fields,
    "wrong type": _wrong_type,
    "no picture": _no_picture,
    "torn picture": _torn_picture,
    "bomb of pixels": _bomb,
    "bomb of text": _text_bomb,
    "said to be huge": _said_huge,
    "huge": _huge,
    "settings": _settings,
    "JSON": _json,
    "path": _path,
    "method": _method,
    "garbage": _garbage,
    "bad chunk": _bad_chunk,
    "slow body": _slow_body,
    "slow head": _slow_head,
    UNHEARD: _torn_off,
}


def answered(address: tuple[str, int], kind: str, random: random.Random, timeout: float = 60) -> bytes:
    """What comes back of a request of a kind, until the other end closes or a whole answer is there; nothing where none came."""
    found = b""
    with socket.create_connection(address, timeout=timeout) as connection:
        try:
            for place, piece in enumerate(KINDS[kind](random)):
                if place:
                    time.sleep(0.1)
                connection.sendall(piece)
            if kind == UNHEARD:
                return b""
        except OSError:
            pass  # it was told before it had sent everything
        try:
            while not _is_whole(found) and (part := connection.recv(65536)):
                found += part
        except ConnectionResetError:
            pass
    return found


def _is_whole(found: bytes) -> bool:
    head, _, body = found.partition(b"\r\n\r\n")
    return (length := _length(head)) is not None and len(body) >= length


def _length(head: bytes) -> int | None:
    lines = head.lower().split(b"\r\n")
    return next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), None)


def why_wrong(kind: str, answer: bytes) -> str | None:
    """What is wrong with the answer to a request of a kind: it should be a refusal, 4xx, of one sentence as JSON."""
    if kind == UNHEARD:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    body = body[: _length(head)]  # garbage may be taken for two requests
    status = head[9:12].decode("latin-1")
    if not status.startswith("4"):
        return f"status {status or 'none'}: {answer[:300]!r}"
    if head.startswith(b"HTTP/1.1 405") and not body:
        return None
    try:
        (key, sentence), *more = json.loads(body).items()
    except (ValueError, AttributeError):
        return f"no JSON: {answer[:300]!r}"
    if key != "error" or more or "\n" in sentence or "Traceback" in sentence or not sentence:
        return f"no sentence: {body[:300]!r}"
    return None
