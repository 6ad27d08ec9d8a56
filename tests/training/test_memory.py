"""Blocks that are freed and asked for again cost the system nothing while memory is kept."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from resatlas.nets.recomputing import Kept
from resatlas.studies.single import carry_out, prepare
from resatlas.training import memory, session
from resatlas.training.execution import Execution
from resatlas.training.memory import memory_kept
from resatlas.training.session import UNWATCHED
from tests.training.processes import FORKED
from tests.training.small import EXPERIMENT


def cleared() -> int:
    """How often the system hands out a clear page while 64 MiB are filled and freed, again and again."""
    counts: list[int] = []
    for _ in range(20):
        torch.ones(2**24)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return counts[-1] - counts[-11]  # the first blocks may meet others that are in their way


def count(pipe: Connection) -> None:
    """Tell what the system hands out before and while memory is kept, and the bytes that it has back at the end."""
    before = cleared()
    with memory_kept():
        within = cleared()
        kept = resident()
    pipe.send((before, within, kept - resident()))


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept by glibc")
def test_the_same_pages_serve_again() -> None:
    """Within, next to none is handed out anew; before, all of them each time; at the end the system has them back.

    In a process of its own, where no blocks that other tests have freed can serve.
    """
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=count, args=(theirs,))
    process.start()
    theirs.close()
    before, within, returned = ours.recv()
    process.join()
    assert before > 8 * within
    assert returned > 2**25


def test_what_an_older_glibc_refuses_is_set_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold that is too high for it does not stay where it happens to be."""
    asked: list[tuple[int, int]] = []

    class Older:
        """Takes no threshold above 32 MiB for blocks."""

        def gnu_get_libc_version(self) -> bytes:
            """That of a widespread one."""
            return b"2.34"

        def mallopt(self, parameter: int, size: int) -> int:
            """Whether it is set."""
            asked.append((parameter, size))
            return int(parameter != memory.MMAP_THRESHOLD or size <= 2**25)

        def malloc_trim(self, _pad: int) -> None:
            """Nothing."""

    def older(_name: None) -> Older:
        return Older()

    monkeypatch.setattr(memory.ctypes, "CDLL", older)
    with memory_kept():
        assert asked[-1] == (memory.MMAP_THRESHOLD, memory.USUAL[memory.MMAP_THRESHOLD])
        assert asked[0] == (memory.TRIM_THRESHOLD, memory.KEPT[memory.TRIM_THRESHOLD])


@pytest.mark.parametrize(("kept", "times"), [("all", 1), ("units", 0), ("segments", 0)])
def test_a_training_keeps_memory_unless_it_is_to_save_it(
    kept: Kept, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around all of its steps, where it keeps all activations."""
    entered: list[bool] = []

    @contextmanager
    def noted() -> Iterator[None]:
        entered.append(True)
        yield

    monkeypatch.setattr(session, "memory_kept", noted)
    execution = Execution(kept=kept, save_every=9)
    carry_out(prepare(EXPERIMENT, out=tmp_path / "run", execution=execution), watcher=UNWATCHED)
    assert len(entered) == times
