"""A batch of images, and its transfer from the process that makes it to the process that uses it."""

import errno
import mmap
import os
import socket
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor


class Batch(NamedTuple):
    """Images as a network takes them, their labels, and their positions in the source."""

    images: Shaped[Tensor, "b c h w"]
    labels: Int64[Tensor, " b"]
    ids: Int64[Tensor, " b"]


Sample = tuple[Tensor, int, int]
"""An image of a batch, its label and its id."""


def stacked(samples: Sequence[Sample]) -> Batch:
    """The samples as a batch."""
    return _batch([(label, k) for _, label, k in samples], torch.stack([image for image, _, _ in samples]))


def _batch(samples: Sequence[tuple[int, int]], images: Tensor) -> Batch:
    """A batch of images with these labels and ids."""
    labels, ids = zip(*samples, strict=True)
    return Batch(images, torch.tensor(labels), torch.tensor(ids))


class Packed(NamedTuple):
    """A batch without its pixels, which follow as anonymous memory or as bytes."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    samples: list[tuple[int, int]]
    follow: Literal["memory", "bytes"]

    @property
    def bytes(self) -> int:
        """Bytes of the pixels."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


Pixels = int | memoryview
"""A handle of anonymous memory, or the bytes themselves."""


def packed(samples: Sequence[Sample]) -> tuple[Packed, Pixels]:
    """The samples as a batch to send."""
    images, labels = torch.stack([image for image, _, _ in samples]), [(label, k) for _, label, k in samples]
    pixels = memoryview(images.as_strided((images.numel(),), (1,)).numpy()).cast("B")  # type: ignore[arg-type]
    handle = _in_memory(pixels)
    follow: Literal["memory", "bytes"] = "bytes" if handle is None else "memory"
    message = Packed(tuple(images.shape), images.stride(), images.dtype, labels, follow)
    return message, pixels if handle is None else handle


def _in_memory(pixels: memoryview) -> int | None:
    """A handle of anonymous memory with the bytes; None where the system has no memfd, or limits files."""
    if not hasattr(os, "memfd_create"):
        return None
    try:
        handle = os.memfd_create("batch")
    except OSError:
        return None
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(pixels)
    except OSError:
        os.close(handle)
        return None
    return handle


def send(line: Connection, message: Packed, pixels: Pixels) -> None:
    """Send a packed batch.

    Raises: OSError if the receiving process has ended.
    """
    try:
        line.send(message)
        if isinstance(pixels, memoryview):
            line.send_bytes(pixels)
            return
        with _carrier(line) as carrier:
            socket.send_fds(carrier, [b"m"], [pixels])
    finally:
        if isinstance(pixels, int):
            os.close(pixels)


def _carrier(line: Connection) -> socket.socket:
    """The socket below a line, which can transfer file handles."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(line.fileno()))


def unpacked(line: Connection, message: Packed) -> Batch:
    """The batch of a message, whose pixels follow on the line.

    Raises: EOFError if they are missing; OSError; MemoryError.
    """
    try:
        memory = (
            bytearray(line.recv_bytes(message.bytes)) if message.follow == "bytes" else _mapped(line, message.bytes)
        )
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(f"a batch of {message.shape[0]:,} images, {message.bytes:,} bytes") from None
        raise
    images = torch.frombuffer(memory, dtype=message.dtype).as_strided(message.shape, message.strides)
    return _batch(message.samples, images)


def _mapped(line: Connection, size: int) -> mmap.mmap:
    with _carrier(line) as carrier:
        received, handles, _, _ = socket.recv_fds(carrier, 1, 1)
    if not received:
        raise EOFError
    if not handles:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    try:
        return mmap.mmap(handles[0], size)
    finally:
        os.close(handles[0])
