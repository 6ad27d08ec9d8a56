"""Any number of processes test every image exactly once."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.small import EXPERIMENT, carried_out

ODD = "synthetic:size=8,channels=1,classes=4,images=92"
"""Of which 23 are tested."""


def said(folder: Path, *words: str, processes: int) -> str:
    """What the program says in so many processes."""
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone")
    done = subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else ()), "-m", "resatlas", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        carried_out(folder / f"run-{seed}", replace(EXPERIMENT, data=ODD, seed=seed))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_uneven_shares_are_joined(runs: Path, processes: int) -> None:
    """23 images by two or three processes: the values and the files that one process gives, each said once."""
    words = ("evaluate", "run-0", "run-1", "--norm-statistics", "reestimated", "--json")
    expected = json.loads(said(runs, *words, processes=1))
    files = [runs / each["predictions"] for each in expected]
    alone = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    found = json.loads(said(runs, *words, processes=processes))
    assert [file.read_bytes() for file in files] == alone
    assert [each.pop("loss") for each in found] == pytest.approx([each.pop("loss") for each in expected], rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert one.pop("calibration_error_percent") == pytest.approx(other.pop("calibration_error_percent"), rel=1e-4)
    assert found == expected
    assert [each["images"] for each in found] == [23, 23]
