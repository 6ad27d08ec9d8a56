"""A study is carried out by several workers, stopped by a signal, and continued by the same command."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from resatlas.errors import FolderError
from resatlas.runs.store import Run
from resatlas.studies import runner
from resatlas.studies.runner import StudyProgress, carry_out_study
from resatlas.studies.study import read_study
from resatlas.values.workers import Worker
from tests.studies import tiny
from tests.training import processes
from tests.training.processes import members, wait_for
from tests.training.small import assert_same, carried_out

STUDY = ("study", "tiny.toml", "--out", "out", "--quiet")
SECONDS = 120.0
"""The longest time that a stop may take."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The runs of the study by name, each trained separately in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    experiments = read_study(tiny.write(folder)).distinct_experiments()
    return {name: carried_out(folder / name, experiment, save_every=30) for name, experiment in experiments.items()}


def runs(folder: Path) -> list[Run]:
    """The runs below a folder."""
    return [Run(file.parent) for file in sorted(folder.glob("*/experiment.json"))]


def assert_all_as(undisturbed: dict[str, Run], folder: Path) -> None:
    """Every run of the study is finished, and equals the undisturbed run."""
    assert [run.name for run in runs(folder)] == sorted(undisturbed)
    for name, run in undisturbed.items():
        assert_same(Run(folder / name), run)


def dates(folder: Path) -> dict[str, int]:
    """When each file of the runs was last written."""
    return {str(file): file.stat().st_mtime_ns for run in runs(folder) for file in run.folder.rglob("*")}


@pytest.mark.slow
def test_a_study_is_carried_out_by_workers_and_then_left_alone(undisturbed: dict[str, Run], tmp_path: Path) -> None:
    """Two spawned workers train every run as one process does; the second call only writes the page."""
    file = tiny.write(tmp_path)
    reports: list[StudyProgress] = []
    carry_out_study(read_study(file), tmp_path / "out", workers=2, on_progress=reports.append)
    assert_all_as(undisturbed, tmp_path / "out")
    finished = [report for report in reports if report.results]
    assert [(report.finished, report.total) for report in finished] == [(k, 4) for k in (1, 2, 3, 4)]
    assert [report.share for report in reports] == sorted(report.share for report in reports)
    assert (reports[-1].finished, reports[-1].share) == (4, 1.0)
    before = dates(tmp_path / "out")
    ended = processes.run(tmp_path, "study", "tiny.toml", "--out", "out", "--json")
    assert ended.code == 0
    assert set(json.loads(ended.out)["questions"]) == {"shortcuts", "again"}
    assert dates(tmp_path / "out") == before
    page = tmp_path / "out" / "report.html"
    page.unlink()
    assert processes.run(tmp_path, *STUDY) == processes.Ended(0, "", "")
    assert page.read_text().startswith("<!")
    assert dates(tmp_path / "out") == before


def test_finished_runs_are_kept_and_the_others_made(undisturbed: dict[str, Run], tmp_path: Path) -> None:
    """A run of a `train` command is not repeated."""
    study = read_study(tiny.write(tmp_path))
    name, experiment = next(iter(study.distinct_experiments().items()))
    carried_out(tmp_path / "out" / name, experiment, save_every=30)
    before = dates(tmp_path / "out")
    assert processes.run(tmp_path, *STUDY, first=tiny.forking).code == 0
    assert before.items() <= dates(tmp_path / "out").items()
    assert_all_as(undisturbed, tmp_path / "out")


def test_a_folder_of_another_experiment_is_refused_before_any_work(tmp_path: Path) -> None:
    """A study with other epochs does not change the existing runs."""
    name, experiment = next(iter(read_study(tiny.write(tmp_path)).distinct_experiments().items()))
    carried_out(tmp_path / "out" / name, experiment)
    before = dates(tmp_path / "out")
    other = read_study(tiny.write(tmp_path, tiny.TEXT.replace("epochs = 3", "epochs = 4")))
    with pytest.raises(FolderError, match=f"{name} holds another experiment"):
        carry_out_study(other, tmp_path / "out", workers=2, on_progress=lambda _: None)
    assert dates(tmp_path / "out") == before
    assert [run.name for run in runs(tmp_path / "out")] == [name]


@dataclass(frozen=True)
class Begun:
    """A study in progress: its process, which leads a process group, and its folder."""

    program: processes.Program
    out: Path

    @property
    def leader(self) -> int:
        """The process that was started."""
        assert self.program.process.pid is not None
        return self.program.process.pid

    @property
    def workers(self) -> list[int]:
        """The other processes of its group."""
        return [pid for pid in members(self.leader) if pid != self.leader]

    def ended(self) -> processes.Ended:
        """The end of the study; within `SECONDS` no process of its group may be left."""
        self.program.process.join(SECONDS)
        alive = self.program.process.is_alive()
        left = [] if not alive and wait_for(lambda: not members(self.leader)) else members(self.leader)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not alive, f"the study did not end within {SECONDS:g} s"
        assert left == []
        return self.program.ended()


def begun(folder: Path, first: Callable[[], None], until: Callable[[Path], object]) -> Begun:
    """The tiny study, started and waited for until a condition holds."""
    tiny.write(folder)
    study = Begun(processes.start(folder, *STUDY, first=first), folder / "out")
    if not wait_for(lambda: until(study.out)):
        study.program.process.kill()
        raise AssertionError(study.program.ended())
    return study


def two_in_progress(out: Path) -> bool:
    """Whether two runs have finished an epoch."""
    return sum(bool(run.metrics) for run in runs(out)) >= 2


def interrupt_the_group(study: Begun) -> None:
    """Ctrl-C in a terminal reaches every process."""
    os.killpg(study.leader, signal.SIGINT)


def terminate_the_parent(study: Begun) -> None:
    """A batch system sends SIGTERM to the process that it started."""
    os.kill(study.leader, signal.SIGTERM)


@pytest.mark.parametrize(
    ("stop", "name"),
    [(interrupt_the_group, "SIGINT"), (terminate_the_parent, "SIGTERM")],
    ids=["SIGINT to all", "SIGTERM to the parent"],
)
def test_a_stopped_study_is_gone_on_with(
    undisturbed: dict[str, Run], tmp_path: Path, stop: Callable[[Begun], None], name: str
) -> None:
    """Exit code 75, one line, no process left; the same command then gives the weights of an undisturbed study."""
    study = begun(tmp_path, tiny.slowly, two_in_progress)
    assert len(study.workers) == 2
    stop(study)
    ended = study.ended()
    assert (ended.code, ended.out) == (75, "")
    assert ended.line == f"Stopped: by {name}, every run saved; rerun the command to continue"
    assert not any(run.finished for run in runs(study.out))
    saved = [run for run in runs(study.out) if list(run.checkpoints.glob("step-*"))]
    assert len(saved) == 2
    before = {run.name: run.metrics for run in saved}
    assert processes.run(tmp_path, *STUDY, first=tiny.forking) == processes.Ended(0, "", "")
    assert_all_as(undisturbed, study.out)
    for run in saved:
        assert run.metrics[: len(before[run.name])] == before[run.name]


def test_a_stop_before_the_first_step_is_a_stop(tmp_path: Path) -> None:
    """A run that is being prepared when the signal arrives is not trained to its end."""
    study = begun(
        tmp_path,
        partial(tiny.forking, 0.25, preparing=1.0),
        lambda out: len(list(out.glob("*/preparing"))) == 2,
    )
    terminate_the_parent(study)
    ended = study.ended()
    assert ended.code == 75
    assert not any(run.finished for run in runs(study.out))


def test_a_second_interrupt_aborts_at_once(tmp_path: Path) -> None:
    """No waiting run is started, and no run in progress is finished."""
    study = begun(tmp_path, partial(tiny.forking, 0.5), lambda out: len(list(out.glob("*/status.json"))) == 2)
    for _ in range(2):
        interrupt_the_group(study)
        wait_for(lambda: False, seconds=0.1)
    assert study.ended().code == 75
    assert not any(run.finished for run in runs(study.out))
    assert len(runs(study.out)) == 2


def test_a_stop_while_workers_start_is_a_stop(tmp_path: Path) -> None:
    """Ctrl-C during the start, sent to all processes as by a shell, gives exit code 75 and one line."""
    tiny.write(tmp_path)
    words = (sys.executable, "-m", "resatlas", *STUDY)
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        assert wait_for(lambda: len(members(program.pid)) > 2)  # itself, the tracker of resources, a worker
        os.killpg(program.pid, signal.SIGINT)
        try:
            _, err = program.communicate(timeout=SECONDS)
        finally:
            for pid in members(program.pid):
                os.kill(pid, signal.SIGKILL)
    assert (program.returncode, err.count("\n")) == (75, 1), err


def test_a_killed_worker_ends_the_study_in_words(undisturbed: dict[str, Run], tmp_path: Path) -> None:
    """One line and an exit code that is not 0, the other run saved, no process left; the same command continues."""
    study = begun(tmp_path, tiny.slowly, two_in_progress)
    os.kill(study.workers[0], signal.SIGKILL)
    ended = study.ended()
    assert (ended.code, ended.out) == (1, "")
    assert ended.line == "ResatlasError: a worker was killed; rerun the command to continue"
    assert processes.run(tmp_path, *STUDY, first=tiny.forking).code == 0
    assert_all_as(undisturbed, study.out)


def test_a_killed_idle_worker_ends_the_study_in_words(tmp_path: Path) -> None:
    """The same holds for a worker that waits although no run is left."""
    tiny.write(tmp_path, tiny.TEXT.replace("seeds = 2", "seeds = 1"))
    study = Begun(processes.start(tmp_path, *STUDY, first=partial(tiny.one_of_two_slowly, 0.5)), tmp_path / "out")
    assert wait_for(lambda: any(run.finished for run in runs(study.out)))
    [run] = (run for run in runs(study.out) if not run.finished)
    working = json.loads((run.folder / "status.json").read_text())["pid"]
    wait_for(lambda: False, seconds=0.3)  # until it waits for work
    [idle] = (pid for pid in study.workers if pid != working)
    os.kill(idle, signal.SIGKILL)
    ended = study.ended()
    assert (ended.code, ended.line) == (1, "ResatlasError: a worker was killed; rerun the command to continue")


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    """If the parent is killed, its workers end."""
    study = begun(tmp_path, partial(tiny.forking, 0.5), lambda out: len(list(out.glob("*/status.json"))) == 2)
    os.kill(study.leader, signal.SIGKILL)
    gone = wait_for(lambda: not members(study.leader))
    for pid in members(study.leader):
        os.kill(pid, signal.SIGKILL)
    assert gone


def test_a_run_that_diverges_costs_no_other_run(undisturbed: dict[str, Run], tmp_path: Path) -> None:
    """The others are finished and on the page; the error names the first run that diverged, with its exit code."""
    text = tiny.TEXT + "".join(
        f'[[questions]]\nname = "{kind}"\ntitle = "T"\nruns = [{{ designs = ["{kind}:depth=8,base=3"], '
        'settings = ["batch=16", "schedule.peak=1e30"] }]\n'
        for kind in ("resnet", "plain")
    )
    tiny.write(tmp_path, text)
    ended = processes.run(tmp_path, *STUDY, first=tiny.forking)
    assert (ended.code, ended.out) == (5, "")
    assert ended.line.startswith("NonFiniteError: synthetic_size_8_channels_1_classes_4_images_96-")
    finished = [run for run in runs(tmp_path / "out") if run.finished]
    assert [run.name for run in finished] == sorted(undisturbed)
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!")


def test_a_study_of_diverging_runs_ends_with_the_error_of_one(tmp_path: Path) -> None:
    """If no run is finished, there is no page, and the error is that of a run."""
    text = tiny.TEXT.replace('"batch=16"', '"batch=16", "schedule.peak=1e30"')
    tiny.write(tmp_path, text)
    ended = processes.run(tmp_path, *STUDY, first=tiny.forking)
    assert (ended.code, ended.out) == (5, "")
    assert ended.line.startswith("NonFiniteError: synthetic_size_8_channels_1_classes_4_images_96-")
    assert "the loss is " in ended.line


def test_a_worker_that_does_not_advance_is_told_of_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning has its run, its pid and the seconds; there is none without a run, or after the next batch."""
    now = 0.0
    monkeypatch.setattr(runner.time, "monotonic", lambda: now)
    mirror = SimpleNamespace(value=0)
    worker = Worker(process=cast("Any", SimpleNamespace(pid=77)), pipe=cast("Any", None))
    slot = runner._Slot(worker=worker, mirror=mirror)
    warnings: list[str] = []

    def warnings_until(end: float) -> list[str]:
        nonlocal now
        warnings.clear()
        while now < end:
            now += 1
            warnings.extend(filter(None, [slot.warning(60)]))
        return warnings

    assert warnings_until(100) == []
    slot.task = cast("Any", SimpleNamespace(folder=Path("out/first")))
    words = "first has not advanced for {} s (worker with pid 77)"
    assert warnings_until(230) == [words.format(60), words.format(120)]
    mirror.value += 1
    assert warnings_until(280) == []
    assert warnings_until(300) == [words.format(60)]
