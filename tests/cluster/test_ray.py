"""`resatlas study --on ray` on a real Ray cluster of two nodes: the same bits, a lost node, cancellation, refusals."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from resatlas.cli import studying
from resatlas.cli.main import main
from resatlas.runs.decoding import read_status
from resatlas.runs.lock import BEAT
from resatlas.runs.store import Run
from resatlas.studies import ray_tasks
from resatlas.studies.ray_tasks import Place
from resatlas.studies.study import read_study
from resatlas.training.checkpoint import newest_valid
from tests.cluster import slowing
from tests.cluster.ray_nodes import NODES, RayCluster, having, node_of, ray_cluster, variables
from tests.cluster.real import free_ports, wait_for
from tests.studies import tiny
from tests.training import processes
from tests.training.small import assert_same, carried_out

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """A cluster whose steps are slow until a file appears, and the variable that its processes have."""

    cluster: RayCluster
    fast: Path

    @property
    def mark(self) -> str:
        """The variable of its processes, and of those that they start."""
        return f"SLOW_UNTIL={self.fast}"


@pytest.fixture(scope="module")
def slow_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A cluster of two nodes."""
    if find_spec("ray") is None:
        reason = "ray is not installed: pip install 'resatlas[ray]'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    site = slowing.install(tmp_path_factory.mktemp("slow") / "site")
    path = os.pathsep.join(filter(None, [site["PYTHONPATH"], os.environ.get("PYTHONPATH")]))
    with ray_cluster({**site, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}) as cluster:
        yield Nodes(cluster=cluster, fast=Path(site["SLOW_UNTIL"]))


@pytest.fixture
def nodes(slow_nodes: Nodes) -> Iterator[Nodes]:
    """The cluster, slow at the beginning of a test; afterwards no process of a share is left."""
    slow_nodes.fast.unlink(missing_ok=True)
    yield slow_nodes
    slow_nodes.fast.touch()
    wait_for(lambda: not [pid for pid in having(slow_nodes.mark) if is_share(pid)])


def is_share(pid: int) -> bool:
    """Whether a process carries out a share."""
    try:
        return b"--share" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def write_study(folder: Path, *, seeds: int = 2, epochs: int = 3) -> Path:
    """The file of a study."""
    text = tiny.TEXT.replace("seeds = 2", f"seeds = {seeds}").replace("epochs = 3", f"epochs = {epochs}")
    return tiny.write(folder, text)


def runs_of(file: Path, out: Path) -> list[Run]:
    """All runs of a study."""
    return [Run(out / name) for name in read_study(file).distinct_experiments()]


def saved(run: Run) -> int:
    """The step of its newest checkpoint; 0 without one."""
    newest, _ = newest_valid(run.checkpoints)
    return int(newest.name.removeprefix("step-")) if newest else 0


def said(folder: Path) -> str:
    """What a program in a folder has said so far."""
    file = folder / ".err"
    return file.read_text() if file.exists() else ""


def pid_of(run: Run) -> int:
    """The process that trains a run."""
    return int(json.loads((run.folder / "status.json").read_text())["pid"])


@pytest.mark.slow
def test_a_lost_node_costs_no_bit_and_no_step_that_was_saved(nodes: Nodes, tmp_path: Path) -> None:
    """Kill -9 of a node: Ray begins its share again, from the checkpoint; 8 of 8 runs equal to those here."""
    file, out = write_study(tmp_path, seeds=4), tmp_path / "out"
    words = ("study", str(file), "--out", str(out), "--on", f"ray:{nodes.cluster.address}")
    program = processes.start(tmp_path / "program", *words)
    wait_for(lambda: sum(saved(run) > 0 for run in runs_of(file, out)) == len(NODES))
    [lost] = [run for run in runs_of(file, out) if saved(run) and node_of(pid_of(run)) == "n2"]
    nodes.cluster.power_cut("n2")
    step = saved(lost)
    nodes.cluster.start_node("n2")
    nodes.fast.touch()
    ended = program.ended()
    assert ended.code == 0, ended.err
    assert f"page: {out / 'report.html'}" in ended.out
    own = r"submitted 2 shares to Ray at \S+; their output: \S+|\S+ is finished|\d+ of 8 runs .*"
    assert [line for line in ended.err.splitlines() if not re.fullmatch(own, line)] == []
    experiments = read_study(file).distinct_experiments()
    assert len(experiments) == 8
    for run in runs_of(file, out):
        assert_same(run, carried_out(tmp_path / "here" / run.name, experiments[run.name], save_every=30))
        environment = run.record().environment
        assert environment
        starts = [(start.attempt, start.step) for start in environment.starts]
        assert starts == ([(1, 0), (2, step)] if run == lost else [(1, 0)])


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_and_a_second_command_watches(nodes: Nodes, tmp_path: Path) -> None:
    """Exit code 75, waiting shares do not begin, no process is left; every begun run is saved, and resumes."""
    file, out = write_study(tmp_path, epochs=60), tmp_path / "out"
    words = ("study", str(file), "--out", str(out), "--on", f"ray:{nodes.cluster.address}", "--gpus", "0.5")
    first = processes.start(tmp_path / "first", *words, "--jobs", "4")
    wait_for(lambda: sum(saved(run) > 0 for run in runs_of(file, out)) == len(NODES))
    begun = [run for run in runs_of(file, out) if saved(run)]
    assert "CUDA_VISIBLE_DEVICES=0" in variables(pid_of(begun[0]))
    second = processes.start(tmp_path / "second", *words)
    wait_for(lambda: "attached to pid" in said(tmp_path / "second"))
    write_study(tmp_path, epochs=61)
    refused = processes.run(tmp_path / "third", *words)
    assert refused.code == 2
    assert f"tiny.toml has changed since pid {first.process.pid} on " in refused.line
    write_study(tmp_path, epochs=60)
    os.kill(first.process.pid or 0, signal.SIGINT)
    ended = first.ended()
    assert ended.code == 75, ended.err
    assert ended.err.splitlines()[-1] == "Stopped: by SIGINT, every run saved; rerun the command to continue"
    assert not [pid for pid in having(nodes.mark) if is_share(pid)]
    watched = second.ended()
    assert watched.code == 1
    assert re.search(r"ResatlasError: the work of pid \d+ on .* has ended with unfinished runs: ", watched.err)
    assert [run for run in runs_of(file, out) if (run.folder / "experiment.json").exists()] == begun
    for run in begun:
        status = read_status(run.folder)
        assert status
        assert status.status == "stopped"
    experiment = read_study(file).distinct_experiments()[begun[0].name]
    straight = carried_out(tmp_path / "here", experiment, save_every=30)
    assert_same(carried_out(begun[0].folder, experiment, resume="auto", save_every=30), straight)


@pytest.mark.slow
def test_a_node_that_hangs_is_named(nodes: Nodes, tmp_path: Path) -> None:
    """Stopped as a whole, its share and run are named before Ray notices; Ctrl-C does not wait for it; all resume."""
    file, out = write_study(tmp_path, seeds=1, epochs=40), tmp_path / "out"
    words = ("study", str(file), "--out", str(out), "--on", f"ray:{nodes.cluster.address}")
    program = processes.start(tmp_path / "program", *words, first=impatient)
    wait_for(lambda: sum(saved(run) > 0 for run in runs_of(file, out)) == len(NODES))
    [hung] = [run for run in runs_of(file, out) if node_of(pid_of(run)) == "n2"]
    pid, step = pid_of(hung), saved(hung)
    about = rf"{hung.folder.name} \(pid {pid} on \S+ since [^)]*\)"
    advice = "Ray begins a lost share again once it notices; end what hangs"
    line = rf"^no sign of life for \d+ s from (.*, )?{about}.*; {advice}"
    nodes.cluster.send("n2", signal.SIGSTOP)
    try:
        wait_for(lambda: re.search(line, said(tmp_path / "program"), re.MULTILINE))
        os.kill(program.process.pid or 0, signal.SIGINT)
        ended = program.ended()
    finally:
        nodes.cluster.send("n2", signal.SIGCONT)
    assert ended.code == 75, ended.err
    last = f"Stopped: by SIGINT, {hung.folder.name} not saved since the last checkpoint; rerun the command to continue"
    assert last in ended.err.splitlines()
    wait_for(lambda: not [pid for pid in having(nodes.mark) if is_share(pid)])
    nodes.cluster.power_cut("n2")
    nodes.cluster.start_node("n2")
    nodes.fast.touch()
    assert processes.run(tmp_path / "again", *words, "--quiet").code == 0
    experiment = read_study(file).distinct_experiments()[hung.folder.name]
    assert_same(hung, carried_out(tmp_path / "here", experiment, save_every=30))
    environment = hung.record().environment
    assert environment
    assert [start.step >= step for start in environment.starts] == [False, True]


def impatient() -> None:
    """Report silence after a few heartbeats, and do not wait longer for what hangs."""
    studying.carry_out_on_ray = partial(ray_tasks.carry_out_on_ray, warn_after=4 * BEAT)
    ray_tasks._SILENCE = 4 * BEAT


@pytest.mark.slow
def test_a_part_of_a_gpu_that_no_node_has_is_refused(nodes: Nodes, tmp_path: Path) -> None:
    """In one line, with what the nodes have; nothing begins."""
    file, out = write_study(tmp_path), tmp_path / "out"
    words = ("study", str(file), "--out", str(out), "--on", f"ray:{nodes.cluster.address}")
    refused = processes.run(tmp_path / "here", *words, "--gpus", "0.5", first=three_threads)
    assert refused.code == 2
    assert "has 3 processors and 0.5 of a GPU; the largest have 1 processor and 1 GPU" in refused.line
    assert not out.exists()


def three_threads() -> None:
    """Let each run use three threads."""
    os.environ["OMP_NUM_THREADS"] = "3"


@pytest.mark.parametrize(
    ("resources", "need", "number"),
    [
        ({"CPU": 8.0}, Place(processors=1), 8),
        ({"CPU": 8.0}, Place(processors=3), 2),
        ({"CPU": 8.0}, Place(processors=1, gpus=0.25), 0),
        ({"CPU": 8.0, "GPU": 1.0}, Place(processors=1, gpus=0.1), 8),
        ({"CPU": 16.0, "GPU": 1.0}, Place(processors=1, gpus=0.1), 10),
    ],
)
def test_places_of_a_node(resources: dict[str, float], need: Place, number: int) -> None:
    """As many as its processors and its GPUs have room for."""
    assert need.fit_in(resources) == number


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--on", "rya"), 'no engine "rya"; did you mean "ray"? (slurm, ray or ray:HOST:PORT)'),
        (("--on", "slrum"), 'no engine "slrum"; did you mean "slurm"?'),
        (("--on", "slurm:head"), 'slurm takes no address; got "slurm:head"'),
        (("--on", "ray:"), 'ray takes an address after the colon, HOST:PORT; got "ray:"'),
        (("--on", "ray:head"), 'the address of a Ray cluster is HOST:PORT, such as 10.0.0.1:6379; got "head"'),
        (("--on", "ray:127.0.0.1:{free}"), "no Ray cluster at 127.0.0.1:{free}: connection refused"),
        (("--on", "ray", "--gpus", "2"), "--gpus must be between 0 and 1, since a run uses one GPU at most; got 2"),
        (("--on", "ray", "--jobs", "0"), "--jobs must be between 1 and"),
    ],
)
def test_what_cannot_be_carried_out_is_told(
    words: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before Ray is imported; nothing is written."""
    free = free_ports(1)[0]
    given = [word.format(free=free) for word in words]
    assert main(("study", str(write_study(tmp_path)), "--out", str(tmp_path / "out"), *given)) == 2
    assert sentence.format(free=free) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert "ray" not in sys.modules


def test_without_the_package_its_installation_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line; nothing is written."""
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(("study", str(write_study(tmp_path)), "--out", str(tmp_path / "out"), "--on", "ray")) == 2
    assert capsys.readouterr().err == "UsageError: --on ray needs the package ray: pip install 'resatlas[ray]'\n"
    assert not (tmp_path / "out").exists()
