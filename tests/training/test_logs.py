"""Logs for other programs: every epoch appears once, and the training does not depend on them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from resatlas.errors import Stopped, UsageError
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training import logs
from resatlas.training.execution import Execution, Log
from resatlas.training.session import UNWATCHED, Watcher
from tests.training.small import EXPERIMENT, STEPS, assert_same, signalling

TENSORBOARD = Execution(logs=("tensorboard",))

NOTHING: dict[str, str] = {}
EVERYTHING = {"tensorboard": "2.21.0", "wandb": "0.31.0"}
"""Versions of installed packages."""


def logged(folder: Path, execution: Execution, *, resume: str | None = None, watcher: Watcher = UNWATCHED) -> Run:
    """The smallest run with a log."""
    execution = replace(execution, resume=resume, save_every=0)
    carry_out(prepare(EXPERIMENT, out=folder, execution=execution), watcher=watcher)
    return Run(folder)


def scalars(run: Run) -> dict[str, list[tuple[int, float]]]:
    """The steps and values of each name in the run's TensorBoard events."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reading.EventAccumulator(str(run.folder / "events"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_shows_every_epoch_once(unbroken: Run, tmp_path: Path) -> None:
    """After a stop and a resume, each value of metrics.jsonl and timing.jsonl appears once at its step."""
    pytest.importorskip("tensorboard")
    with pytest.raises(Stopped):
        logged(tmp_path / "run", TENSORBOARD, watcher=signalling(STEPS + 2))
    run = logged(tmp_path / "run", TENSORBOARD, resume="auto")
    logged_values = scalars(run)
    results, last = run.record().written, run.metrics[-1]["step"]
    for name, value in (
        ("test_error_percent", results["test"]["error_percent"]),
        ("test_loss", results["test"]["loss"]),
        ("train_evaluated_error_percent", results["train_evaluated"]["error_percent"]),
        ("train_evaluated_loss", results["train_evaluated"]["loss"]),
    ):
        assert logged_values.pop(name) == [(last, pytest.approx(value, rel=1e-6))]
    assert logged_values.keys() == {*run.metrics[0], *run.timing[0]} - {"epoch", "step"}
    for name, values in logged_values.items():
        rows = [{**timing, **metrics} for metrics, timing in zip(run.metrics, run.timing, strict=True)]
        assert values == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows], name
    assert_same(run, unbroken)


def test_tensorboard_shows_the_settings_of_many_runs(tmp_path: Path) -> None:
    """The table of hyperparameters has the experiment's values and the final errors of each run."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    hparams = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    run = logged(tmp_path / "study" / "run", TENSORBOARD)
    reading = events.EventAccumulator(str(run.folder / "events"))
    reading.Reload()
    contents = reading.PluginTagToContent("hparams")
    kinds = {tag: hparams.HParamsPluginData.FromString(content) for tag, content in contents.items()}
    started = kinds["_hparams_/session_start_info"].session_start_info.hparams
    assert started["design"].string_value == EXPERIMENT.design
    assert started["recipe.batch"].number_value == EXPERIMENT.recipe.batch
    assert started["seed"].number_value == EXPERIMENT.seed
    assert started["parameters"].number_value == run.record().outcome.parameters
    shown = {metric.name.tag for metric in kinds["_hparams_/experiment"].experiment.metric_infos}
    assert {"test_error_percent", "test_loss", "validation_error_percent"} <= shown
    assert shown <= scalars(run).keys()


@pytest.mark.parametrize("here", ["2.21.0", None])
def test_by_default_it_is_written_where_it_is_installed(here: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other log is written; an empty list selects no log."""
    versions = {"tensorboard": here}
    monkeypatch.setattr(logs, "installed_version", versions.get)
    assert logs.logs_here(None) == (("tensorboard",) if here else ())
    assert logs.logs_here(()) == ()


@pytest.mark.parametrize(
    ("log", "command"), [("tensorboard", r"pip install resatlas\[train\]"), ("wandb", "pip install wandb")]
)
def test_a_missing_package_is_refused_before_the_run_starts(
    log: Log, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the command that installs it, and no folder is made."""
    monkeypatch.setattr(logs, "installed_version", NOTHING.get)
    with pytest.raises(UsageError, match=f"--log {log} needs a package that is not installed: {command}"):
        logged(tmp_path / "run", Execution(logs=(log,)))
    assert not (tmp_path / "run").exists()


def test_wandb_stays_on_this_machine_and_gets_every_epoch(
    unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fake package: offline unless the environment sets another mode, and one id per folder."""
    calls: list[dict[str, object]] = []
    rows: list[tuple[int, dict[str, object]]] = []
    ends: list[str] = []

    def log(row: logs.Row, step: int) -> None:
        rows.append((step, dict(row)))

    def init(**options: object) -> SimpleNamespace:
        calls.append(options)
        return SimpleNamespace(log=log, finish=lambda: ends.append("finished"))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=SimpleNamespace))
    monkeypatch.setattr(logs, "installed_version", EVERYTHING.__getitem__)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb = Execution(logs=("wandb",))
    with pytest.raises(Stopped):
        logged(tmp_path / "run", wandb, watcher=signalling(STEPS + 2))
    run = logged(tmp_path / "run", wandb, resume="auto")
    assert [(call["mode"], call["dir"], call["resume"]) for call in calls] == [
        ("offline", str(run.folder), "allow")
    ] * 2
    assert calls[0]["id"] == calls[1]["id"]
    assert [step for step, _ in rows] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [row["train_loss"] for _, row in rows] == [row["train_loss"] for row in run.metrics]
    assert ends == ["finished", "finished"]
    assert_same(run, unbroken)


def test_a_log_that_cannot_be_written_ends_and_the_training_does_not(
    unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one note about it."""
    notes: list[str] = []

    @contextmanager
    def full(_log: object, _run: Run) -> Iterator[logs.Write]:
        def write(_row: logs.Row) -> None:
            raise OSError(28, "No space left on device")

        yield write

    monkeypatch.setattr(logs, "installed_version", EVERYTHING.__getitem__)
    monkeypatch.setattr(logs, "_opened", full)
    run = logged(tmp_path / "run", TENSORBOARD, watcher=replace(UNWATCHED, on_note=notes.append))
    assert [note for note in notes if "log" in note] == ["the tensorboard log ends: no space left on device"]
    assert_same(run, unbroken)
