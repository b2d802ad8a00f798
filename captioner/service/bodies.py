"""Photos out of a request: the body itself is one, or it is a form with some."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from captioner.service.answers import Refused
from captioner.service.config import ServiceConfig

_FORM, _RAW = "multipart/form-data", ("image/", "application/octet-stream")


class Photo(NamedTuple):
    """A photo as it was sent."""

    name: str
    data: bytes


async def read_photos(request: Request, config: ServiceConfig) -> list[Photo]:
    """The photos of a request's body, which is bounded (`Bounded`). Raises Refused: 408, 413, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == _FORM
    if not is_form and not kind.startswith(_RAW):
        raise Refused(
            415,
            f"send one photo as the body, with a content type such as image/jpeg, or several as {_FORM}; "
            f"this is {kind or 'of no type'}",
        )
    return await (_form if is_form else _raw)(request, config)


async def _raw(request: Request, config: ServiceConfig) -> list[Photo]:
    data, most = bytearray(), config.photo_mb * 1_000_000
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise _too_large(config)
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise _too_large(config)
    if not data:
        raise Refused(422, "the body is empty; send a photo")
    return [Photo("photo", bytes(data))]


async def _form(request: Request, config: ServiceConfig) -> list[Photo]:
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=config.photos + 1,
        max_fields=0,
    )
    try:
        form = await parser.parse()
    except Refused:
        raise
    except MultiPartException as error:
        raise _wrong_form(error.message, config) from None
    except HTTPException as error:
        raise _wrong_form(str(error.detail), config) from None
    except (KeyError, UnicodeDecodeError, ValueError) as error:
        raise Refused(422, "the form is damaged; send photos as files of multipart/form-data") from error
    try:
        return await _photos(form, config)
    finally:
        await form.close()


async def _photos(form: FormData, config: ServiceConfig) -> list[Photo]:
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        raise Refused(422, "the form has no photo; send photos as its files")
    if len(files) > config.photos:
        raise Refused(413, f"more than {config.photos} photos; send fewer at a time")
    photos = []
    for file in files:
        data = await file.read()
        if len(data) > config.photo_mb * 1_000_000:
            raise _too_large(config)
        photos.append(Photo((file.filename or "photo")[:255], data))
    return photos


def _too_large(config: ServiceConfig) -> Refused:
    return Refused(413, f"a photo is larger than {config.photo_mb:g} MB; send a smaller one")


def _wrong_form(why: str, config: ServiceConfig) -> Refused:
    if "Too many files" in why:
        return Refused(413, f"more than {config.photos} photos; send fewer at a time")
    if "Too many fields" in why:
        return Refused(
            422, "the form has a field that is no file; settings stand in the address, as in ?beam=3"
        )
    return Refused(422, "the form is damaged; send photos as files of multipart/form-data")
