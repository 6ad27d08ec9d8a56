"""The pixels of one image file from a stranger: cheap checks of its bytes before the decoder sees them."""

import struct

from resatlas.data.photograph import Pixels, pixels, proportioned
from resatlas.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_BEGINNINGS = (_PNG, b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM")
"""How files of images begin."""

_SCAN = b"\xff\xda"  # the marker of a scan in a JPEG; within a scan's data a byte ff is followed by 00
_MOST_SCANS = 30
"""Scans of a progressive JPEG: usual are 10. Each passes over the whole image, and a few bytes can ask for one."""


def image_pixels(content: bytes, *, most: int) -> Pixels:
    """The pixels of one image file of at most so many, as `resatlas predict` reads them.

    Raises: DataError with the reason alone; MemoryError.
    """
    if not content:
        raise DataError("the body is empty; send the bytes of one image file")
    if content.startswith(b"\xff\xd8") and (scans := content.count(_SCAN)) > _MOST_SCANS:
        raise DataError(f"a JPEG of {scans:,} scans, where {_MOST_SCANS} is the most")
    if content.startswith(_PNG) and _behind_png(content).startswith(_BEGINNINGS):
        raise DataError("two images in one body; send one image a request")
    return proportioned(pixels(content, most=most))


def _behind_png(content: bytes) -> bytes:
    """The first bytes after the last chunk of a PNG; none if it has no last chunk."""
    start = len(_PNG)
    while start + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        start += 12 + size
        if kind == b"IEND":
            return content[start : start + 8]
    return b""
