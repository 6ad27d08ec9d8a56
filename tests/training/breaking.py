"""Processes that end, and disks that are full, at a chosen file operation."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from resatlas.training import checkpoint

OPERATIONS = ("mkdir", "open", "fsync", "rename", "replace", "unlink", "rmdir")


class Crash(BaseException):
    """Simulates the end of the process: no handler of errors catches it."""


@contextmanager
def failing(k: int, error: BaseException) -> Iterator[list[str]]:
    """Let the k-th operation that changes files, counted from 0, raise an error; yields the operations so far."""
    done: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: object, **more: object) -> Any:  # noqa: ANN401 - any result of the real function
            if name == "Path.open" and arguments[1:2] in ((), ("r",), ("rb",)) and more.get("mode", "r") == "r":
                return real(*arguments, **more)
            if name == "open" and arguments[1] & os.O_ACCMODE == os.O_RDONLY:  # type: ignore[operator]
                return real(*arguments, **more)
            done.append(name)
            if len(done) == k + 1:
                raise error
            return real(*arguments, **more)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        for name in ("save_weights", "save_file"):
            patch.setattr(checkpoint, name, counted(name, getattr(checkpoint, name)))
        patch.setattr(Path, "open", counted("Path.open", Path.open))
        yield done
