"""A run that is stopped and resumed is bit-equal to an uninterrupted one."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resatlas.errors import CheckpointError, FolderError, Stopped
from resatlas.recipes.catalog import NAMED
from resatlas.runs import lock
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training import checkpoint, session
from resatlas.training.execution import Execution
from resatlas.training.session import Watcher
from resatlas.training.state import TrainState
from tests.training import processes
from tests.training.breaking import Crash, failing
from tests.training.small import (
    DATA,
    DROPPING,
    EXPERIMENT,
    STEPS,
    assert_same,
    carried_out,
    different,
    last_checkpoint,
    results_without_times,
    signalling,
    tensors,
)


def stopped(folder: Path, step: int, experiment: Experiment = EXPERIMENT) -> Run:
    """A run stopped by a signal during a step."""
    with pytest.raises(Stopped, match=rf"by SIGTERM after step {step} of 15, saved"):
        carried_out(folder, experiment, watcher=signalling(step))
    return Run(folder)


def resumed(folder: Path, experiment: Experiment = EXPERIMENT, resume: str = "auto") -> list[str]:
    """Resume to the end, and return the notes."""
    notes: list[str] = []
    carried_out(folder, experiment, resume=resume, watcher=Watcher(on_note=notes.append))
    return notes


@pytest.mark.parametrize("step", [1, 2, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS, 3 * STEPS - 1, 3 * STEPS])
def test_a_stop_at_any_step_changes_nothing(unbroken: Run, tmp_path: Path, step: int) -> None:
    """After a stop at any step of an epoch or the last of all, weights, momentum, metrics and results are bit-equal."""
    run = stopped(tmp_path / "run", step)
    assert resumed(run.folder) == [f"resumes from step-{step:08d}"]
    assert_same(run, unbroken)
    assert [row["epoch"] for row in run.timing] == [1, 2, 3]


@pytest.mark.parametrize("step", [STEPS, STEPS + 3])
def test_dropout_draws_as_without_the_break(unbroken_dropping: Run, tmp_path: Path, step: int) -> None:
    """Dropout is a function of seed and step too."""
    run = stopped(tmp_path / "run", step, DROPPING)
    resumed(run.folder, DROPPING)
    assert_same(run, unbroken_dropping)


def test_dropout_drops(unbroken_dropping: Run, tmp_path: Path) -> None:
    """The same network without dropout learns other weights from the same seed."""
    other = carried_out(tmp_path / "run", replace(DROPPING, design=DROPPING.design.replace("0.3", "0.0")))
    assert len(different(tensors(last_checkpoint(other)), tensors(last_checkpoint(unbroken_dropping)))) > 20


def test_many_breaks_change_nothing(unbroken: Run, tmp_path: Path) -> None:
    """Five stops and resumes change nothing."""
    folder = tmp_path / "run"
    for step in (1, 3, 8, 9, 14):
        with pytest.raises(Stopped):
            carried_out(folder, resume="auto", watcher=signalling(step))
    resumed(folder)
    assert_same(Run(folder), unbroken)


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_both_layouts_resume(tmp_path: Path, layout: Any) -> None:  # noqa: ANN401 - one of two texts
    """A resume uses the layout of the experiment."""
    experiment = replace(EXPERIMENT, layout=layout)
    whole = carried_out(tmp_path / "whole", experiment)
    run = stopped(tmp_path / "run", 7, experiment)
    resumed(run.folder, experiment)
    assert_same(run, whole)


@pytest.mark.parametrize("died", [STEPS + 1, STEPS + 4], ids=["after an epoch", "in an epoch"])
def test_a_new_process_resumes_where_another_was_killed(unbroken_dropping: Run, tmp_path: Path, died: int) -> None:
    """After kill -9, the next process resumes from the last checkpoint, with dropout too."""
    train = ("train", DROPPING.design, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0")
    ended = processes.run(tmp_path, *train, "--out", "run", first=partial(processes.exit_at, died))
    assert ended.code == 137
    run = Run(tmp_path / "run")
    assert json.loads((run.folder / "status.json").read_text())["status"] == "running"
    (run.checkpoints / ".tmp-step-00000009-4242").mkdir()
    ended = processes.run(tmp_path, *train, "--out", "run", "--resume", "auto", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert_same(run, unbroken_dropping)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["latest", "step-00000010", "step-00000015"]
    assert not list(run.folder.rglob(".*"))


def test_rows_after_the_checkpoint_are_cut_back(unbroken: Run, tmp_path: Path) -> None:
    """Epochs after the last checkpoint are trained and written again."""
    folder = tmp_path / "run"
    shutil.copytree(unbroken.folder, folder)
    (folder / "results.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "step-00000015")
    resumed(folder)
    assert_same(Run(folder), unbroken)
    assert [row["epoch"] for row in Run(folder).timing] == [1, 2, 3]


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder with its date and bytes."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_finished_run_is_not_changed(unbroken: Run) -> None:
    """A resume says that it is finished, returns its results, and changes no file."""
    before = content(unbroken.folder)
    notes: list[str] = []
    prepared = prepare(EXPERIMENT, out=unbroken.folder, execution=Execution(resume="auto"))
    results = carry_out(prepared, watcher=Watcher(on_note=notes.append))
    assert results == unbroken.record().written
    assert notes == [f"{unbroken.folder} is finished: nothing is left to train"]
    assert content(unbroken.folder) == before


def test_a_resume_in_a_new_folder_starts_from_the_beginning(unbroken: Run, tmp_path: Path) -> None:
    """`--resume auto` in a new folder notes the changes of the recipe and starts from the beginning."""
    assert resumed(tmp_path / "run") == [
        f"3 epochs (recipe quick: {NAMED['quick'].epochs})",
        f"batch 16 (recipe quick: {NAMED['quick'].batch})",
        "Flip off: mirroring changes the class of images of synthetic:size=8,channels=1,classes=4,images=96",
        "no valid checkpoint: starts from the beginning",
    ]
    assert_same(Run(tmp_path / "run"), unbroken)


def broken(unbroken: Run, folder: Path) -> Run:
    """The unbroken run without its results, so that it is resumed from its checkpoints of steps 10 and 15."""
    shutil.copytree(unbroken.folder, folder)
    for name in ("results.json", "predictions.csv", "SEAL.json"):
        (folder / name).unlink()
    return Run(folder)


def test_a_damaged_checkpoint_is_noted_and_the_previous_one_used(unbroken: Run, tmp_path: Path) -> None:
    """The reason is noted, and the results are bit-equal."""
    run = broken(unbroken, tmp_path / "run")
    file = run.checkpoints / "step-00000015" / "model.safetensors"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:512])
    assert resumed(run.folder) == [
        f"checkpoint step-00000015 is damaged: model.safetensors has size 512 ≠ {size:,}",
        "resumes from step-00000010",
    ]
    assert_same(run, unbroken)


def test_without_a_valid_checkpoint_it_starts_from_the_beginning(unbroken: Run, tmp_path: Path) -> None:
    """Every rejected checkpoint is noted, and the results are bit-equal."""
    run = broken(unbroken, tmp_path / "run")
    for name in ("step-00000010", "step-00000015"):
        (run.checkpoints / name / "MANIFEST.json").unlink()
    notes = resumed(run.folder)
    reason = "is damaged: MANIFEST.json no such file or directory"
    assert notes == [
        f"checkpoint step-00000015 {reason}",
        f"checkpoint step-00000010 {reason}",
        "no valid checkpoint: starts from the beginning",
    ]
    assert_same(run, unbroken)


def test_a_named_checkpoint_is_resumed(unbroken: Run, tmp_path: Path) -> None:
    """It need not be the newest."""
    run = broken(unbroken, tmp_path / "run")
    assert resumed(run.folder, resume=str(run.checkpoints / "step-00000010")) == []
    assert_same(run, unbroken)


def test_a_named_damaged_checkpoint_is_refused(unbroken: Run, tmp_path: Path) -> None:
    """A named checkpoint must be valid: no other one is used instead, and the run is unchanged."""
    run = broken(unbroken, tmp_path / "run")
    damaged = run.checkpoints / "step-00000015"
    (damaged / "optim.safetensors").write_bytes(b"")
    before = content(run.folder)
    with pytest.raises(CheckpointError, match=r"^checkpoint step-00000015 is damaged: optim\.safetensors has size 0 "):
        resumed(run.folder, resume=str(damaged))
    assert content(run.folder) == before


@pytest.mark.parametrize("path", ["nowhere", "", "step-00000015"])
def test_a_named_checkpoint_needs_an_existing_run(unbroken: Run, tmp_path: Path, path: str) -> None:
    """A checkpoint cannot be resumed in a new folder, which is not created."""
    with pytest.raises(FolderError, match="has no run to resume"):
        resumed(tmp_path / "run", resume=str(unbroken.checkpoints / path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", ["nowhere", "", "latest"])
def test_a_named_path_without_a_checkpoint_is_refused(unbroken: Run, tmp_path: Path, path: str) -> None:
    """A missing folder, a folder of checkpoints and a file are refused."""
    run = broken(unbroken, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"^checkpoint .*is damaged: MANIFEST\.json "):
        resumed(run.folder, resume=str(run.checkpoints / path))


def test_a_checkpoint_of_another_experiment_is_refused(unbroken: Run, tmp_path: Path) -> None:
    """Another seed is another experiment, though the shapes of weights are equal."""
    experiment = replace(EXPERIMENT, seed=1)
    run = stopped(tmp_path / "run", 1, experiment)
    with pytest.raises(CheckpointError, match="step-00000015 belongs to another experiment"):
        resumed(run.folder, experiment, resume=str(unbroken.checkpoints / "step-00000015"))


def test_a_folder_of_another_experiment_is_refused(unbroken: Run) -> None:
    """A resume needs the same design, data, recipe and seed; otherwise it changes nothing."""
    before = content(unbroken.folder)
    for other in (replace(EXPERIMENT, seed=1), replace(EXPERIMENT, layout="contiguous"), DROPPING):
        with pytest.raises(FolderError, match="holds another experiment; give another folder with --out"):
            carried_out(unbroken.folder, other, resume="auto")
    assert content(unbroken.folder) == before


BLUEPRINT = """\
schema = 1
name = "mine"
image = [1, 8, 8]
classes = 4
units = [1, 1]
[stem]
width = 4
[widths]
rule = "doubling"
start = 4
"""


def test_a_changed_blueprint_is_refused(tmp_path: Path) -> None:
    """A file of the same name with another network is another experiment."""
    file = tmp_path / "mine.toml"
    file.write_text(BLUEPRINT)
    experiment = replace(EXPERIMENT, design=str(file))
    run = stopped(tmp_path / "run", 7, experiment)
    file.write_text(BLUEPRINT.replace("units = [1, 1]", "units = [1, 2]"))
    with pytest.raises(FolderError, match="holds another experiment"):
        resumed(run.folder, experiment)


@pytest.fixture(scope="module")
def moments(unbroken: Run, tmp_path_factory: pytest.TempPathFactory) -> list[str]:  # noqa: ARG001 - warms up
    """Every operation on files of the whole training."""
    folder = tmp_path_factory.mktemp("counted") / "run"
    with failing(-1, Crash()) as operations:
        carried_out(folder)
    return operations


@pytest.mark.parametrize("part", range(4))
def test_a_training_resumes_after_a_crash_at_any_moment(
    unbroken: Run, tmp_path: Path, moments: list[str], part: int
) -> None:
    """At every file operation of a training, the same command resumes to bit-equal results."""
    assert len(moments) > 60
    blocked = []
    for k in sorted({*range(part, 8, 4), *range(8 + part, len(moments), 20), len(moments) - 1 - part}):
        folder = tmp_path / str(k)
        with failing(k, Crash()), pytest.raises(Crash):
            carried_out(folder)
        try:
            resumed(folder)
        except FolderError as error:
            blocked.append(f"{k} ({moments[k]}): {error}")
            continue
        assert_same(Run(folder), unbroken)
    assert blocked == []


def test_results_of_a_resumed_run_count_all_its_seconds(unbroken: Run, tmp_path: Path) -> None:
    """Seconds are the sum over all epochs, also with a stop in an epoch."""
    run = stopped(tmp_path / "run", STEPS + 3)
    before = json.loads((last_checkpoint(run) / "state.json").read_text())["seconds"]
    assert before > 0
    resumed(run.folder)
    assert run.timing[1]["seconds"] > before
    assert run.record().written["seconds"] == sum(row["seconds"] for row in run.timing)
    assert run.record().written["images_per_second"] == pytest.approx(3 * STEPS * 16 / run.record().written["seconds"])
    assert results_without_times(run) == results_without_times(unbroken)


def test_save_every_limits_the_number_of_saves(tmp_path: Path) -> None:
    """With a long interval only the end and a stop are saved."""
    run = carried_out(tmp_path / "run", save_every=3600)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["latest", "step-00000015"]
    other = tmp_path / "other"
    with pytest.raises(Stopped):
        carried_out(other, save_every=3600, watcher=signalling(STEPS + 1, signal.SIGINT))
    assert sorted(path.name for path in Run(other).checkpoints.iterdir()) == ["latest", "step-00000006"]


def test_save_every_holds_inside_an_epoch(unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long epoch is saved before its end, so that a death costs at most the interval; no bit changes."""
    clock = [0.0]

    def on_step(state: TrainState) -> None:
        clock[0] += 10
        if state.step == deadly:
            raise Crash

    monkeypatch.setattr(session.time, "monotonic", lambda: clock[0])
    run, watcher, deadly = Run(tmp_path / "run"), Watcher(on_step=on_step), STEPS + 4
    with pytest.raises(Crash):
        carried_out(run.folder, save_every=20, watcher=watcher)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["latest", "step-00000006", "step-00000008"]
    deadly = 0
    carried_out(run.folder, save_every=20, resume="auto", watcher=watcher)
    assert_same(run, unbroken)
    carried_out(tmp_path / "in one", save_every=20, watcher=watcher)
    assert_same(Run(tmp_path / "in one"), unbroken)


def test_a_pause_is_told_from_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was suspended for a second says so beside the seconds of that epoch, which contain it."""
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "SLOW", 0.2)

    def on_step(state: TrainState) -> None:
        if state.step == STEPS + 2:
            with subprocess.Popen(["/bin/sh", "-c", f"sleep 1; kill -CONT {os.getpid()}"]):
                os.kill(os.getpid(), signal.SIGSTOP)

    run = carried_out(tmp_path / "run", watcher=Watcher(on_step=on_step))
    row = run.record().timing[1]
    assert row.paused_seconds is not None
    assert 0.5 < row.paused_seconds < row.seconds


def test_a_save_inside_an_epoch_is_not_part_of_its_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of a minute, by a clock that only saves advance, leaves the seconds of the epochs as they are."""
    clock, real = [0.0], checkpoint.save

    def slow(*arguments: Any, **more: Any) -> Path:  # noqa: ANN401 - whatever the real one takes
        clock[0] += 60
        return real(*arguments, **more)

    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(session.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(session.time, "monotonic", lambda: clock[0] + 1e9 * time.process_time())
    run = carried_out(tmp_path / "run", save_every=1e-9)
    assert clock[0] >= 60 * 3 * STEPS
    assert [row["seconds"] for row in run.timing] == [0, 0, 0]


def test_a_full_disk_at_a_save_ends_the_training_in_one_line(tmp_path: Path) -> None:
    """Exit code 4, the reason of the system, no draft; with free space the same command resumes."""
    train = ("train", "resnet:depth=8,base=16", "--data", DATA, "--set", "batch=16", "--epochs", "2", "--quiet")
    command = (*train, "--save-every", "0", "--out", "run", "--resume", "auto")
    ended = processes.run(tmp_path, *command, first=partial(processes.limit_files, 100_000))
    assert (ended.code, ended.out) == (4, "")
    assert ended.line.startswith("CheckpointError: run/checkpoints/step-00000005 cannot be written: ")
    assert "file too large" in ended.line
    run = Run(tmp_path / "run")
    assert list(run.checkpoints.iterdir()) == []
    assert json.loads((run.folder / "status.json").read_text())["status"] == "failed"
    assert processes.run(tmp_path, *command) == processes.Ended(0, "", "")
    assert run.finished
