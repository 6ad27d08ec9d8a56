"""The last line for an error that no code foresaw: what was being done, what happened, what to do about it."""

import os
import sys
import traceback

from resatlas.errors import Defect, OutOfMemory, ResatlasError, Stopped, UsageError
from resatlas.values.memory import on_gpu, out_of_memory, requested

SWITCH = "RESATLAS_TRACEBACK"
"""The environment variable with which the traceback is printed too."""

LONGEST = 200
"""Characters of a foreign message that are shown."""


def foreseen(error: BaseException, *, doing: str, saving: str = "") -> ResatlasError:
    """The error as one of ours, with a message of one line.

    `doing` is what was being done, as in "resatlas train resnet-20"; `saving` is what would need less memory.
    A lack of memory is no defect, and neither is a package that cannot be imported.
    """
    if isinstance(error, ResatlasError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Stopped("by the keyboard")
    if out_of_memory(error):
        size = requested(error)
        where = "the GPU has" if on_gpu(error) else "there is"
        asked = f" (an allocation of {size} failed)" if size else ""
        remedy = f"; what takes less: {saving}" if saving else ""
        return OutOfMemory(f"{doing} needs more memory than {where}{asked}{remedy}")
    if isinstance(error, OSError):  # a disk that filled, a folder that went away
        what = one_line(str(error.filename or "a file"))
        return ResatlasError(f"{what} cannot be used: {one_line(error.strerror or str(error)).lower()}")
    if isinstance(error, ImportError) and not (error.name or "").startswith("resatlas"):
        return UsageError(
            f"{doing}: a package that it needs cannot be imported: {one_line(str(error))}; reinstall it "
            "(resatlas doctor shows what is installed)"
        )
    message = one_line(str(error))
    return Defect(
        f"{doing}: {type(error).__name__}{f': {message}' if message else ''}; "
        f"this is a defect; rerun with {SWITCH}=1 and report it"
    )


def one_line(text: str) -> str:
    """The text as one printable line of bounded length."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def show_traceback(error: BaseException) -> None:
    """Print the traceback to standard error, if that was asked for."""
    if os.environ.get(SWITCH) == "1":
        traceback.print_exception(error, file=sys.stderr)
