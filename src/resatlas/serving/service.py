"""The paths of the server, the answer of each, and what every answer has: JSON errors and security headers."""

import asyncio
import logging
import time
from importlib.resources import files
from typing import Literal, cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from resatlas.errors import DataError, UsageError, quoted, unknown
from resatlas.serving.batching import Batcher, Busy, Ranked
from resatlas.serving.body import Holding, body_of
from resatlas.serving.classifier import Classifier, warm
from resatlas.serving.limits import Limits
from resatlas.serving.metrics import Metrics
from resatlas.serving.refusal import Refusal, as_json
from resatlas.values.memory import out_of_memory
from resatlas.values.unforeseen import foreseen, show_traceback

Phase = Literal["warming", "ready", "stopping"]

SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Headers of every answer: a browser asks no other site, runs no script but ours, and shows no answer in a frame."""

_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
"""The files of the page to try the server, by path."""

_NAMED = ("/", "/v1/classify", "/v1/model", "/health/live", "/health/ready", "/metrics")
"""The paths that a 404 names."""

_UNLIMITED = ("/health/live", "/health/ready", "/metrics")
"""Paths that are answered also where there are too many connections."""

TOP = 5
"""How many classes an answer has, unless the request says otherwise."""

_log = logging.getLogger("resatlas.serving")


class Service:
    """The state of one server: its phase, the images in work, the bytes in memory, what it has counted."""

    def __init__(self, classifier: Classifier, limits: Limits) -> None:
        self.phase: Phase = "warming"
        self.limits = limits
        self._classifier = classifier
        self._holding = Holding(limits.held_bytes)
        self.metrics = Metrics(waiting=lambda: self.batcher.waiting, ready=lambda: self.phase == "ready")
        self.batcher = Batcher(classifier, limits, on_batch=self.metrics.batch_images.observe)
        self._page = {path: (files("resatlas.serving") / name).read_bytes() for path, (name, _) in _PAGE.items()}
        self._routes = (
            Route("/v1/classify", self._classify, methods=["POST"]),
            Route("/v1/model", self._model),
            Route("/health/live", self._live),
            Route("/health/ready", self._ready),
            Route("/metrics", self._metrics),
            *(Route(path, self._static) for path in _PAGE),
        )
        self._paths = frozenset(route.path for route in self._routes)
        self._app = Starlette(
            routes=self._routes,
            exception_handlers={
                Refusal: _refused,
                HTTPException: _not_found,
                ClientDisconnect: _gone,
                Exception: _unforeseen,
            },
        )
        self._app.router.redirect_slashes = False  # a redirect would name the host as the request did

    def warm(self) -> None:
        """Classify images of our own; takes seconds, in a thread other than the event loop's."""
        warm(self._classifier, batch=self.limits.batch, max_pixels=self.limits.max_pixels)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._answered(self._app, scope, receive, send)

    async def answer_in_a_crowd(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request on a connection beyond the limit: 503, except for health and metrics."""
        crowded = Refusal(503, "too many connections; try again later", headers={"connection": "close"})
        app = self._app if scope["path"] in _UNLIMITED else crowded.answer
        await self._answered(app, scope, receive, send)

    async def _answered(self, app: "Starlette | Response", scope: Scope, receive: Receive, send: Send) -> None:
        """Run an application, add the security headers, count the answer."""
        begun, path = time.perf_counter(), scope["path"] if scope["path"] in self._paths else "other"

        begins = True

        async def counted(message: Message) -> None:
            nonlocal begins
            begins = False
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                self.metrics.observe(path, message["status"], time.perf_counter() - begun)
            await send(message)

        try:
            await app(scope, receive, counted)
        except asyncio.CancelledError:  # the server ends without waiting
            if begins:
                await Refusal(503, "the server has stopped").answer(scope, receive, counted)
        except Exception as error:  # starlette raises again what `_unforeseen` has answered
            show_traceback(error)
            _log.warning(str(foreseen(error, doing=f"resatlas serve, {path}")))

    async def _classify(self, request: Request) -> Response:
        """POST /v1/classify?top=5: the most probable classes of the image in the body."""
        top = _top(request)
        if self.phase == "warming":
            raise Refusal(503, "the server is starting; try again later")
        with self._holding.share() as share:
            content = await body_of(request, self.limits, share)
            classes = await self._ranked(content, top)
        return as_json({"classes": [{"class": name, "probability": probability} for name, probability in classes]})

    async def _ranked(self, content: bytes, top: int) -> Ranked:
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await self.batcher.submit(content, top=top)
        except TimeoutError:
            raise Refusal(503, f"no answer within {self.limits.answer_seconds:g} s; try again later") from None
        except Busy as error:
            raise Refusal(503, str(error)) from None
        except (DataError, UsageError) as error:
            raise Refusal(422, f"the image cannot be classified: {error}") from None
        except Exception as error:
            if isinstance(error, MemoryError) or out_of_memory(error):
                raise Refusal(503, "too little memory for this image now; try again later") from None
            raise

    async def _model(self, _: Request) -> Response:
        """GET /v1/model: what answers, and within which limits."""
        bounds = {"max_body": self.limits.max_body, "max_pixels": self.limits.max_pixels}
        return as_json({**self._classifier.description, "limits": bounds})

    async def _live(self, _: Request) -> Response:
        """GET /health/live: the process answers."""
        return as_json({"live": True})

    async def _ready(self, _: Request) -> Response:
        """GET /health/ready: 200 if images are classified, else 503."""
        ready = self.phase == "ready"
        return as_json({"ready": ready, "phase": self.phase}, status=200 if ready else 503)

    async def _metrics(self, _: Request) -> Response:
        """GET /metrics, in Prometheus' text format."""
        text, kind = self.metrics.text()
        return Response(text, media_type=kind)

    async def _static(self, request: Request) -> Response:
        """GET /: a page to try the server, of three files."""
        path = request.url.path
        return Response(self._page[path], media_type=_PAGE[path][1])


def _top(request: Request) -> int:
    """How many classes the request asks for.

    Raises: Refusal with 422.
    """
    for name in request.query_params:
        if name != "top":
            raise Refusal(422, unknown("query parameter", name, ("top",)))
    text = request.query_params.get("top", str(TOP))
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 6 and int(text) >= 1):
        raise Refusal(422, f"top must be a whole number from 1; got {quoted(text)}")
    return int(text)


async def _refused(_: Request, error: Exception) -> Response:
    return cast("Refusal", error).answer


async def _not_found(request: Request, error: Exception) -> Response:
    """404 and 405, which starlette raises."""
    error = cast("HTTPException", error)
    if error.status_code == 404:
        return Refusal(404, f"no such path; the paths are {' '.join(_NAMED)}").answer
    allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
    sentence = f"this path does not take {quoted(request.method)}; it takes {allowed}"
    return Refusal(error.status_code, sentence, headers={"allow": allowed}).answer


async def _gone(_request: Request, _error: Exception) -> Response:
    """The answer to a client that has closed its connection, which nobody reads."""
    return Response(status_code=400)


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    return Refusal(500, "a defect of the server; its operator finds one line about it").answer
