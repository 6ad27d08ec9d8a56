"""Files over https: taken up where they broke off, and never more than was published."""

from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies,
)

from resatlas.data.official import Official
from resatlas.errors import DataError, Stopped
from resatlas.values.progress import Progress

BLOCK = 1 << 20  # bytes taken at a time, at most
SECONDS = 30  # of silence, after which a server counts as gone


def opener() -> OpenerDirector:
    """An opener that knows https and nothing else, also where a server sends it elsewhere."""
    director = OpenerDirector()
    secure = {scheme: proxy for scheme, proxy in getproxies().items() if scheme == "https"}
    for handler in (
        ProxyHandler(secure),
        HTTPSHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def download(official: Official, part: Path, *, progress: Progress) -> None:
    """Adds to `part` what it lacks of the official file; whatever arrived stays there if it breaks off.

    Raises: DataError if the server is not reached, refuses, breaks off or has another file; Stopped by Ctrl-C.
    """
    with part.open("ab") as file:
        if file.tell() > official.bytes:
            file.truncate(0)
        done = file.seek(0, 2)
        try:
            for position, block in arriving(official, start=done) if done < official.bytes else ():
                if position != done:  # the server began anew
                    file.truncate(position)
                file.write(block)
                done = position + len(block)
                progress(official.name, done, official.bytes)
        except KeyboardInterrupt:
            raise Stopped(
                f"{done:,} of {official.bytes:,} bytes of {official.name} are in {part}; say the same again to go on"
            ) from None
    if done < official.bytes:
        raise unfetched(official, f"the connection ended at {done:,} of {official.bytes:,} bytes, which are kept")


def arriving(official: Official, *, start: int) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of all that comes: from `start` on where the server can, else from the beginning.

    Raises: DataError as `download`.
    """
    request = Request(official.url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310 - https alone
    try:
        with opener().open(request, timeout=SECONDS) as answer:
            response = cast("HTTPResponse", answer)
            position = beginning(response, official, start=start)
            while block := response.read1(BLOCK):
                if position + len(block) > official.bytes:
                    raise unfetched(official, f"more comes than the {official.bytes:,} bytes that were published")
                yield position, block
                position += len(block)
    except HTTPError as error:
        error.close()
        if error.code != 416 or start == 0:  # 416: it has nothing from `start` on
            raise unfetched(official, f"the server answers {error.code} {error.reason}") from None
        yield from arriving(official, start=0)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an address or a number that is none
        raise unfetched(official, reason(error)) from None


def beginning(response: HTTPResponse, official: Official, *, start: int) -> int:
    """The position of the first byte of a response.

    Raises: DataError if it is not what was asked for, or the rest is not as long as was published.
    """
    position = start if response.status == 206 else 0
    if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise unfetched(official, "the server answers with other bytes than were asked for")
    length = response.length
    if length is not None and position + length != official.bytes:
        raise unfetched(official, f"{position + length:,} bytes are there, {official.bytes:,} were published")
    return position


def unfetched(official: Official, why: str) -> DataError:
    """The error of a file that does not come."""
    return DataError(f"{official.url} cannot be fetched: {why}; say the same again later")


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    inner = error.reason if isinstance(error, URLError) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
