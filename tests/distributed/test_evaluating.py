"""Any number of processes test every image exactly once."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.small import EXPERIMENT, carried_out

ODD = "synthetic:size=8,channels=1,classes=4,images=92"
"""Images of which 23 are tested."""


def said(folder: Path, *words: str, processes: int) -> str:
    """The output of the program with this number of processes."""
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


def table(file: Path) -> tuple[list[list[str]], list[float]]:
    """The cells of a file of predictions: ids, classes and heads; then all probabilities."""
    with file.open(newline="", encoding="utf-8") as lines:
        head, *rows = csv.reader(lines)
    columns = [k for k, name in enumerate(head) if name == "probability" or name.startswith("p:")]
    words = [[cell for k, cell in enumerate(row) if k not in columns] for row in rows]
    return [head, *words], [float(row[k]) for row in rows for k in columns]


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
    """Two or three processes predict 23 images: values and files equal those of one process, printed once.

    Probabilities agree up to the rounding of float32: a process shows its images in other portions.
    """
    command = ("evaluate", "run-0", "run-1", "--norm-statistics", "reestimated", "--json")
    expected = json.loads(said(runs, *command, processes=1))
    files = [runs / row["predictions"] for row in expected]
    alone = [table(file) for file in files]
    for file in files:
        file.unlink()
    rows = json.loads(said(runs, *command, processes=processes))
    for (words, numbers), (others, near) in zip(map(table, files), alone, strict=True):
        assert words == others
        assert numbers == pytest.approx(near, abs=1e-5)
    assert [row.pop("loss") for row in rows] == pytest.approx([row.pop("loss") for row in expected], rel=1e-5)
    for one, other in zip(rows, expected, strict=True):
        assert one.pop("calibration_error_percent") == pytest.approx(other.pop("calibration_error_percent"), rel=1e-4)
    assert rows == expected
    assert [row["images"] for row in rows] == [23, 23]
