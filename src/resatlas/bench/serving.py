"""The speed of `resatlas serve`: images a second and the time of an answer, for small PNGs and for photographs.

The server is a process of its own, started by the program itself on a free port of 127.0.0.1. The client is this
process, on the same cores: a thread per connection sends one request after another, each when the last is answered.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from resatlas.analysis.probes import Fact
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.rows import Measured
from resatlas.designs import catalog as designs
from resatlas.errors import ProcessLost
from resatlas.exporting.saving import save_pretrained
from resatlas.nets.network import build
from resatlas.nets.preparation import Preparation
from resatlas.runs.environment import installed_version
from resatlas.values.table import Cell, Column, Table, words

CONNECTIONS = 8
"""Requests in flight."""

SECONDS = 4.0
"""Length of a round."""

_ROUNDS = 3
_READY = "Ctrl-C"  # in the line that the server prints
_PHOTOGRAPH = (640, 427)

COLUMNS = (
    *words("design", "image"),
    Column("body", "bytes"),
    Column("connections", "1"),
    Column("requests_per_second", "1/s"),
    Column("median_seconds", "s"),
    Column("p99_seconds", "s"),
    Column("server_seconds", "s"),
    Column("requests", "1"),
    Column("refused", "1"),
)


@dataclass(frozen=True, kw_only=True)
class Load:
    """The requests of one round: seconds of each answer, how many were not 200, the length of the round.

    server_seconds: the server's processor time.
    """

    seconds: tuple[float, ...]
    refused: int
    length: float
    server_seconds: float


def measure(options: Options, on_advance: Advance) -> Measured:
    """Every design in turn, with rounds of PNGs and of photographs; the median round counts."""
    rounds = options.rounds or _ROUNDS
    rows: list[tuple[Cell, ...]] = []
    total = len(options.designs) * 2 * (rounds + 1)
    for design in options.designs:
        with TemporaryDirectory() as folder, _server(design, Path(folder)) as port:
            for name, body in _images(design).items():
                loads: list[Load] = []
                for k in range(rounds + 1):
                    loads.append(load(port, body, seconds=SECONDS if k else SECONDS / 4))
                    on_advance("rounds", len(rows) * (rounds + 1) + k + 1, total)
                rows.append((design, name, len(body), CONNECTIONS, *_figures(loads[1:])))
    return Measured(
        question="serving",
        title=f"Images classified over HTTP at {CONNECTIONS} connections, server and client on the same cores",
        rows=Table(title="Serving", columns=COLUMNS, rows=tuple(rows)),
        facts=(
            *(Fact(name=name, unit="", value=installed_version(name)) for name in ("starlette", "uvicorn", "pillow")),
            Fact(name="seconds of a round", unit="s", value=SECONDS),
            Fact(name="rounds", unit="", value=rounds),
        ),
        notes=(
            "The weights are random, which costs the same as trained ones. requests_per_second is that of the median "
            "round; the times are over all rounds, after one shorter round of warm-up. server_seconds is the server's "
            "processor time per request, over all cores. refused counts answers other than 200.",
        ),
    )


def load(port: int, body: bytes, *, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Requests with one body over some connections for some seconds."""
    before, begun = _processor_seconds(port), time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        clients = [pool.submit(_requests, port, body, until=begun + seconds) for _ in range(connections)]
        done = [client.result() for client in clients]
    return Load(
        seconds=tuple(second for times, _ in done for second in times),
        refused=sum(refused for _, refused in done),
        length=time.perf_counter() - begun,
        server_seconds=_processor_seconds(port) - before,
    )


def _processor_seconds(port: int) -> float:
    """The processor time of the server until now, of all cores, as its metrics say."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        lines = _answer(line).decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds_total "))


def _requests(port: int, body: bytes, *, until: float) -> tuple[list[float], int]:
    """The seconds of the answers on one connection, and how many were not 200."""
    request = (
        b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    seconds: list[float] = []
    refused = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < until:
            begun = time.perf_counter()
            line.sendall(request)
            refused += not _answer(line).startswith(b"HTTP/1.1 200 ")
            seconds.append(time.perf_counter() - begun)
    return seconds, refused


def _answer(line: socket.socket) -> bytes:
    """One answer, up to the length that it declares.

    Raises: ProcessLost if the server closes the connection.
    """
    answer, missing = b"", 1
    while missing > 0:
        part = line.recv(65_536)
        if not part:
            raise ProcessLost("the server has closed a connection")
        answer += part
        head, end, rest = answer.partition(b"\r\n\r\n")
        if end:
            missing = int(head.lower().partition(b"content-length: ")[2].split()[0]) - len(rest)
    return answer


def _figures(loads: list[Load]) -> tuple[float, float, float, float, int, int]:
    seconds = [second for load in loads for second in load.seconds]
    return (
        median(len(load.seconds) / load.length for load in loads),
        median(seconds),
        quantiles(seconds, n=100)[98],
        sum(load.server_seconds for load in loads) / len(seconds),
        len(seconds),
        sum(load.refused for load in loads),
    )


def _images(design: str) -> dict[str, bytes]:
    """A PNG of the network's own size, and a photograph, as files."""
    height, width = designs.plan(design).image[1:]
    draw = np.random.default_rng(0)
    small = Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8))
    coarse = Image.fromarray(draw.integers(0, 256, (27, 40, 3), np.uint8))
    return {
        f"PNG {width}x{height}": _file(small, "PNG"),
        f"JPEG {_PHOTOGRAPH[0]}x{_PHOTOGRAPH[1]}": _file(coarse.resize(_PHOTOGRAPH, Image.Resampling.BICUBIC), "JPEG"),
    }


def _file(picture: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@contextmanager
def _server(design: str, folder: Path) -> Iterator[int]:
    """The port of a server with random weights of a design.

    Raises: ProcessLost if it does not start.
    """
    network = build(design, seed=0)
    classes = [f"class {k}" for k in range(network.plan.classes)]
    saved = folder / "network"
    save_pretrained(network, saved, classes=classes, preparation=Preparation(mean=(0.5,), std=(0.25,)))
    with subprocess.Popen(  # noqa: S603 - the program itself
        [sys.executable, "-m", "resatlas", "serve", str(saved), "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield _port_of(process)
        finally:
            process.terminate()


def _port_of(process: "subprocess.Popen[str]") -> int:
    """The port in the line that a server prints when it is ready."""
    lines: list[str] = []
    for line in process.stderr or ():
        lines.append(line.strip())
        if _READY in line:
            return int(line.partition("://")[2].partition("/")[0].rpartition(":")[2])
    raise ProcessLost(f"the server has not started: {lines[-1] if lines else 'it printed nothing'}")
