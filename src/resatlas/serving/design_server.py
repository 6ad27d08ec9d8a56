"""The design page on this machine alone: a random port of 127.0.0.1, a secret path, the standard library."""

import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from resatlas.errors import UsageError
from resatlas.page.design.answers import ask

_HOST = "127.0.0.1"

_MOST_BODY = 100_000  # bytes of a question
_SECONDS = 30  # for a connection that sends nothing

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop the server: Ctrl-C, `kill` and container systems, a closed terminal."""

_HEADERS: Mapping[str, str] = {
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Headers of every answer; the page itself says what it may load."""


class DesignServer(ThreadingHTTPServer):
    """Sends one page, and answers its questions one at a time.

    Only who knows the secret of the address is answered, and only requests that name this machine as their host, so
    that no other page of the browser can ask, whatever name it resolves to this address.
    """

    daemon_threads = True

    def __init__(self, page: str) -> None:
        """Bind the socket.

        Raises: UsageError if this machine gives no port.
        """
        try:
            super().__init__((_HOST, 0), _Handler)
        except OSError as error:
            raise UsageError(f"{_HOST} gives no port: {(error.strerror or 'the system refuses').lower()}") from None
        self.page = page.encode()
        self.secret = secrets.token_urlsafe(24)
        self.hosts = tuple(f"{name}:{self.server_port}" for name in (_HOST, "localhost"))
        self.answered = 0
        self.turn = threading.Lock()

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{self.hosts[0]}/{self.secret}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes a connection is nothing to report."""

    def reply(self, name: str, question: str) -> str:
        """The answer to a question."""
        with self.turn:
            self.answered += 1
            return ask(name, question)

    def serve(self, on_ready: Callable[[], object]) -> None:
        """Answer until a signal."""
        with _stopping(self.shutdown):
            on_ready()
            self.serve_forever(poll_interval=0.1)
        self.server_close()


@contextmanager
def _stopping(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` at a signal, in a thread, since the loop that it ends runs in this one."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        if before[number] != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, lambda *_: threading.Thread(target=stop, daemon=True).start())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "resatlas", ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Send the page."""
        path = self._path()
        if path == "":
            self._send(HTTPStatus.OK, self._server.page, "text/html; charset=utf-8")
        elif path is not None:
            self._refuse(HTTPStatus.NOT_FOUND, "this address has one page and its questions")

    def do_POST(self) -> None:
        """Answer a question."""
        path = self._path()
        if path is None:
            return
        kind, _, name = path.partition("/")
        size = self.headers.get("content-length", "")
        if kind != "ask":
            self._refuse(HTTPStatus.NOT_FOUND, "this address has one page and its questions")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a question is JSON")
        elif not size.isdecimal() or len(size) > 9 or int(size) > _MOST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question has up to {_MOST_BODY:,} bytes")
        else:
            question = self.rfile.read(int(size)).decode("utf-8", errors="replace")
            self._send(HTTPStatus.OK, self._server.reply(name, question).encode(), "application/json")

    @property
    def _server(self) -> DesignServer:
        return cast("DesignServer", self.server)

    def _path(self) -> str | None:
        """The path behind the secret; None for a request that is refused."""
        if self.headers.get("host", "") not in self._server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this host is not served here")
            return None
        secret, _, path = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), self._server.secret.encode()) or not _:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here; the address is printed by resatlas design")
            return None
        return path.partition("?")[0]

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self.close_connection = True  # a body that was not read would be taken for the next request
        self._send(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "content-type": kind, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing: the terminal has the address alone."""
