"""A local https server of files with configurable faults."""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal

import pytest


@dataclass(kw_only=True)
class Behaviour:
    """What a server has and does, and the ranges that it was asked for.

    `cut` ends each answer after so many bytes, and `pause` is how many seconds later the connection closes; `moved`
    files have another address, and `announced` ones a digest in the answer that says so.
    """

    site: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: Literal["served", "ignored", "shifted", "refused"] = "served"
    length: Literal["told", "hidden"] = "told"
    cut: int | None = None
    pause: float = 0
    moved: dict[str, str] = field(default_factory=dict)
    announced: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def certificate(folder: Path) -> Path:
    """A certificate of localhost that has signed itself, with its key, in one file."""
    file = folder / "localhost.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    try:
        subprocess.run(
            [*words.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", file, "-out", folder / "only.pem"],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no program openssl to make a certificate with")
    file.write_bytes(file.read_bytes() + (folder / "only.pem").read_bytes())
    return file


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server that this process and its children trust, for as long as the context lasts."""
    file = certificate(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    behaviour = Behaviour()
    server = Server(("localhost", 0), handler(behaviour))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    behaviour.site = f"https://localhost:{server.server_address[1]}/"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield behaviour
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server(ThreadingHTTPServer):
    """A server that says nothing of clients that leave."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing."""


def handler(behaviour: Behaviour) -> type[BaseHTTPRequestHandler]:
    """The class that answers as the behaviour says."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's words
            """Nothing."""

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            behaviour.asked.append(asked)
            name = self.path.removeprefix("/")
            content = behaviour.files.get(name)
            if name in behaviour.moved:
                self.answer(302, b"", location=behaviour.moved[name], announced=behaviour.announced.get(name, ""))
            elif content is None:
                self.answer(404, b"no such file")
            elif not asked or behaviour.ranges == "ignored":
                self.answer(200, content)
            else:
                begin = int(asked.removeprefix("bytes=").removesuffix("-"))
                if behaviour.ranges == "refused" or begin >= len(content):
                    self.answer(416, b"")
                else:
                    begin -= behaviour.ranges == "shifted"
                    self.answer(206, content[begin:], range=f"bytes {begin}-{len(content) - 1}/{len(content)}")

        def answer(
            self,
            code: int,
            content: bytes,
            *,
            location: str = "",
            range: str = "",  # noqa: A002
            announced: str = "",
        ) -> None:
            self.send_response(code)
            headers = {"Location": location, "Content-Range": range, "X-Linked-ETag": announced and f'"{announced}"'}
            if behaviour.length == "told":
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content[: behaviour.cut])
                self.wfile.flush()
                if behaviour.cut is not None and behaviour.cut < len(content):
                    time.sleep(behaviour.pause)

    return Handler
