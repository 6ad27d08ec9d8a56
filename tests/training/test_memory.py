"""While memory is kept, freed blocks are reused without page faults."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from resatlas.nets.peak import Kept
from resatlas.studies.single import carry_out, prepare
from resatlas.training import memory, session
from resatlas.training.execution import Execution
from resatlas.training.memory import memory_kept
from resatlas.training.session import UNWATCHED
from tests.training.processes import FORKED
from tests.training.small import EXPERIMENT


def page_faults() -> int:
    """The number of page faults while 64 MiB are filled and freed repeatedly."""
    counts: list[int] = []
    for _ in range(20):
        torch.ones(2**24)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return counts[-1] - counts[-11]  # the first blocks may not fit beside others


def count(pipe: Connection) -> None:
    """Send the page faults before and while memory is kept, and the bytes returned to the system at the end."""
    before = page_faults()
    with memory_kept():
        within = page_faults()
        kept = resident()
    pipe.send((before, within, kept - resident()))


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept by glibc")
def test_pages_are_reused() -> None:
    """Within the context there are few page faults; at the end the memory is returned.

    It runs in its own process, where no blocks freed by other tests can be reused.
    """
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=count, args=(theirs,))
    process.start()
    theirs.close()
    before, within, returned = ours.recv()
    process.join()
    assert before > 8 * within
    assert returned > 2**25


def test_a_threshold_that_an_older_glibc_refuses_is_set_to_its_usual_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused threshold is set to glibc's usual value."""
    settings: list[tuple[int, int]] = []

    class Older:
        """Takes no threshold above 32 MiB for blocks."""

        def gnu_get_libc_version(self) -> bytes:
            """The version of a common glibc."""
            return b"2.34"

        def mallopt(self, parameter: int, size: int) -> int:
            """Whether the threshold is set."""
            settings.append((parameter, size))
            return int(parameter != memory.MMAP_THRESHOLD or size <= 2**25)

        def malloc_trim(self, _pad: int) -> None:
            """No-op."""

    def older(_name: None) -> Older:
        return Older()

    monkeypatch.setattr(memory.ctypes, "CDLL", older)
    with memory_kept():
        assert settings[-1] == (memory.MMAP_THRESHOLD, memory.USUAL[memory.MMAP_THRESHOLD])
        assert settings[0] == (memory.TRIM_THRESHOLD, memory.KEPT[memory.TRIM_THRESHOLD])


@pytest.mark.parametrize(("kept", "times"), [("all", 1), ("units", 0), ("segments", 0)])
def test_a_training_keeps_memory_unless_it_must_save_it(
    kept: Kept, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is kept during all steps if all activations are kept."""
    entered: list[bool] = []

    @contextmanager
    def noted() -> Iterator[None]:
        entered.append(True)
        yield

    monkeypatch.setattr(session, "memory_kept", noted)
    execution = Execution(kept=kept, save_every=9)
    carry_out(prepare(EXPERIMENT, out=tmp_path / "run", execution=execution), watcher=UNWATCHED)
    assert len(entered) == times
