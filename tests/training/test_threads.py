"""The number of threads depends on the multiply-adds, the cores, and first of all OMP_NUM_THREADS."""

import json
from pathlib import Path

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.designs import catalog
from resatlas.training import threads
from resatlas.training.threads import VARIABLE, computing, threads_for, threads_of
from tests.training.small import carried_out

SMALL = catalog.plan("resnet-8", image=Shape(1, 16, 16), classes=10)
LARGE = catalog.plan("wrn-28-10", image=Shape(3, 32, 32), classes=10)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores without OMP_NUM_THREADS."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


@pytest.mark.usefixtures("eight_cores")
def test_threads_grow_with_the_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for a small network, all for a large one; processes of a machine share its cores."""
    assert threads_for(SMALL, images=64) == 1
    assert threads_for(LARGE, images=64) == 8
    assert threads_for(LARGE, images=1) == 2
    assert threads_for(SMALL, images=None) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert threads_for(LARGE, images=64) == 2


@pytest.mark.usefixtures("eight_cores")
def test_the_environment_variable_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """OMP_NUM_THREADS is read by torch itself; a value that is not a number is ignored."""
    monkeypatch.setenv(VARIABLE, "8")
    assert threads_for(SMALL, images=64) == 8
    monkeypatch.setenv(VARIABLE, "")
    assert threads_for(SMALL, images=64) == 1


@pytest.mark.usefixtures("eight_cores")
def test_a_run_keeps_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number in env.json is kept, or a note says why not."""
    notes: list[str] = []

    def written(execution: object) -> int:
        (tmp_path / "env.json").write_text(json.dumps({"execution": execution}))
        return threads_of(tmp_path, SMALL, images=64, on_note=notes.append)

    assert threads_of(tmp_path, SMALL, images=64) == 1
    assert written({"threads": 3, "processes": 1}) == 3
    assert written({"threads": 3, "processes": 2}) == 1
    assert written({"threads": "3", "processes": 1}) == written([]) == 1
    assert notes == []
    assert written({"threads": 9, "processes": 1}) == 8
    monkeypatch.setenv(VARIABLE, "8")
    assert written({"threads": 3, "processes": 1}) == 8
    assert notes == [
        "the run began with 9 threads, here it has 8: the last bits differ",
        "OMP_NUM_THREADS gives 8 threads, the run began with 3: the last bits differ",
    ]


def test_computing_sets_the_threads_within() -> None:
    """The previous number is restored afterwards."""
    before = torch.get_num_threads()
    with computing(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_training_records_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """env.json has the number that was used: one for a small network without OMP_NUM_THREADS."""
    monkeypatch.delenv(VARIABLE, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = carried_out(tmp_path / "run")
    finally:
        torch.set_num_threads(before)
    assert json.loads((run.folder / "env.json").read_text())["execution"]["threads"] == 1
