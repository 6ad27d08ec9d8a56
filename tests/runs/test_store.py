"""A run is begun in a folder of its own, found again, and cut back where it went on from."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resatlas.designs import catalog
from resatlas.errors import FolderError, UsageError
from resatlas.runs import store
from resatlas.runs.experiment import Experiment, to_json
from resatlas.runs.files import write_json
from resatlas.runs.lock import OWNER
from resatlas.runs.store import Run, begin, check_free, check_writable, find

EXPERIMENT = Experiment(design="resnet:depth=8,base=2", data="digits")
PLAN = catalog.plan(EXPERIMENT.design)


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included."""
    return sorted(each.name for each in folder.iterdir())


def test_a_run_is_begun_with_what_determines_it(tmp_path: Path) -> None:
    """Experiment, plan and environment stand in its folder, and read back as they were."""
    folder = tmp_path / "deep" / "er" / "run"
    run = begin(folder, EXPERIMENT, PLAN, classes=list("abcdefghij"), note="none")
    assert run == find(folder) == Run(folder)
    assert names(folder) == ["checkpoints", "env.json", "experiment.json"]
    assert (run.name, run.checkpoints) == ("run", folder / "checkpoints")
    assert (run.beginning().experiment, run.beginning().plan) == (EXPERIMENT, PLAN)
    written = json.loads((folder / "experiment.json").read_text())
    assert (written["classes"], written["note"]) == (list("abcdefghij"), "none")
    environment = json.loads((folder / "env.json").read_text())
    assert set(environment) == {"python", "packages", "system", "processor", "cores", "threads", "command"}
    assert set(environment["packages"]) >= {"resatlas", "torch", "numpy"}
    assert (run.metrics, run.timing, run.finished) == ([], [], False)


def test_a_folder_that_is_there_and_empty_is_free(tmp_path: Path) -> None:
    """Someone who made the folder first is no problem."""
    check_free(tmp_path)
    assert begin(tmp_path, EXPERIMENT, PLAN).beginning().experiment == EXPERIMENT


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    """No run is ever overwritten; the remedy is said."""
    begin(tmp_path, EXPERIMENT, PLAN)
    before = (tmp_path / "experiment.json").stat().st_mtime_ns
    with pytest.raises(FolderError) as refused:
        begin(tmp_path, EXPERIMENT, PLAN)
    assert str(refused.value) == (
        f"{tmp_path} already holds a run; continue it with --resume auto or give another folder with --out"
    )
    assert (tmp_path / "experiment.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["thesis.tex", ".hidden"])
def test_a_folder_of_other_files_is_refused(tmp_path: Path, name: str) -> None:
    """Files that are not ours are left alone, and no resume is offered for them."""
    (tmp_path / name).write_text("")
    with pytest.raises(FolderError, match="holds other files") as refused:
        begin(tmp_path, EXPERIMENT, PLAN)
    assert names(tmp_path) == [name]
    assert "--resume" not in str(refused.value)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    """A file is no folder."""
    file = tmp_path / "run"
    file.write_text("mine")
    with pytest.raises(FolderError, match="is a file; give a folder with --out"):
        begin(file, EXPERIMENT, PLAN)
    assert file.read_text() == "mine"


def begin_there(folder: Path) -> Run:
    """Begin a run in a folder, whatever it is."""
    return begin(folder, EXPERIMENT, PLAN)


@pytest.mark.parametrize("check", [check_writable, begin_there])
@pytest.mark.parametrize("below", ["file", "file/run", "file/a/b"])
def test_nothing_is_made_below_a_file(tmp_path: Path, check: Callable[[Path], object], below: str) -> None:
    """A path that leads through a regular file is refused in words."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError) as refused:
        check(tmp_path / below)
    assert str(tmp_path / below) in str(refused.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only a parent exists; checked before any work is done."""
    asked: list[Path] = []

    def access(path: Path, _mode: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(FolderError, match=f"cannot be written: no permission in {tmp_path}$"):
        check_writable(tmp_path / "a" / "b")
    assert asked == [tmp_path]


def test_a_folder_that_can_be_made_is_not_made_by_the_check(tmp_path: Path) -> None:
    """Checking leaves nothing behind."""
    check_writable(tmp_path / "a" / "b")
    check_free(tmp_path / "a" / "b")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_path_that_no_disk_takes_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """Too long a name, or one with a NUL in it, is a folder error."""
    with pytest.raises(FolderError):
        check_writable(tmp_path / name)


def test_a_link_to_nothing_is_refused_in_words(tmp_path: Path) -> None:
    """A dangling link is no place for a run."""
    (tmp_path / "run").symlink_to(tmp_path / "nowhere" / "run")
    with pytest.raises(FolderError):
        begin(tmp_path / "run", EXPERIMENT, PLAN)


def test_a_folder_without_a_run_is_told_what_it_holds(tmp_path: Path) -> None:
    """The runs below it are offered, three at most."""
    for name in "dcba":
        begin(tmp_path / name, EXPERIMENT, PLAN)
    with pytest.raises(FolderError) as refused:
        find(tmp_path)
    assert (
        str(refused.value) == f"{tmp_path} is not a run folder: it has no experiment.json; it holds the runs a, b, c, …"
    )


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "it does not exist"), ("file", "it has no experiment.json")])
def test_what_is_no_folder_is_no_run(tmp_path: Path, name: str, reason: str) -> None:
    """A missing folder and a file have no experiment."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=f"{name} is not a run folder: {reason}$"):
        find(tmp_path / name)


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{}", '{"schema": 1}', '{"schema": 2}', "[" * 200_000])
@pytest.mark.parametrize("part", ["experiment", "plan"])
def test_a_damaged_experiment_is_refused_in_words(tmp_path: Path, text: str, part: str) -> None:
    """Whatever stands in experiment.json, the error is one of ours."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    (tmp_path / "experiment.json").write_text(text)
    with pytest.raises(UsageError):
        getattr(run.beginning(), part)


@pytest.mark.parametrize("plan", [None, [], "x", {"stem": 3}])
def test_a_damaged_plan_is_refused_in_words(tmp_path: Path, plan: Any) -> None:  # noqa: ANN401 - any JSON
    """A plan of another form is an error of ours, too."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    write_json(tmp_path / "experiment.json", {**to_json(EXPERIMENT), "plan": plan})
    with pytest.raises(UsageError):
        _ = run.beginning().plan


def test_rows_are_recorded_and_cut_back(tmp_path: Path) -> None:
    """Both files have a row an epoch, and forget those after a number of epochs together."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    run.cut_back(0)
    assert names(tmp_path) == ["checkpoints", "env.json", "experiment.json"]
    for epoch in range(1, 6):
        run.record_epoch({"epoch": epoch}, {"epoch": epoch, "seconds": 0.5})
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    run.cut_back(5)
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole
    run.cut_back(3)
    assert [row["epoch"] for row in run.metrics] == [row["epoch"] for row in run.timing] == [1, 2, 3]
    run.record_epoch({"epoch": 4}, {"epoch": 4, "seconds": 0.5})
    assert whole.startswith((tmp_path / "metrics.jsonl").read_bytes())
    run.cut_back(0)
    assert (run.metrics, run.timing) == ([], [])


def test_a_line_that_was_cut_off_goes_when_cut_back(tmp_path: Path) -> None:
    """The row of an epoch that a crash ended is written anew, on a line of its own."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    for epoch in (1, 2):
        run.record_epoch({"epoch": epoch}, {"epoch": epoch})
    for name in ("metrics.jsonl", "timing.jsonl"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:-5])
    run.cut_back(1)
    run.record_epoch({"epoch": 2}, {"epoch": 2})
    assert run.metrics == run.timing == [{"epoch": 1}, {"epoch": 2}]


def test_a_status_says_which_process_set_it(tmp_path: Path) -> None:
    """status.json is replaced as a whole."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    run.set_status("failed", epoch=3, reason="why")
    run.set_status("running", epoch=4)
    assert json.loads((tmp_path / "status.json").read_text()) == {"status": "running", "pid": os.getpid(), "epoch": 4}


def test_two_that_begin_at_once_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second finds the other's run, though the folder was free a moment before."""
    folder, other, real = tmp_path / "run", replace(EXPERIMENT, seed=1), store.check_free
    begun: list[Run] = []

    def overtaken(folder: Path) -> None:
        real(folder)
        if not begun:
            begun.append(Run(folder))
            begin(folder, other, PLAN)

    monkeypatch.setattr(store, "check_free", overtaken)
    with pytest.raises(FolderError, match="already holds a run"):
        begin(folder, EXPERIMENT, PLAN)
    assert find(folder).beginning().experiment == other


def test_who_has_a_run_sweeps_it(tmp_path: Path) -> None:
    """What a killed process left half written goes, and nothing else."""
    run = begin(tmp_path, EXPERIMENT, PLAN)
    before = names(tmp_path)
    for name in (".status.json.77", ".normalisation.safetensors.4242", ".metrics.jsonl.1"):
        (tmp_path / name).write_text("{")
    for name in (".hidden", ".notes.txt", ".a.b.c"):
        (tmp_path / name).write_text("mine")
    mine = [".hidden", ".notes.txt", ".a.b.c"]
    with run.locked():
        assert names(tmp_path) == sorted([*before, *mine, OWNER])
    assert names(tmp_path) == sorted([*before, *mine])


def test_one_process_at_a_time_has_a_run(tmp_path: Path) -> None:
    """A second holder is refused with the pid of the first, and let in when that has gone."""
    run = begin(tmp_path / "run", EXPERIMENT, PLAN)
    run.set_status("running")
    with run.locked(), pytest.raises(FolderError, match=f"is locked by pid {os.getpid()}"), run.locked():
        pass
    with run.locked():
        assert run.folder.is_dir()
