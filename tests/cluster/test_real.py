"""`resatlas study --on slurm` on a real SLURM of two nodes: the same bits, lost nodes, cancellations, time limits."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.errors import ResatlasError, Stopped
from resatlas.runs.decoding import read_status
from resatlas.runs.store import Run
from resatlas.studies import slurm
from resatlas.studies.slurm import Job, carry_out_on_slurm
from resatlas.studies.study import read_study
from resatlas.studies.submitting import ClusterProgress
from resatlas.training.checkpoint import newest_valid
from tests.cluster import slowing
from tests.cluster.real import MISSING, NODES, Cluster, cluster, wait_for
from tests.studies import tiny
from tests.training import processes
from tests.training.small import assert_same, carried_out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A cluster of two nodes."""
    if MISSING:
        reason = f"no SLURM on this machine: {', '.join(MISSING)}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; .ci/run installs it")
        pytest.skip(reason)
    with cluster() as started:
        yield started


@dataclass(frozen=True, kw_only=True)
class Place:
    """A study in a folder, and the cluster that carries it out."""

    nodes: Cluster
    file: Path
    out: Path
    variables: dict[str, str]

    @property
    def runs(self) -> list[Run]:
        """All its runs."""
        return [Run(self.out / name) for name in read_study(self.file).distinct_experiments()]

    @property
    def words(self) -> tuple[str, ...]:
        """The command."""
        return ("study", str(self.file), "--out", str(self.out), "--on", "slurm")

    def submit(self, *, jobs: int = 2, words: tuple[str, ...] = ()) -> Job:
        """A new job, which is not waited for."""
        job = carry_out_on_slurm(
            read_study(self.file), self.file, self.out, jobs=jobs, words=words, waiting="detached", on_progress=ignore
        )
        assert job
        return job

    def attach(self, on_progress: Callable[[ClusterProgress], None]) -> Job | None:
        """Wait for the end of the job."""
        return carry_out_on_slurm(read_study(self.file), self.file, self.out, on_progress=on_progress)

    def speed_up(self) -> None:
        """From now on no step is slowed down."""
        Path(self.variables["SLOW_UNTIL"]).touch()


def ignore(_: ClusterProgress) -> None:
    """Nobody watches."""


@pytest.fixture
def place(nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A study of four runs, whose steps are slow in the jobs; afterwards no job and no process of one is left."""
    processes.serve()
    slowed = slowing.install(tmp_path / "site")
    path = os.pathsep.join(filter(None, [slowed["PYTHONPATH"], os.environ.get("PYTHONPATH")]))
    variables = {**nodes.environment, **slowed, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slurm, "_POLL_SECONDS", 0.4)
    yield Place(nodes=nodes, file=tiny.write(tmp_path), out=tmp_path / "out", variables=variables)
    nodes.ask("scancel", "--user", str(os.geteuid()))
    wait_for(lambda: not nodes.elements("PENDING,RUNNING,COMPLETING"))
    assert nodes.processes() == []


def write_study(place: Place, *, seeds: int = 2, epochs: int = 3) -> None:
    """Change the study of a place."""
    text = tiny.TEXT.replace("seeds = 2", f"seeds = {seeds}").replace("epochs = 3", f"epochs = {epochs}")
    tiny.write(place.file.parent, text)


def saved(run: Run) -> int:
    """The step of its newest checkpoint; 0 without one."""
    newest, _ = newest_valid(run.checkpoints)
    return int(newest.name.removeprefix("step-")) if newest else 0


def node_of(run: Run) -> str:
    """The node on which a run is trained."""
    pid = json.loads((run.folder / "status.json").read_text())["pid"]
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return next(v.partition("=")[2] for v in variables if v.startswith("SLURMD_NODENAME="))


def status(run: Run) -> str:
    """The status of a run; empty before it has one."""
    record = read_status(run.folder)
    return record.status if record else ""


def in_training(place: Place, node: str) -> list[Run]:
    """The runs with a checkpoint that a node trains; one beside it may be finished already, where the other is slow."""
    return [run for run in place.runs if saved(run) and status(run) == "running" and node_of(run) == node]


def test_a_lost_node_costs_no_bit_and_no_step_that_was_saved(place: Place, tmp_path: Path) -> None:
    """Kill -9 of a node with its job: queued again, resumed from its checkpoint, 8 of 8 runs equal to those here."""
    write_study(place, seeds=4)
    place.submit()
    wait_for(lambda: all(in_training(place, node) for node in NODES))
    [lost] = in_training(place, "n1")
    place.nodes.power_cut("n1")
    step = saved(lost)
    wait_for(lambda: place.nodes.elements("PENDING"))
    place.nodes.start_daemon("n1")
    place.speed_up()
    place.attach(ignore)
    experiments = read_study(place.file).distinct_experiments()
    assert len(experiments) == 8
    for run in place.runs:
        assert_same(run, carried_out(tmp_path / "here" / run.name, experiments[run.name], save_every=30))
        environment = run.record().environment
        assert environment
        starts = [(start.attempt, start.step) for start in environment.starts]
        assert starts == ([(1, 0), (2, step)] if run == lost else [(1, 0)])


def submitter(variables: dict[str, str]) -> None:
    """Prepare the process of a submitter."""
    os.environ.update(variables)
    slurm._POLL_SECONDS = 0.4


def test_ctrl_c_leaves_nothing_and_a_second_submission_attaches(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 75, an empty queue, no process of ours; every begun run is saved, and resumes to the same bits."""
    write_study(place, epochs=60)
    first = processes.start(tmp_path / "first", *place.words, "--jobs", "2", first=partial(submitter, place.variables))
    wait_for(lambda: sum(saved(run) > 0 for run in place.runs) == len(NODES))
    [number] = {number.partition("_")[0] for number, _, _ in place.nodes.elements("PENDING,RUNNING")}
    assert main((*place.words, "--detach", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {"job": number, "shares": 2}
    write_study(place, epochs=61)
    assert main((*place.words, "--detach")) == 2
    assert f"tiny.toml has changed since job {number} was submitted" in capsys.readouterr().err
    write_study(place, epochs=60)
    os.kill(first.process.pid or 0, signal.SIGINT)
    ended = first.ended()
    assert ended.code == 75, ended.err
    assert "Stopped: by SIGINT, every run saved; rerun the command to continue" in ended.err.splitlines()[-1]
    assert place.nodes.elements("PENDING,RUNNING,COMPLETING") == []
    assert place.nodes.processes() == []
    begun = [run for run in place.runs if (run.folder / "experiment.json").exists()]
    assert [status(run) for run in begun] == ["stopped", "stopped"]
    experiment = read_study(place.file).distinct_experiments()[begun[0].name]
    straight = carried_out(tmp_path / "here", experiment, save_every=30)
    assert_same(carried_out(begun[0].folder, experiment, resume="auto", save_every=30), straight)


def test_a_time_limit_saves_and_queues_again(place: Place) -> None:
    """The element that was warned saves, ends, and continues from there in another start."""
    write_study(place, seeds=1, epochs=60)
    job = place.submit(jobs=1, words=("--time=60",))
    wait_for(lambda: any(map(saved, place.runs)))
    place.nodes.ask("scontrol", "update", f"JobId={job.number}_0", "EndTime=now+2minutes")
    wait_for(lambda: [run for run in place.runs if status(run) == "stopped"])
    [stopped] = [run for run in place.runs if status(run) == "stopped"]
    step = saved(stopped)
    place.nodes.ask("scontrol", "update", f"JobId={job.number}_0", "TimeLimit=60")
    place.speed_up()
    place.attach(ignore)
    assert [state for number, state, _ in place.nodes.elements() if number == f"{job.number}_0"] == ["COMPLETED"]
    environment = stopped.record().environment
    assert environment
    assert [start.step for start in environment.starts] == [0, step]


def test_a_node_without_python_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the node's own words; the same command then submits a new job."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ResatlasError, match=r"job \d+ has ended .*0.log ends with: node .* has no Python at /nowhere/"):
        carry_out_on_slurm(read_study(place.file), place.file, place.out, jobs=1, on_progress=ignore)
    assert [run for run in place.runs if run.folder.exists()] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--gres=gpu:1", "Requested node configuration is not available"),
        ("--partition=none", "Invalid partition name specified"),
        ("--time=soon", "Invalid --time specification"),
    ],
)
def test_what_slurm_refuses_leaves_no_job(
    place: Place, capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    """One line with its reason, nothing in the queue, and nothing that a later submission would attach to."""
    assert main((*place.words, f"--sbatch={words}")) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("UsageError: sbatch failed with exit code ")
    assert sentence in err
    assert place.nodes.elements("PENDING,RUNNING") == []
    assert not (place.out / "slurm" / "job.json").exists()


def test_the_reason_for_waiting_is_told(place: Place) -> None:
    """A share that no node can run waits in the queue; SLURM's reason says why."""
    place.submit(words=("--begin=now+1hour",))
    notes = list[str]()

    def on_progress(progress: ClusterProgress) -> None:
        notes.append(progress.note)
        if progress.note.startswith("in SLURM's queue"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        place.attach(on_progress)
    assert "in SLURM's queue: 2 shares (BeginTime)" in notes
    assert place.nodes.elements("PENDING") == []


def test_a_controller_that_is_restarted_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job goes on meanwhile, and so does the one who watches it."""
    monkeypatch.setattr(slurm, "script", waiting_for(place.out / "go"))
    job = place.submit(jobs=1)
    wait_for(lambda: [state for _, state, _ in place.nodes.elements("RUNNING")] == ["RUNNING"])
    controller = place.nodes.daemons["controller"]
    controller.terminate()
    controller.wait()
    notes = list[str]()

    def on_progress(progress: ClusterProgress) -> None:
        notes.append(progress.note)
        if "Unable to contact slurm controller" in progress.note:
            place.nodes.start_daemon("controller")
            (place.out / "go").touch()

    def same(*_: object) -> Job:
        """The job, though its controller does not answer."""
        return job

    monkeypatch.setattr(slurm, "_live_job", same)
    with pytest.raises(ResatlasError, match=f"job {job.number} has ended with unfinished runs"):
        place.attach(on_progress)
    assert any("may still run, and SLURM is asked again" in note for note in notes)


def waiting_for(file: Path) -> Callable[[Path, Path, int], str]:
    """The script of elements that end when a file appears."""

    def script(_study: Path, _out: Path, _shares: int) -> str:
        return f"#!/bin/bash\nwhile [[ ! -e {file} ]]; do sleep 0.2; done\n"

    return script
