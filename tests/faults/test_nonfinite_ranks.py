"""A loss, gradient or image that is not finite in one process stops all processes, or none."""

import json
from functools import partial
from pathlib import Path

import pytest

from resatlas.runs.store import Run
from tests.faults.ranks import fault, world
from tests.training.processes import Ended
from tests.training.small import DATA, DESIGN, STEPS, last_checkpoint

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--set", "norm_group=8", "--epochs", "3")
STEP = STEPS + 3


@pytest.mark.parametrize("what", ["image", "loss", "gradient"])
def test_all_processes_stop_where_one_has_no_number(tmp_path: Path, what: str) -> None:
    """Exit code 5 in both before the update, one line, the evidence of both, and an unchanged last checkpoint."""
    command = (*TRAIN, "--save-every", "0", "--out", str(tmp_path / "run"), "--quiet")
    leader, other = world(tmp_path, *command, first=partial(fault, what, 1, STEP))
    assert (leader.code, other.code) == (5, 5)
    assert "nonfinite.json" in leader.line
    run = Run(tmp_path / "run")
    evidence = json.loads((run.folder / "nonfinite.json").read_text())
    assert (evidence["step"], len(evidence["images"])) == (STEP, 16)
    assert [path.name for path in run.checkpoints.glob("step-*")] == [f"step-{STEPS:08d}"]
    assert last_checkpoint(run).name == f"step-{STEPS:08d}"
    assert json.loads((run.folder / "status.json").read_text())["status"] == "failed"


def test_all_processes_leave_out_the_same_step(tmp_path: Path) -> None:
    """If one process has a NaN, both skip the step, with one line and finite weights."""
    command = (*TRAIN, "--nonfinite", "skip", "--out", str(tmp_path / "run"))
    leader, other = world(tmp_path, *command, first=partial(fault, "image", 1, STEP))
    assert (leader.code, other) == (0, Ended(0, "", "")), leader.err
    assert leader.err.count(f"step {STEP} is skipped") == 1
    assert [row["skipped_steps"] for row in Run(tmp_path / "run").metrics] == [0, 1, 1]
