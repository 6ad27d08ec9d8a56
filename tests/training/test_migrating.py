"""A run of an earlier version, schema_1/, can be resumed by this one.

It was made by resatlas of schema 1: resnet:depth=8,base=2 on synthetic digits, stopped by SIGTERM after step 8 of 15.
whole.jsonl has the metrics of the same training by that version without interruption.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.errors import CheckpointError, FolderError
from resatlas.recipes.images import Flip, PadCrop, Standardise
from resatlas.recipes.recipe import Sgd
from resatlas.recipes.regularisers import CrossEntropy
from resatlas.recipes.schedule import OneCycle
from resatlas.runs.files import read_lines
from resatlas.runs.store import Run
from tests.training.small import DATA, DESIGN, EXPERIMENT, carried_out, last_checkpoint, position

BEGUN = Path(__file__).parent / "schema_1"

OLD = replace(
    EXPERIMENT,
    recipe=replace(
        EXPERIMENT.recipe,
        optimizer=Sgd(),
        schedule=OneCycle(peak=0.1),
        loss=CrossEntropy(),
        steps=(Standardise(), PadCrop(), Flip()),
    ),
)
"""Its experiment: the optimizer of `quick` was SGD."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A copy of the run."""
    shutil.copytree(BEGUN, tmp_path / "run")
    return Run(tmp_path / "run")


def edited(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the JSON of a file."""
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_the_experiment_of_an_earlier_schema_is_read(run: Run) -> None:
    """It equals the experiment of today, with its own digest, which its checkpoints contain."""
    assert (run.beginning().experiment.design, run.beginning().experiment.data) == (DESIGN, DATA)
    assert run.beginning().experiment.recipe == OLD.recipe
    assert position(last_checkpoint(run))["schema"] == 1
    assert position(last_checkpoint(run))["experiment"] == run.beginning().digest


def test_a_run_of_an_earlier_schema_is_resumed(run: Run) -> None:
    """From step 8 to its end, with the same results; experiment.json is unchanged."""
    before = (run.folder / "experiment.json").read_bytes()
    carried_out(run.folder, OLD, resume="auto")
    expected = list(read_lines(BEGUN / "whole.jsonl"))
    assert run.metrics[0] == expected[0]
    for mine, theirs in zip(run.metrics, expected, strict=True):
        since = () if theirs["epoch"] == 1 else ("gradient_norm", "largest_gradient_norm")
        assert list(mine) == [*list(theirs)[:5], *since, *list(theirs)[5:]]
        assert [value for name, value in mine.items() if name not in since] == pytest.approx(
            list(theirs.values()), rel=1e-4
        )
    assert (run.folder / "experiment.json").read_bytes() == before
    assert position(last_checkpoint(run))["schema"] == 2
    assert position(last_checkpoint(run))["experiment"] == run.beginning().digest


def test_a_run_of_a_later_schema_is_refused(run: Run) -> None:
    """The message says so in one sentence."""
    edited(run.folder / "experiment.json", lambda value: value.update(schema=3))
    with pytest.raises(
        FolderError, match=r"of schema 3 was written by a later version of resatlas; this version reads"
    ):
        carried_out(run.folder, OLD, resume="auto")


def test_the_digest_of_an_old_run_still_guards_it(run: Run) -> None:
    """Another seed in its file is another experiment, to which the checkpoint does not belong."""
    edited(run.folder / "experiment.json", lambda value: value.update(seed=1))
    with pytest.raises(FolderError, match="holds another experiment"):
        carried_out(run.folder, OLD, resume="auto")
    with pytest.raises(CheckpointError, match="belongs to another experiment"):
        carried_out(run.folder, run.beginning().experiment, resume="auto")
