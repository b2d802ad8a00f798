"""The service's paths: what each takes, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Query, Request, Security
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from fastapi.security import HTTPBearer

from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.refusals import ImageError, ImageLimits
from captioner.report.exports import captions_document
from captioner.service.answers import DESCRIBED, Refused, add_handlers, of_image
from captioner.service.bodies import Photo, read_photos
from captioner.service.config import ServiceConfig
from captioner.service.models import Models
from captioner.service.receiving import Bounded
from captioner.service.requests import (
    LinesRequest,
    TextRequest,
    TranslationRequest,
    caption_words,
    check_names,
    check_work,
    decoding_settings,
)
from captioner.service.turns import Batches, Turns
from captioner.service.watching import Figures, Watched
from captioner.version import __version__
from textgen.errors import UserError

T = TypeVar("T")
_PIECES = 16  # tokens of a streamed text that are generated in a turn
_PHOTOS = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "photos": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
        },
    }
}


def create_app(
    models: Models, config: ServiceConfig, token: str | None = None, log: Callable[[str], None] | None = None
) -> FastAPI:
    """The application of `models`; with a `token`, for those who send it. `log` takes a line a request."""
    limits = ImageLimits(int(config.photo_mb * 1_000_000), int(config.max_megapixels * 1_000_000))
    captioner = models.captioner

    def caption(
        key: tuple[DecodingConfig, bool, str | None], photos: Sequence[bytes]
    ) -> list[list[Caption] | ImageError]:
        decoding, attention, language = key
        return list(captioner.caption_each(photos, decoding, attention, config.batch, limits, language))

    batches = Batches(caption, captioner.workers, config.batch, config.queue, config.wait_seconds)
    turns = Turns(captioner.workers, config.queue, config.wait_seconds)
    figures = Figures(captioner.hash, lambda: len(batches))
    ready = asyncio.Event()

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        ready.set()
        yield
        ready.clear()
        await batches.close()

    app = FastAPI(
        title="captioner",
        version=__version__,
        description="Captions for photos and text from prompts, by small models on an ordinary CPU.",
        lifespan=life,
        dependencies=[Security(HTTPBearer(auto_error=False))] if token else [],
        responses={status: DESCRIBED[status] for status in (401, 422, 503)},
    )
    add_handlers(app)
    app.router.redirect_slashes = False
    app.add_middleware(Bounded, config=config, photos="/v1/captions")
    paths = {route.path for route in app.routes if hasattr(route, "path")}

    async def computed(work: Callable[[], T]) -> T:
        """What `work` gives, in a thread, once it is its turn."""
        async with turns.place():
            working = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(working)
            finally:  # who has gone keeps the place until the thread is free
                await asyncio.wait([working])

    @app.post(
        "/v1/captions",
        openapi_extra=_PHOTOS,
        responses={status: DESCRIBED[status] for status in (408, 413, 415)},
    )
    async def captions(
        request: Request,
        settings: Annotated[DecodingConfig, Depends(decoding_settings)],
        attention: Annotated[bool, Query(description="Where the model looked for each word.")] = False,
        language: Annotated[str, Query(description="en, de or fr", examples=["en"])] = "en",
    ) -> dict[str, Any]:
        """Captions of the photo that is the body, or of each file of a form: as `captioner caption --json` prints them."""
        if language not in ("en", *models.languages):
            known = ", ".join(("en", *models.languages))
            raise Refused(422, f"language: unknown {language[:20]!r}; known: {known}")
        check_names(request)
        batches.check_room(1)  # before a body is read that would be refused
        photos = await read_photos(request, config)
        check_work("n, beam, max_length", len(photos) * caption_words(settings, language), config)
        found = await batches.result((settings, attention, language), [photo.data for photo in photos])
        figures.photos.inc(sum(not isinstance(one, ImageError) for one in found))
        if len(photos) == 1 and isinstance(found[0], ImageError):
            raise of_image(found[0])
        return _document(captioner.hash, settings, photos, found, attention)

    @app.post("/v1/text", responses={413: DESCRIBED[413]})
    async def text(body: TextRequest) -> dict[str, Any]:
        """Texts that read a prompt on: as `textgen generate --json` prints them."""
        settings = asdict(body.config(config))

        def work() -> dict[str, Any]:
            generator = models.text(body.model)
            texts = generator.generate(body.prompt, n=body.n, **settings)
            return {"model": generator.hash, **settings, "texts": [asdict(one) for one in texts]}

        return await computed(work)

    @app.post(
        "/v1/text/stream",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            413: DESCRIBED[413],
        },
    )
    async def text_stream(body: TextRequest) -> StreamingResponse:
        """One text as it comes, as server-sent events: `data: {"text": "..."}` each, and `event: end` at its end."""
        settings = asdict(body.config(config))
        if body.n != 1:
            raise Refused(422, f"n: {body.n} texts cannot be streamed as one; leave it at 1")
        pieces = await computed(lambda: models.text(body.model).stream(body.prompt, **settings))
        first, more = await computed(lambda: _some(pieces))
        return StreamingResponse(events(pieces, first, more), media_type="text/event-stream")

    async def events(pieces: Iterator[str], said: str, more: bool) -> AsyncIterator[str]:
        while True:
            if said:
                yield f"data: {json.dumps({'text': said})}\n\n"
            if not more:
                break
            try:
                said, more = await computed(lambda: _some(pieces))
            except (Refused, UserError) as error:
                why = error.why if isinstance(error, Refused) else str(error)
                yield f"event: error\ndata: {json.dumps({'error': why})}\n\n"
                return
        yield "event: end\ndata: {}\n\n"

    @app.post("/v1/translations", responses={413: DESCRIBED[413]})
    async def translations(body: TranslationRequest) -> dict[str, Any]:
        """Each text in another language: as `textgen translate --json` prints them."""
        texts = body.checked(config)

        def work() -> dict[str, Any]:
            translator = models.translator(body.model)
            found = translator.translate(texts, beam=body.beam, n=body.n)
            about = {"model": translator.hash, "languages": list(translator.languages)}
            return {**about, "translations": [asdict(one) for one in found]}

        return await computed(work)

    @app.post("/v1/classes", responses={413: DESCRIBED[413]})
    async def classes(body: LinesRequest) -> dict[str, Any]:
        """What each text is taken for, with calibrated probabilities."""
        texts = body.checked(config)

        def work() -> dict[str, Any]:
            classifier = models.classifier(body.model)
            return {"model": classifier.hash, "texts": [asdict(one) for one in classifier.classify(texts)]}

        return await computed(work)

    @app.get("/v1/models")
    async def listed() -> dict[str, Any]:
        """The models that can be asked for by their names."""
        return {"captioner": captioner.hash, "models": await asyncio.to_thread(models.listing)}

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthy() -> str:
        """Whether the process lives."""
        return "ok"

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", response_class=PlainTextResponse)
    async def is_ready() -> PlainTextResponse:
        """Whether it takes requests."""
        return PlainTextResponse("ready" if ready.is_set() else "not ready", 200 if ready.is_set() else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Requests, their time, the queue and refusals, for Prometheus."""
        return Response(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    paths |= {route.path for route in app.routes if hasattr(route, "path")}
    told = {} if log is None else {"log": log}
    app.add_middleware(Watched, figures=figures, paths=lambda: paths, token=token, **told)
    return app


def _document(
    model: str,
    settings: DecodingConfig,
    photos: Sequence[Photo],
    found: Sequence[list[Caption] | ImageError],
    attention: bool,
) -> dict[str, Any]:
    named = [(photo.name, one) for photo, one in zip(photos, found, strict=True)]
    document = captions_document(model, settings, named)
    if attention:
        for entry, one in zip(document["photos"], found, strict=True):
            for said, caption in zip(
                entry.get("captions", ()), one if isinstance(one, list) else (), strict=True
            ):
                assert caption.attention is not None, "it was asked for"
                said["words"] = list(caption.words)
                said["attention"] = caption.attention.round(4).tolist()
    return document


def _some(pieces: Iterator[str]) -> tuple[str, bool]:
    """The next pieces of a text, and whether there may be more."""
    said = []
    for _ in range(_PIECES):
        try:
            said.append(next(pieces))
        except StopIteration:
            return "".join(said), False
    return "".join(said), True
