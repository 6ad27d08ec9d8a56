"""The checkpoint of the epoch of least validation error is kept, to the bit, whatever interrupts the training."""

import shutil
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.errors import CheckpointError, FolderError, Stopped, UsageError
from resatlas.runs.files import read_json
from resatlas.runs.seal import SEAL
from resatlas.runs.store import Run
from resatlas.studies.single import train
from resatlas.training import checkpoint
from resatlas.training.loop import TrainingPlan
from resatlas.training.session import Watcher
from resatlas.training.starting import trained
from resatlas.training.state import TrainState
from tests.training import processes
from tests.training.breaking import Crash, failing
from tests.training.small import (
    DATA,
    DESIGN,
    EXPERIMENT,
    LONG,
    STEPS,
    assert_same,
    carried_out,
    different,
    signalling,
    stepped,
    take_steps,
    tensors,
)

BEST, LAST = 3 * STEPS, 6 * STEPS

TIED = replace(LONG, seed=1)
"""Validation errors of 50, 58, 50, 75, 58 and 50 %: of three best epochs, the first."""


kept_best = partial(carried_out, experiment=LONG, keep="best,last")
"""The run of an experiment that keeps its best epoch."""


def names(run: Run) -> list[str]:
    """The checkpoints of a run."""
    return sorted(path.name for path in run.checkpoints.glob("step-*"))


@pytest.fixture(scope="module")
def weights() -> dict[int, dict[str, torch.Tensor]]:
    """The weights after each epoch of the unbroken run."""
    return {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, weights: dict[int, dict[str, torch.Tensor]]) -> Run:
    """The run without a break."""
    states: list[TrainState] = []

    def remember(_run: Run, _training: TrainingPlan, state: TrainState) -> None:
        states.append(state)

    def copy(metrics: dict[str, Any], _timing: dict[str, Any]) -> None:
        weights[metrics["epoch"]] = {path: value.clone() for path, value in states[0].tested.state_dict().items()}

    folder = tmp_path_factory.mktemp("whole") / "run"
    return kept_best(folder, watcher=Watcher(on_start=remember, on_epoch=copy))


def assert_same_best(run: Run, other: Run) -> None:
    """Two runs agree in their last and in their best checkpoint."""
    assert_same(run, other)
    name = other.record().outcome.best.checkpoint  # type: ignore[union-attr]
    assert different(tensors(run.checkpoints / name), tensors(other.checkpoints / name)) == []
    assert checkpoint.fault(run.checkpoints / name) is None


def test_the_best_is_kept_beside_the_last(whole: Run, weights: dict[int, dict[str, torch.Tensor]]) -> None:
    """Its weights are those after its epoch, to the bit; results are those of the last, and name the best."""
    errors = [row["validation_error_percent"] for row in whole.metrics]
    assert errors.index(min(errors)) == 2
    assert names(whole) == [f"step-{BEST:08d}", f"step-{LAST - STEPS:08d}", f"step-{LAST:08d}"]
    record = whole.record()
    assert record.written["best"] == {
        "epoch": 3,
        "checkpoint": f"step-{BEST:08d}",
        "validation_error_percent": errors[2],
    }
    assert record.written["epochs"] == 6
    for epoch, of in ((3, "best"), (6, "last")):
        found = trained(record, record.experiment, of).state_dict()
        assert different(dict(found), weights[epoch]) == []
    assert record.seal is not None
    assert record.seal.best is not None
    assert (record.seal.checkpoint, record.seal.best.name) == (f"step-{LAST:08d}", f"step-{BEST:08d}")


def test_keeping_the_best_changes_no_bit(whole: Run, tmp_path: Path) -> None:
    """The run is the same experiment with the same results; only `best` is new, and one checkpoint stays."""
    plain = kept_best(tmp_path / "plain", keep=None)
    assert names(plain) == names(whole)[1:]
    assert plain.beginning().digest == whole.beginning().digest
    assert "best" not in plain.record().written
    assert (plain.folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    last = f"step-{LAST:08d}"
    assert different(tensors(plain.checkpoints / last), tensors(whole.checkpoints / last)) == []


def test_of_equal_epochs_the_first_is_the_best(tmp_path: Path) -> None:
    """Even if the last is as good; its checkpoint is saved though no time has passed, and stays to the end."""
    run = kept_best(tmp_path / "run", experiment=TIED, save_every=inf)
    errors = [row["validation_error_percent"] for row in run.metrics]
    assert [epoch for epoch, error in enumerate(errors, start=1) if error == min(errors)] == [1, 3, 6]
    assert run.record().written["best"]["epoch"] == 1
    assert names(run) == [f"step-{STEPS:08d}", f"step-{LAST:08d}"]


@pytest.mark.parametrize(
    ("step", "save_every"), [(BEST - 1, 0), (BEST, 0), (LAST, 0), (STEPS, inf), (BEST + 1, inf), (BEST + STEPS, inf)]
)
def test_a_stop_changes_no_bit_of_the_best(whole: Run, tmp_path: Path, step: int, save_every: float) -> None:
    """Before, at and after the best epoch; the resuming command need not repeat --keep."""
    with pytest.raises(Stopped):
        kept_best(tmp_path / "run", watcher=signalling(step), save_every=save_every)
    run = kept_best(tmp_path / "run", resume="auto", keep=None, save_every=save_every)
    assert_same_best(run, whole)


@pytest.mark.parametrize(
    ("died", "save_every"), [(BEST + STEPS + 2, "0"), (LAST, "0"), (BEST + 1, "1000"), (LAST, "1000")]
)
def test_kill_9_changes_no_bit_of_the_best(whole: Run, tmp_path: Path, died: int, save_every: str) -> None:
    """After the best epoch the process is killed; the next one goes on from the last save, which may be the best."""
    words = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--set", "schedule.peak=1.0", "--epochs", "6")
    words = (*words, "--keep", "best,last", "--save-every", save_every, "--out", "run", "--quiet")
    assert processes.run(tmp_path, *words, first=partial(processes.exit_at, died)).code == 137
    run = Run(tmp_path / "run")
    assert f"step-{BEST:08d}" in names(run)
    assert processes.run(tmp_path, *words, "--resume", "auto") == processes.Ended(0, "", "")
    assert_same_best(run, whole)


def test_an_older_best_returns_with_its_rows(whole: Run, tmp_path: Path) -> None:
    """Rows after the checkpoint are cut back, and with them a best epoch, which is then trained again to the bit."""
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        kept_best(folder, watcher=signalling(BEST - 2))
    early = tmp_path / "early"
    shutil.copytree(folder, early)
    with pytest.raises(Stopped):
        kept_best(folder, resume="auto", watcher=signalling(BEST + 1))
    for name in ("metrics.jsonl", "timing.jsonl"):
        with (early / name).open("a") as rows:
            rows.write((folder / name).read_text().splitlines(keepends=True)[2])
    assert Run(early).best() == whole.best()
    assert_same_best(kept_best(early, resume="auto"), whole)


@pytest.mark.parametrize("k", range(0, 60, 4))
def test_a_crash_in_a_save_leaves_the_best(tmp_path: Path, k: int) -> None:
    """At any of its operations on files the best checkpoint stays, and one newer than it is valid."""
    state = stepped(3)
    save = partial(checkpoint.save, experiment="0" * 64, best="step-00000003")
    for _ in range(3):
        save(state, tmp_path)
        take_steps(state, 1)
    try:
        with failing(k, Crash()):
            save(state, tmp_path)
    except Crash:
        pass
    assert checkpoint.fault(tmp_path / "step-00000003") is None
    newest, rejected = checkpoint.newest_valid(tmp_path)
    assert newest is not None
    assert int(newest.name[5:]) >= 5
    assert rejected == []


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_lost_best_is_told_and_the_training_goes_on(tmp_path: Path, how: str, whole: Run) -> None:
    """A note at the resume, the same results, no best checkpoint in the seal, and an error where it is asked for."""
    folder = tmp_path / "run"
    notes: list[str] = []
    with pytest.raises(Stopped):
        kept_best(folder, watcher=signalling(LAST - 2))
    best = folder / "checkpoints" / f"step-{BEST:08d}"
    if how == "missing":
        shutil.rmtree(best)
    else:
        (best / "model.safetensors").write_bytes(b"")
    run = kept_best(folder, resume="auto", watcher=Watcher(on_note=notes.append))
    assert any(f"{best.name}, the checkpoint of epoch 3" in note for note in notes)
    assert_same(run, whole)
    record = run.record()
    assert record.seal is not None
    assert record.seal.best is None
    with pytest.raises(CheckpointError, match="the checkpoint of epoch 3, the best, is damaged"):
        trained(record, record.experiment, "best")
    trained(record, record.experiment)


def test_another_checkpoint_in_place_of_the_best_is_refused(whole: Run, tmp_path: Path) -> None:
    """The seal has the best checkpoint too."""
    shutil.copytree(whole.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    best, last = (run.checkpoints / f"step-{step:08d}" for step in (BEST, LAST))
    shutil.rmtree(best)
    shutil.copytree(last, best)
    record = run.record()
    with pytest.raises(CheckpointError, match=f"is not the best checkpoint that {SEAL}"):
        trained(record, record.experiment, "best")


def test_results_without_a_seal_are_held_against_the_rows(whole: Run, tmp_path: Path) -> None:
    """Another best epoch than that of the rows is refused."""
    shutil.copytree(whole.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    (run.folder / SEAL).unlink()
    text = (run.folder / "results.json").read_text()
    (run.folder / "results.json").write_text(text.replace('"epoch": 3', '"epoch": 4'))
    with pytest.raises(FolderError, match=r"best\.epoch is 4, but metrics\.jsonl gives 3"):
        run.record()


def test_without_validation_images_nothing_is_begun(tmp_path: Path) -> None:
    """One sentence about the images, before there is a folder."""
    for share, words in (
        ("0", "has none, and recipe quick holds none back"),
        ("1/1000", "a share of 1/1000 of the 96"),
    ):
        recipe = replace(LONG.recipe, validation=type(LONG.recipe.validation)(share))
        with pytest.raises(UsageError, match=words):
            kept_best(tmp_path / "run", experiment=replace(LONG, recipe=recipe))
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_chosen_at_the_beginning(whole: Run, tmp_path: Path) -> None:
    """A resume with another --keep is refused, of a finished run too; a run that keeps its last has no best."""
    with pytest.raises(FolderError, match="began with --keep best,last, which cannot change"):
        kept_best(whole.folder, resume="auto", keep="last")
    with pytest.raises(Stopped):
        kept_best(tmp_path / "run", keep=None, watcher=signalling(2))
    with pytest.raises(FolderError, match="began with --keep last, which cannot change"):
        kept_best(tmp_path / "run", resume="auto")
    record = kept_best(tmp_path / "run", resume="auto", keep="last").record()
    with pytest.raises(UsageError, match="keeps its last epoch only; train with --keep best,last"):
        trained(record, record.experiment, "best")


def test_python_keeps_the_best_too(tmp_path: Path) -> None:
    """`resatlas.train` takes keep."""
    results = train(
        replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, epochs=1)), tmp_path / "run", keep="best,last"
    )
    assert results["best"]["epoch"] == 1
    assert read_json(tmp_path / "run" / "experiment.json")["keep"] == "best,last"
