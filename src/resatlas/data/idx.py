"""IDX files, the format of the MNIST family: a magic number, the sizes of the axes, then unsigned bytes."""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.errors import DataError
from resatlas.values.reading import opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 1 << 20  # bytes decompressed at a time


@dataclass(frozen=True, kw_only=True)
class IdxFile:
    """A gzipped IDX file as it was published: its name, its axes, the sha256 of its decompressed content."""

    name: str
    axes: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """Two zeros, 8 for unsigned bytes, the number of axes; then each axis as four bytes, the highest first."""
        return bytes((0, 0, 8, len(self.axes))) + b"".join(axis.to_bytes(4, "big") for axis in self.axes)


def read_idx(path: Path, published: IdxFile) -> "NDArray[np.uint8]":
    """The array of the file at `path`, which must hold what was published and nothing else.

    Raises: DataError if the file cannot be read, is not a whole gzip file, or has other content.
    """
    import numpy as np

    header = published.header
    content, fault = decompressed(path, limit=len(header) + math.prod(published.axes))
    digest = hashlib.sha256(content).hexdigest()
    if fault or digest != published.sha256:
        raise DataError(
            f"{path} is damaged or another file{fault and f': {fault}'}; "
            f"its content should have the sha256 {published.sha256}, found {digest}"
        )
    if not content.startswith(header) or len(content) != len(header) + math.prod(published.axes):
        raise DataError(f"{path} is not an IDX file of {'x'.join(map(str, published.axes))} unsigned bytes")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(published.axes)


def decompressed(path: Path, *, limit: int) -> tuple[bytes, str]:
    """(content, what is wrong with the file or ""): as far as it can be read, and never more than limit + 1 bytes."""
    content = bytearray()
    try:
        with opened(path) as file, gzip.open(file) as stream:
            while len(content) <= limit and (block := stream.read(min(_BLOCK, limit + 1 - len(content)))):
                content += block
    except (OSError, EOFError, zlib.error) as error:  # a damaged gzip file raises any of the three
        return bytes(content), str(error)
    return bytes(content), f"it holds more than {limit:,} bytes" if len(content) > limit else ""
