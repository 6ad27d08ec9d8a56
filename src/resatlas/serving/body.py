"""The body of a request, read within limits of bytes and seconds."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from resatlas.serving.limits import Limits
from resatlas.serving.refusal import Refusal

_FORMS = "multipart/form-data"
_HOW = "send the bytes of the image as the body: curl --data-binary @photo.jpg"


class Holding:
    """The bytes of bodies in memory, over all requests."""

    def __init__(self, most: int) -> None:
        self.bytes, self._most = 0, most

    @contextmanager
    def share(self) -> "Iterator[Share]":
        """The share of one request, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.bytes -= share.bytes

    def has_room(self, size: int) -> bool:
        """Whether so many more bytes are allowed."""
        return self.bytes + size <= self._most


class Share:
    """The bytes that one request has in memory."""

    def __init__(self, holding: Holding) -> None:
        self.bytes, self._holding = 0, holding

    def add(self, size: int) -> None:
        """Count more bytes.

        Raises: Refusal with 503 if all requests together have too many.
        """
        if not self._holding.has_room(size):
            raise Refusal(503, "the bodies of other requests fill the memory for them; try again later")
        self.bytes += size
        self._holding.bytes += size


async def body_of(request: Request, limits: Limits, share: Share) -> bytes:
    """The whole body of a request.

    Raises: Refusal with 413 if it is too large, by its declared length or as it arrives; 408 if it takes too long; 415
        for a form or an encoded body; 503 if memory for bodies is short; starlette's ClientDisconnect.
    """
    _check_kind(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_body:
        raise _too_large(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.answer_seconds):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limits.max_body:
                    raise _too_large(limits)
                share.add(len(chunk))
                body += chunk
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {limits.answer_seconds:g} s") from None
    return bytes(body)


def _check_kind(request: Request) -> None:
    if request.headers.get("content-type", "").lower().startswith(_FORMS):
        raise Refusal(415, f"a form is not read; {_HOW}")
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise Refusal(415, f"the body must not be encoded; got content-encoding {encoding[:20]!a}")


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"the body is larger than {limits.max_body:,} bytes")
