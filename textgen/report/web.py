"""A web page that needs nothing else, and the elements that it is made of."""

from __future__ import annotations

import base64
import html
from pathlib import Path

_STYLE = Path(__file__).with_name("page.css")
_VOID = {"meta", "link", "img", "wbr"}
# Nothing may be fetched, whatever the captions say.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


class Html(str):
    """Markup. Every other text is escaped when it comes into an element, so that none can be forgotten."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """`<name attribute="...">content</name>`.

    Attributes are given as `class_` or `data_rows`; one that is None or False is left out, one that is True
    has no value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            words.append(key if value is True else f'{key}="{_escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Html(start if name in _VOID else f"{start}{joined(*content)}</{name}>")


def joined(*content: object) -> Html:
    """`content` one after the other, all but markup escaped."""
    return Html("".join(part if isinstance(part, Html) else _escape(part) for part in content))


def _escape(value: object) -> str:
    # JSON can carry half a surrogate pair, which no file can.
    return html.escape(str(value).encode("utf-8", "replace").decode())


def web_page(title: str, *content: Html) -> str:
    """A whole file in the style of reports, to be written in UTF-8; nothing that it shows is fetched."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    return joined(
        Html("<!doctype html>\n"), element("html", head, element("body", *content), lang="en"), "\n"
    )


def embedded(jpeg: bytes) -> str:
    """The address of a picture that lies in the page itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
