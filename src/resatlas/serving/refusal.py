"""A request that is answered with an error: its status, its sentence, and both as one line of JSON."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from resatlas.values.text import plain

_RETRY_SECONDS = "1"


class Refusal(Exception):
    """A status from 400 and one sentence, which names nothing of this machine."""

    def __init__(self, status: int, sentence: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, dict(headers or {})

    @property
    def answer(self) -> Response:
        """`{"error": …}`; with 503 also when to try again."""
        later = {"retry-after": _RETRY_SECONDS} if self.status == 503 else {}
        return as_json({"error": plain(" ".join(str(self).split()))}, status=self.status, headers=self.headers | later)


def as_json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as one line of JSON; names that are not UTF-8 keep the escapes of JSON."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    body = line.encode("utf-8", "backslashreplace")  # \udc80 is an escape of JSON too
    return Response(body, status, headers=dict(headers or {}), media_type="application/json")
