"""A server in a thread of the test, whose network the test can hold back, and clients that write bytes to it."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from threading import Event, Semaphore, Thread
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.serving.classifier import Classifier
from resatlas.serving.image_file import image_pixels
from resatlas.serving.limits import Limits
from resatlas.serving.server import Server, answering, bound
from resatlas.serving.service import Service

PATIENCE = 60.0
"""Seconds after which something that should happen is taken as not happening."""

CLASSES = ("cat", "dog", "<script>alert(1)</script>")


@dataclass(kw_only=True)
class Gate:
    """A stand-in for a network: the logits are the means of the channels, once the gate lets a batch pass."""

    batches: list[int] = field(default_factory=list)
    open: Event = field(default_factory=Event)
    began: Semaphore = field(default_factory=lambda: Semaphore(0))

    def __call__(self, images: Tensor) -> Tensor:
        """Shape: (n, 3, 2, 2) -> (n, 3)."""
        self.batches.append(len(images))
        self.began.release()
        assert self.open.wait(PATIENCE)
        return images.mean(dim=(2, 3))


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that runs."""

    port: int
    server: Server
    gate: Gate
    loop: asyncio.AbstractEventLoop

    def stop(self) -> None:
        """Ask the server to stop, as its handler of signals does."""
        self.loop.call_soon_threadsafe(self.server.stop)


def classifier_of(gate: Gate, limits: Limits) -> Classifier:
    """The gate behind the reader of images that the program has, 2 pixels a side."""

    def prepare(content: bytes) -> Tensor:
        pixels = torch.from_numpy(image_pixels(content, most=limits.max_pixels))
        return pixels[:, :2, :2].float() / 255

    return Classifier(
        image=Shape(3, 2, 2),
        prepare=prepare,
        logits=gate,
        classes=CLASSES,
        threads=1,
        description={"design": "a gate", "classes": list(CLASSES)},
    )


@contextmanager
def running(limits: Limits | None = None, *, warm: bool = True) -> Iterator[Running]:
    """A server with an open gate; with `warm` it is ready, else it is held in its first batch."""
    limits, gate, started = limits or Limits(), Gate(), Event()
    if warm:
        gate.open.set()
    listener = bound("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    held: list[Running] = []
    failures: list[BaseException] = []

    async def live() -> None:
        server = Server(Service(classifier_of(gate, limits), limits))
        held.append(Running(port=port, server=server, gate=gate, loop=asyncio.get_running_loop()))
        await answering(server, listener, on_ready=started.set)

    def target() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # the test reports it
            failures.append(error)
            started.set()

    thread = Thread(target=target)
    thread.start()
    try:
        if warm:
            assert started.wait(PATIENCE)
            assert not failures, failures
            gate.batches.clear()
            gate.began = Semaphore(0)
        else:
            assert gate.began.acquire(timeout=PATIENCE)
        yield held[0]
    finally:
        gate.open.set()
        with suppress(RuntimeError):  # the test has stopped it
            held[0].stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not failures


def png(seed: int = 0, *, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """Noise in RGB of this width and height as an image file."""
    file = BytesIO()
    draw = np.random.default_rng(seed)
    Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, kind)
    return file.getvalue()


def connected(port: int) -> socket.socket:
    """A connection whose reads fail after `PATIENCE`."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def request(body: bytes = b"", *headers: str, line: str = "POST /v1/classify HTTP/1.1", length: bool = True) -> bytes:
    """The bytes of a request."""
    lines = [line, "Host: localhost", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Answer:
    """Status, headers with small letters, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the server answers
        """The body, which must be one line of JSON."""
        assert self.headers["content-type"] == "application/json"
        assert self.body.count(b"\n") == 1
        assert self.body.endswith(b"\n")
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error."""
        assert self.status >= 400
        assert list(self.json) == ["error"]
        return self.json["error"]


def answer(line: socket.socket) -> Answer:
    """The next answer on a connection, and no byte of the one after it, which may have arrived with it."""
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        text += _received(line, 1)
    status, *rest = text.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rest)}
    body = b""
    while missing := int(headers["content-length"]) - len(body):
        body += _received(line, missing)
    return Answer(int(status.split()[1]), headers, body)


def asked(port: int, text: bytes) -> Answer:
    """The answer to a request on a connection of its own."""
    with connected(port) as line:
        line.sendall(text)
        return answer(line)


def get(port: int, path: str) -> Answer:
    """The answer to a GET."""
    return asked(port, request(line=f"GET {path} HTTP/1.1"))


def closed(line: socket.socket) -> bool:
    """Whether the server closes a connection without another byte; it fails after `PATIENCE`."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def _received(line: socket.socket, most: int) -> bytes:
    part = line.recv(most)
    assert part, "the server has closed the connection"
    return part
