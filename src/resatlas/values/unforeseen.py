"""The message of an unexpected error: what the program was doing, what happened, what to do."""

import os
import sys
import traceback

from resatlas.errors import Defect, OutOfMemory, ResatlasError, Stopped, UsageError
from resatlas.values.memory import on_gpu, out_of_memory, requested

_SWITCH = "RESATLAS_TRACEBACK"
"""The environment variable that enables the traceback."""

_LONGEST = 200
"""The largest number of characters of an error's message."""


def foreseen(error: BaseException, *, doing: str, saving: str = "") -> ResatlasError:
    """The error as a ResatlasError with a message of one line.

    `doing` is what the program was doing, such as "resatlas train resnet-20"; `saving` is what needs less memory.
    A lack of memory and a package that cannot be imported are not defects.
    """
    if isinstance(error, ResatlasError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Stopped("by Ctrl-C")
    if out_of_memory(error):
        size = requested(error)
        where = "the GPU has" if on_gpu(error) else "there is"
        allocation = f" (an allocation of {size} failed)" if size else ""
        remedy = f"; to use less: {saving}" if saving else ""
        return OutOfMemory(f"{doing} needs more memory than {where}{allocation}{remedy}")
    if isinstance(error, OSError):  # such as a full disk or a removed folder
        what = _one_line(str(error.filename or "a file"))
        return ResatlasError(f"{what} cannot be used: {_one_line(error.strerror or str(error)).lower()}")
    if isinstance(error, ImportError) and not (error.name or "").startswith("resatlas"):
        return UsageError(
            f"{doing}: a package that it needs cannot be imported: {_one_line(str(error))}; reinstall it "
            "(resatlas doctor shows what is installed)"
        )
    message = _one_line(str(error))
    return Defect(
        f"{doing}: {type(error).__name__}{f': {message}' if message else ''}; "
        f"this is a defect; rerun with {_SWITCH}=1 and report it"
    )


def _one_line(text: str) -> str:
    """The text as one printable line of bounded length."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def show_traceback(error: BaseException) -> None:
    """Print the traceback to standard error, if `_SWITCH` is set."""
    if os.environ.get(_SWITCH) == "1":
        traceback.print_exception(error, file=sys.stderr)
