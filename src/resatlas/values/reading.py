"""Safe reading of files: only regular files, up to a size that the caller sets.

Opening a pipe waits for a writer, perhaps forever, and reading a device may never end. So a file is opened without
waiting, and its type is checked before it is read. Links to regular files are followed.
Every reader of the project opens files with these functions.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MOST = 1 << 28
"""The default limit on the bytes of a file."""


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file of any size for reading bytes.

    Raises: OSError, whose `strerror` says what the path is instead or why it cannot be opened.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:  # a null character in the name
        raise OSError(errno.EINVAL, "invalid path (null character)", str(file)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # the error of a socket
            raise OSError(errno.ENXIO, "a socket, not a regular file", str(file)) from None
        raise
    if kind := _kind(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, f"{kind}, not a regular file", str(file))
    with os.fdopen(handle, "rb") as source:
        yield source


def content(file: Path, *, most: int = MOST) -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    Raises: OSError as `opened`; also for a larger file, even if it grows while it is read.
    """
    with opened(file) as source:
        data = source.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than the limit of {most:,} bytes", str(file))
    return data


def text(file: Path, *, most: int = MOST) -> str:
    """The text of a regular file in UTF-8, with line ends unchanged.

    Raises: OSError as `content`; UnicodeDecodeError, a ValueError, for other bytes.
    """
    return content(file, most=most).decode("utf-8")


def check_regular(file: Path) -> None:
    """Check that a path is a regular file, before a library opens it.

    Raises: OSError as `opened`.
    """
    with opened(file):
        pass


def _kind(mode: int) -> str:
    """The kind of a file that is not regular, or ""."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((kind for test, kind in kinds if test(mode)), "" if stat.S_ISREG(mode) else "something else")
