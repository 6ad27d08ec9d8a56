"""Readers need no mount and no lock, fall back where the system has fewer of them, and end in words."""

import errno
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from resatlas.data import loading, photograph, readers
from resatlas.data.batch import Batch
from resatlas.data.batches import batches, pipeline_for, source
from resatlas.data.catalog import resolve
from resatlas.errors import DataError
from resatlas.recipes.catalog import NAMED
from tests.data.pictures import write_parts

Epoch = Callable[..., list[Batch]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve images to train on."""
    return write_parts(tmp_path_factory.mktemp("images"), 6)


@pytest.fixture
def batch_by_batch(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Iterator[Batch]]:
    """The batches of four of an epoch, by so many workers on three cores."""
    monkeypatch.setattr(loading, "cores", lambda: 3)

    def shown(*, workers: int = 3, on_note: Callable[[str], None] = lambda _: None) -> Iterator[Batch]:
        data = resolve(f"{root}:size=8")
        train = data.read().train
        pipeline = pipeline_for(NAMED["fb-imagenet"], data, train, workers=workers, on_note=on_note)
        return batches(source(train, pipeline), pipeline, seed=0, epoch=0, batch=4)

    return shown


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    """Two lists of batches agree in every bit."""
    for one, other in zip(left, right, strict=True):
        assert all(mine.equal(theirs) for mine, theirs in zip(one, other, strict=True))


def test_where_fewer_processes_can_be_started_those_read(
    batch_by_batch: Callable[..., Iterator[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One or no reader in place of three gives equal bits in one thread, with a note."""
    whole, real = list(batch_by_batch()), os.fork
    for most, words in ((1, "images are read by 1"), (0, "images are read by the process that uses them")):
        started: list[int] = []

        def scarce(most: int = most, started: list[int] = started) -> int:
            if len(started) == most:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            started.append(1)
            return real()

        monkeypatch.setattr(os, "fork", scarce)
        notes: list[str] = []
        torch.set_num_threads(2)
        try:
            assert_equal(list(batch_by_batch(on_note=notes.append)), whole)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)
        assert notes == [
            f"{3 - most} of 3 processes that read images cannot be started (resource temporarily unavailable): {words}"
        ]


@pytest.mark.parametrize("lacking", ["anonymous memory", "room for files", "signals"])
def test_what_a_system_lacks_changes_no_bit(
    batch_by_batch: Callable[..., Iterator[Batch]], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """As macOS has no anonymous memory and no waiting for signals; a limit on files is one on that memory too."""
    whole = list(batch_by_batch())
    if lacking == "anonymous memory":
        monkeypatch.delattr(os, "memfd_create")
    elif lacking == "signals":
        for name in ("sigwaitinfo", "sigtimedwait", "pthread_sigmask"):
            monkeypatch.delattr(signal, name)
    else:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        real = loading.pixels_of

        def limited(part: loading.Part, k: int) -> torch.Tensor:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))  # of the reader
            return real(part, k)

        monkeypatch.setattr(loading, "pixels_of", limited)
    assert_equal(list(batch_by_batch()), whole)


def test_where_no_affinity_is_known_the_machine_s_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert loading.cores() == os.cpu_count()


@pytest.mark.parametrize("follows", ["memory", "bytes"])
def test_a_reader_that_is_killed_between_two_batches_is_told_where_the_next_is_waited_for(
    batch_by_batch: Callable[..., Iterator[Batch]], monkeypatch: pytest.MonkeyPatch, follows: str
) -> None:
    """What this process does meanwhile is not disturbed, and no process stays."""
    if follows == "bytes":
        monkeypatch.delattr(os, "memfd_create")
    pids: list[int] = []
    real = os.fork

    def noted() -> int:
        pid = real()
        pids.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noted)
    shown = batch_by_batch(workers=1)
    next(shown)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(DataError, match="a process that reads images was killed, probably"):
        list(shown)
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_an_image_that_never_ends_is_named(
    batch_by_batch: Callable[..., Iterator[Batch]], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on a file server that is gone; the others of its batch may take as long as they all need."""
    monkeypatch.setattr(readers, "SILENCE", 0.3)
    real = loading.pixels_of

    def slow(part: loading.Part, k: int) -> torch.Tensor:
        time.sleep(60 if k == 7 else 0.2)
        return real(part, k)

    monkeypatch.setattr(loading, "pixels_of", slow)
    with pytest.raises(DataError) as refused:
        list(batch_by_batch(workers=1))
    assert str(refused.value).startswith(f"{root}/train/dog/1.png has not been read in ")


def test_a_reader_without_memory_names_the_image(
    batch_by_batch: Callable[..., Iterator[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not an image that cannot be read, which may be left out: the error is MemoryError, and comes at once."""

    def starved(_: Image.Image) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(photograph, "in_colour", starved)
    with pytest.raises(MemoryError, match=r"the pixels of .*\.png"):
        list(batch_by_batch())


def test_a_batch_that_cannot_be_mapped_is_no_hang(
    batch_by_batch: Callable[..., Iterator[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a limit on the address space of the process that uses the batches."""
    real = socket.recv_fds

    def full(*arguments: Any) -> object:  # noqa: ANN401 - as the real one
        result = real(*arguments)
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) if result else EOFError

    monkeypatch.setattr(socket, "recv_fds", full)
    with pytest.raises(MemoryError, match="a batch of 4 images, 3,072 bytes"):
        list(batch_by_batch())
