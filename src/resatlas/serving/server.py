"""The server's life: bound before anything is loaded, warm before it is ready, every answer given before it ends."""

import asyncio
import errno
import logging
import math
import resource
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from resatlas.errors import Stopped, UsageError
from resatlas.serving.connections import RESERVED, Connection
from resatlas.serving.limits import Limits
from resatlas.serving.service import Service

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop the server: Ctrl-C, `kill` and container systems, a closed terminal."""

_OTHER_FILES = 128
"""Open files other than connections: libraries, weights, event loop."""

_MOMENT = 0.01  # seconds between two looks whether the server listens

_IN_USE = "port {port} is in use; choose another with --port, or 0 for any free one"
_NO_ADDRESS = "--host {host} is not an address of this machine (127.0.0.1: for this machine alone)"

_log = logging.getLogger("resatlas.serving")


class Server(uvicorn.Server):
    """uvicorn's server for one service; uvicorn's own signal handling would end the process by the signal again."""

    def __init__(self, service: Service) -> None:
        for name in ("uvicorn.error", "uvicorn.asgi", "asyncio"):  # they print tracebacks
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        super().__init__(
            uvicorn.Config(
                service.answer,
                loop="asyncio",
                http=cast("type[asyncio.Protocol]", partial(Connection, service=service)),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(2 * service.limits.answer_seconds + 1),
            )
        )
        self.service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: `serve` has its own handlers."""
        yield

    def stop(self) -> None:
        """Take no more connections, answer what is in flight, then end; the second time, end without answers."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.service.phase = "stopping"


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, which does not listen yet; port 0 is any free one.

    Raises: UsageError if the address is not free or not of this machine.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port must be between 0 and 65,535; got {port:,}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise UsageError(_NO_ADDRESS.format(host=host[:80])) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: _IN_USE.format(port=port),
            errno.EACCES: f"port {port} needs the rights of root; choose one from 1,024",
            errno.EADDRNOTAVAIL: _NO_ADDRESS.format(host=host[:80]),
        }
        raise UsageError(reasons.get(error.errno or 0, f"{host} port {port}: {error.strerror}")) from None
    return listener


def allow_files(limits: Limits) -> None:
    """Raise this process's limit on open files as far as the connections need.

    Raises: UsageError if the system does not allow it.
    """
    needed = limits.connections + RESERVED + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            most = hard - RESERVED - _OTHER_FILES
            raise UsageError(
                f"--connections {limits.connections:,} needs {needed:,} open files, and this process may have "
                f"{hard:,} (ulimit -n); use --connections {max(most, 1):,}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def serve(service: Service, listener: socket.socket, *, on_ready: Callable[[], object]) -> None:
    """Answer requests until a signal, then those in flight.

    Raises: UsageError if another process listens at the address since it was bound; Stopped if a second signal ended
        the process before they were answered.
    """
    server = Server(service)

    async def until_stopped() -> None:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
                asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await answering(server, listener, on_ready=on_ready)

    port = listener.getsockname()[1]
    try:
        asyncio.run(until_stopped())
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise UsageError(_IN_USE.format(port=port)) from None
    if server.force_exit:
        raise Stopped("by a second signal; requests in flight were dropped")


async def answering(server: Server, listener: socket.socket, *, on_ready: Callable[[], object]) -> None:
    """Answer requests until `server.stop` is called; health from the start, images once the service is warm."""
    service, loop = server.service, asyncio.get_running_loop()
    loop.set_exception_handler(_note)
    service.batcher.start()
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not (server.started or running.done()):
            await asyncio.sleep(_MOMENT)
        if not running.done():
            await loop.run_in_executor(None, service.warm)
        if not running.done() and service.phase == "warming":
            service.phase = "ready"
            on_ready()
    except BaseException:
        server.stop()
        raise
    finally:
        try:
            await running
        finally:
            await loop.run_in_executor(None, service.batcher.close)


def _note(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """One line about an error outside any request, such as a connection that could not be accepted."""
    error = context.get("exception")
    _log.warning(f"resatlas serve: {context.get('message', '')}{f' ({type(error).__name__})' if error else ''}")
