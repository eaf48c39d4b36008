"""Bodies and headers as they come off the wire: limited while they stream, decoded strictly, never repeated back.

What is wrong here is wrong with the HTTP or the JSON itself (400, 408, 413, 415). Whether the content fits a
deployment is :mod:`gateway.core.inputs`' business.
"""

import asyncio
import math
import re
from collections.abc import Collection

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gateway.core.outcomes import seconds

_JSON = re.compile(r"application/(json|[a-z0-9.!#$&^_-]+\+json)", re.ASCII)
_DECODER = msgspec.json.Decoder()
_EPOCH = re.compile(r"-?\d{1,11}(\.\d{1,9})?", re.ASCII)
_MILLISECONDS = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_CLOSE = {"Connection": "close"}
"""The rest of a body that nobody reads must not be taken for the next request."""


async def read_json(request: Request, limit: int, patience_s: float) -> object:
    """Read and decode a JSON body of at most ``limit`` bytes that arrives within ``patience_s`` seconds.

    A repeated member counts once, with its last value. Raises HTTPException as :func:`read_bytes`, and 400 for what is
    no JSON.
    """
    return decode(await read_bytes(request, limit, patience_s))


async def read_bytes(request: Request, limit: int, patience_s: float, others: Collection[str] = ()) -> bytes:
    """Read a body that is said to be JSON, or of one of the ``others``: media types, "" for one that says nothing.

    Raises HTTPException: 415 for any other or an encoded one, 413 before more than the limit and one chunk is read, 408
    when it comes too slowly.
    """
    _check_declared(request, limit, others)
    try:
        async with asyncio.timeout(patience_s):
            return await _read(request, limit)
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {patience_s:g} s.", _CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "The body ended early.") from None


def decode(raw: bytes) -> object:
    """Decode strict JSON: no NaN, no infinity, valid UTF-8, bounded depth. Raises HTTPException 400.

    >>> decode(b'{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    """
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError as error:  # it names a byte's place and never its value
        raise HTTPException(400, f"The body cannot be read: {error}.") from None
    except UnicodeDecodeError:
        raise HTTPException(400, "The body is not UTF-8.") from None
    except RecursionError:
        raise HTTPException(400, "The body is nested too deeply.") from None


def event_time(text: str) -> float:
    """Read ``X-Event-Time``: an RFC 3339 time with its zone, or seconds since the Unix epoch. Raises HTTPException 400.

    >>> event_time("1970-01-01T00:00:10Z"), event_time("10.5")
    (10.0, 10.5)
    """
    at = float(text) if _EPOCH.fullmatch(text) else seconds(text)
    if at is None:
        raise HTTPException(
            400, "X-Event-Time must be an RFC 3339 time with its zone, or seconds since the Unix epoch."
        )
    return at


def deadline_s(text: str | None) -> float:
    """Read ``X-Deadline-Ms`` as seconds; infinite without the header. Raises HTTPException 400.

    >>> deadline_s("250"), deadline_s(None)
    (0.25, inf)
    """
    if text is None:
        return math.inf
    if not _MILLISECONDS.fullmatch(text):
        raise HTTPException(400, "X-Deadline-Ms must be a number of milliseconds, not negative.")
    return float(text) / 1000.0


def is_json(content_type: str) -> bool:
    """Whether a ``Content-Type`` says JSON in UTF-8.

    >>> is_json("application/json; charset=utf-8"), is_json("text/plain"), is_json("")
    (True, False, False)
    """
    return _JSON.fullmatch(media_type(content_type)) is not None


def media_type(content_type: str) -> str:
    """The media type of a ``Content-Type`` in UTF-8, "" for one in another charset.

    >>> media_type("text/csv; charset=UTF-8"), media_type("text/csv; charset=latin-1")
    ('text/csv', '')
    """
    found, _, parameters = content_type.lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return found.strip() if charset in ("", "utf-8", "utf8") else ""


def _check_declared(request: Request, limit: int, others: Collection[str]) -> None:
    """Refuse what the headers already tell: another kind of body, or one over the limit."""
    said = request.headers.get("content-type", "")
    if not is_json(said) and not (media_type(said) in others and (media_type(said) or not said)):
        words = " or ".join(("application/json", *filter(None, others)))
        raise HTTPException(415, f"Send {words} in UTF-8.", _CLOSE)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Send the body without a content encoding.", _CLOSE)
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise HTTPException(400, "Content-Length must be a number of bytes.", _CLOSE)
    if len(length) > 18 or int(length) > limit:
        raise HTTPException(413, f"The body may have at most {limit} bytes.", _CLOSE)


async def _read(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise HTTPException(413, f"The body may have at most {limit} bytes.", _CLOSE)
        chunks.append(chunk)
    return b"".join(chunks)
