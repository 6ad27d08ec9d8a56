"""A trace of training steps: a file for Perfetto that changes nothing else."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.errors import Stopped, UsageError
from resatlas.runs.names import TRACE
from resatlas.runs.seal import check_seal
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training import profiling
from resatlas.training.execution import MOST_PROFILED, PROFILE_AFTER, Execution
from resatlas.training.session import Watcher
from tests.training.small import EXPERIMENT, assert_same, carried_out, signalling


def profiled(folder: Path, steps: int, watcher: Watcher, resume: str | None = None) -> Run:
    """The smallest experiment, with a trace of so many steps."""
    execution = Execution(profile=steps, save_every=0, resume=resume)
    carry_out(prepare(EXPERIMENT, out=folder, execution=execution), watcher=watcher)
    return Run(folder)


def test_a_trace_has_the_steps_and_changes_no_bit(tmp_path: Path) -> None:
    """Perfetto's format, compressed, with the operations of three steps; the run and its seal are as without it."""
    said: list[str] = []
    run = profiled(tmp_path / "traced", 3, Watcher(on_note=said.append))
    events = json.loads(gzip.decompress((run.folder / TRACE).read_bytes()))["traceEvents"]
    names = {event["name"] for event in events}
    assert {name for name in names if name.startswith("ProfilerStep")} == {
        f"ProfilerStep#{PROFILE_AFTER + k}" for k in range(3)
    }
    assert {"aten::conv2d", "aten::batch_norm"} <= names
    assert [note for note in said if TRACE in note] == [
        f"{run.folder / TRACE} is the trace of the last steps; open it at https://ui.perfetto.dev"
    ]
    assert_same(run, carried_out(tmp_path / "plain"))
    seal = check_seal(run.folder)
    assert seal
    assert TRACE not in {entry.name for entry in seal.files}


def test_a_trace_that_cannot_be_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is stopped first has none, and one whose disk is full goes on."""
    said: list[str] = []
    with pytest.raises(Stopped):
        profiled(tmp_path / "run", 3, replace(signalling(2), on_note=said.append))
    assert said[-1] == f"no trace: --profile begins after {PROFILE_AFTER} steps, and the training ended before"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(profiling, "write_bytes", full)
    profiled(tmp_path / "run", 3, Watcher(on_note=said.append), resume="auto")
    assert f"no trace: {TRACE} cannot be written: No space left on device" in said


@pytest.mark.parametrize("steps", [0, -1, MOST_PROFILED + 1])
def test_a_wrong_number_of_steps_is_refused(steps: int) -> None:
    """One line with the bounds."""
    with pytest.raises(UsageError, match=r"--profile must be between 1 and 1,000 steps; got "):
        Execution(profile=steps)
