"""Downloads over https that continue after an interruption. Who downloads a file verifies it before it is read."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, cast
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

from resatlas.errors import FolderError, Stopped
from resatlas.values.progress import Progress
from resatlas.values.reading import check_regular

_BLOCK = 1 << 20  # the largest number of bytes read at a time
SECONDS = 30  # timeout of a server that sends nothing

_LINKED = "X-Linked-ETag"
"""The header in which the Hugging Face hub announces the sha256 of a large file, before it sends elsewhere."""


class NotFetched(Exception):
    """A download that failed, in words."""


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file at an https address; `bytes` is its size if that is known, `most` its largest size if it is not."""

    name: str
    url: str
    bytes: int | None = None
    most: int = 1 << 40


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A finished download: its size, and what the server announced as its digest ("" if nothing)."""

    bytes: int
    announced: str = ""


class _Redirects(HTTPRedirectHandler):
    """Redirections, of which the announced digest is kept."""

    announced = ""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request for the new address."""
        self.announced = headers.get(_LINKED, self.announced).strip('"')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener(redirects: HTTPRedirectHandler | None = None) -> OpenerDirector:
    """An opener for https only, also for redirections."""
    director = OpenerDirector()
    secure = {scheme: proxy for scheme, proxy in getproxies().items() if scheme == "https"}
    for handler in (
        ProxyHandler(secure),
        HTTPSHandler(),
        redirects or HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def download(remote: Remote, part: Path, progress: Progress) -> Arrived:
    """Append the missing bytes of a file to `part`; they are kept if the connection ends early.

    Raises: NotFetched if the server cannot be reached, refuses, ends early or has another file; Stopped by Ctrl-C;
        OSError if `part` cannot be written, or is a link or a pipe.
    """
    answer = _Answer(remote)
    _check_part(part)
    with part.open("ab") as file:
        if remote.bytes is not None and file.tell() > remote.bytes:
            file.truncate(0)
        done = file.seek(0, 2)
        try:
            for position, block in answer.arriving(start=done) if done != remote.bytes else ():
                if position != done:  # the server starts from the beginning
                    file.truncate(position)
                file.write(block)
                done = position + len(block)
                progress(remote.name, done, answer.total or done)
        except KeyboardInterrupt:
            raise Stopped(f"{answer.share(done)} are in {part}; rerun the command to continue") from None
    if answer.total is not None and done < answer.total:
        raise answer.failed(f"the connection ended at {done:,} of {answer.total:,} bytes, which are kept")
    return Arrived(bytes=done, announced=answer.announced)


def _check_part(part: Path) -> None:
    """Refuse a link, which would lead the bytes elsewhere, and a pipe, which would wait for a reader."""
    if part.is_symlink():
        raise OSError(errno.ELOOP, f"{part.name} is a link", str(part))
    if part.exists():
        check_regular(part)


class _Answer:
    """What a server answers about a file: its bytes, its size, and the announced digest."""

    def __init__(self, remote: Remote) -> None:
        self._remote, self._redirects = remote, _Redirects()
        self.total = remote.bytes

    @property
    def announced(self) -> str:
        return self._redirects.announced

    def share(self, done: int) -> str:
        """The number of bytes that arrived."""
        return f"{done:,}{f' of {self.total:,}' if self.total is not None else ''} bytes of {self._remote.name}"

    def failed(self, why: str) -> NotFetched:
        """The error of a file that does not come."""
        return NotFetched(f"{self._remote.url} cannot be fetched: {why}; rerun the command later")

    def arriving(self, *, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, bytes) of the download, from `start` if the server supports it, else from the beginning.

        Raises: NotFetched as `download`.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            request = Request(self._remote.url, headers=headers)  # noqa: S310 - https only
            with opener(self._redirects).open(request, timeout=SECONDS) as answer:
                response = cast("HTTPResponse", answer)
                position = self._beginning(response, start=start)
                while block := response.read1(_BLOCK):
                    if self.total is not None and position + len(block) > self.total:
                        raise self.failed(f"the server sends more than the {self._known}")
                    if position + len(block) > self._remote.most:
                        raise self.failed(f"the server sends more than {self._remote.most:,} bytes")
                    yield position, block
                    position += len(block)
        except HTTPError as error:
            error.close()
            if error.code != 416 or start == 0:  # 416: the server has no bytes from `start`
                raise self.failed(f"the server answers {error.code} {error.reason}") from None
            yield from self.arriving(start=0)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: an invalid address or number
            raise self.failed(reason(error)) from None

    @property
    def _known(self) -> str:
        return f"{'announced' if self._remote.bytes is None else 'published'} {self.total:,} bytes"

    def _beginning(self, response: HTTPResponse, *, start: int) -> int:
        """The position of the first byte of a response; the size of the file becomes known.

        Raises: NotFetched if it is not what was asked for, or the rest is not as long as was published.
        """
        if response.headers.get_content_type() == "text/html":
            raise self.failed("the server answers with an HTML page, such as the login page of a network")
        position = start if response.status == 206 else 0
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise self.failed("the server answers with other bytes than were asked for")
        length = response.length
        if length is None:
            return position
        if self._remote.bytes is None:
            self.total = position + length
        if self.total is not None and position + length != self.total:
            raise self.failed(f"{position + length:,} bytes are there, {self.total:,} were published")
        return position


@contextmanager
def writable(folder: Path, *, setting: str) -> Iterator[None]:
    """Create a folder, and turn errors of the system within the context into a FolderError.

    `setting` is the environment variable that names another folder.
    Raises: FolderError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise FolderError(f"files cannot be written to {folder}: {why}; set {setting} to another folder") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder against downloads of other processes; the system releases the lock at the end of the process.

    Raises: FolderError if another process has the lock.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FolderError(f"another process downloads to {folder}; rerun the command when it has ended") from None
    finally:
        os.close(handle)


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    inner = error.reason if isinstance(error, URLError) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
