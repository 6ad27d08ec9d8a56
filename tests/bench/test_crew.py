"""Contenders in their own processes."""

import os
import signal

import pytest

from resatlas.bench import crew as module
from resatlas.bench.crew import Contender, crews
from resatlas.bench.profile import STEP, STEPS
from resatlas.bench.tasks import Ours
from resatlas.errors import ProcessLost, UsageError
from tests.training.processes import wait_for

TASK = Ours(designs=("resnet:depth=8,base=2",), batch=8, norm_group=None, precision="fp32")


def test_two_processes_step_together_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes its steps in both, the profile is that of the first, and no process is left afterwards."""
    monkeypatch.setattr(module, "CALL_SECONDS", 1e-9)
    with crews({"ours": Contender(task=TASK, processes=2, threads=1)}) as crew:
        crew["ours"].warm()
        crew["ours"].steps = 2
        crew["ours"]()
        operations = {operation.name: operation for operation in crew["ours"].profile()}
        members = [worker.process for worker in crew["ours"].members]
        assert len(members) == 2
        assert all(process.is_alive() for process in members)
    assert operations[STEP].calls == STEPS
    assert operations["aten::convolution"].calls == STEPS * 7
    assert any("all_reduce" in name or "allreduce" in name for name in operations)
    assert not any(process.is_alive() for process in members)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_process_is_reported_and_the_other_ends(rank: int) -> None:
    """If one of two is killed: one sentence names what it measured and how it ended, and no process is left."""
    with crews({"ours": Contender(task=TASK, processes=2, threads=1)}) as crew:
        crew["ours"].warm()
        members = [worker.process for worker in crew["ours"].members]
        os.kill(members[rank].pid or 0, signal.SIGKILL)
        with pytest.raises(ProcessLost, match="a process that measured ours was ended by SIGKILL"):
            crew["ours"]()
    assert wait_for(lambda: not any(process.is_alive() for process in members), seconds=20)


def test_a_process_lost_before_it_joins_the_others_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed as it starts, while the first one waits for it: reported at once, not after a timeout."""
    monkeypatch.setattr(module, "TO_END", 0.1)
    with crews({"ours": Contender(task=TASK, processes=2, threads=1)}) as crew:
        os.kill(crew["ours"].members[1].process.pid or 0, signal.SIGKILL)
        with pytest.raises(ProcessLost, match="a process that measured ours was ended by SIGKILL"):
            crew["ours"].warm()
        assert crew["ours"].members[0].process.is_alive()


def test_an_error_of_a_process_is_raised() -> None:
    """A norm group that two processes cannot share."""
    task = Ours(designs=TASK.designs, batch=8, norm_group=8, precision="fp32")
    with (
        pytest.raises(UsageError, match="norm_group 8 is more than the 4 images"),
        crews({"ours": Contender(task=task, processes=2, threads=1)}) as crew,
    ):
        crew["ours"].warm()
