"""Connections that close when nothing comes: uvicorn's protocol with one timer and our own number of connections.

uvicorn 0.54 starts a timer only after the first answer, and any byte stops it: a silent connection and one with half a
request stay open for ever. Here each connection always has one timer, which no byte moves: for the next request up to
its headers, then for its body and answer, then for a client that does not read.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from resatlas.serving.limits import Limits
from resatlas.serving.refusal import Refusal
from resatlas.serving.service import SECURITY, Service

RESERVED = 32
"""Connections beyond the limit, for health only; of still more, the one that has waited longest is closed."""


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 with a timer and a limit; `service` answers the requests."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        service: Service,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.waiting_since: float | None = None
        """When the wait for the next request began; None during a request."""
        self._service = service
        self._timer: asyncio.TimerHandle | None = None
        self._timed: object = None

    @property
    def _limits(self) -> Limits:
        return self._service.limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection; beyond the limit it is for health only, or closed."""
        super().connection_made(transport)
        self._wait_for_request()
        count = len(self.connections)
        if count > self._limits.connections:
            self.app = self._service.answer_in_a_crowd
        if count > self._limits.connections + RESERVED:
            oldest = min(
                (other for other in self.connections if isinstance(other, Connection) and other.waiting_since),
                key=lambda other: other.waiting_since or 0,
            )
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer too."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Start the timer of a request once its headers are there."""
        super().handle_events()
        if self.cycle is not None and self.cycle is not self._timed and not self.cycle.response_complete:
            self._timed, self.waiting_since = self.cycle, None
            self._within(2 * self._limits.answer_seconds + self._limits.silent_seconds, self.transport.abort)

    def on_response_complete(self) -> None:
        """Start the timer of the next request, or of a client that does not read the answer."""
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next request is there already
            self._wait_for_request()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with one line of JSON, and close."""
        answer = Refusal(400, f"not a valid HTTP request: {msg[:200]}").answer
        headers = [*answer.raw_headers, *((name.encode(), value.encode()) for name, value in SECURITY.items())]
        with suppress(h11.LocalProtocolError):  # the answer has begun already
            for event in (
                h11.Response(status_code=400, headers=[*headers, (b"connection", b"close")], reason=b"Bad Request"),
                h11.Data(data=bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self._close()

    def shutdown(self) -> None:
        """Close if nothing is in flight, else after the answer."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:
            self._close()

    def _wait_for_request(self) -> None:
        self.waiting_since = self.loop.time()
        self._within(self._limits.silent_seconds, self._close)

    def _close(self) -> None:
        """Close the connection, at the latest after a while in which the client does not read."""
        self.transport.close()
        self._within(self._limits.silent_seconds, self.transport.abort)

    def _within(self, seconds: float, otherwise: Callable[[], object]) -> None:
        """Set the timer, in place of the one before."""
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, otherwise)
