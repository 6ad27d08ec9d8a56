"""Files read with suspicion: regular ones alone, and none larger than its reader states.

Opening a pipe waits for a writer, perhaps without end, and a device may never end. So a file is opened without
waiting, and what was opened is looked at before anything is read from it. Links to regular files are followed.
Every reader of the project opens files here.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MOST = 1 << 28
"""Bytes of the largest file that is read at once, where its reader states no other limit."""


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The regular file, open for reading bytes, whatever its size.

    Raises: OSError, whose `strerror` says what stands in the file's place or why it cannot be opened.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:  # a null character in the name
        raise OSError(errno.EINVAL, "invalid path (null character)", str(file)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # how a socket refuses
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
        found = source.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes, the most that is read", str(file))
    return found


def text(file: Path, *, most: int = MOST) -> str:
    """The text of a regular file in UTF-8, line ends as they are.

    Raises: OSError as `content`; UnicodeDecodeError, a ValueError, for other bytes.
    """
    return content(file, most=most).decode("utf-8")


def check_regular(file: Path) -> None:
    """Refuse what is not a regular file, before a library opens it by its name.

    Raises: OSError as `opened`.
    """
    with opened(file):
        pass


def _kind(mode: int) -> str:
    """What stands in the place of a regular file, or nothing."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((kind for test, kind in kinds if test(mode)), "" if stat.S_ISREG(mode) else "something else")
