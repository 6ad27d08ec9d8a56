"""Rows of designs, and their values over seeds."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest

from resatlas.comparing.rows import Row, Sample, data_notes, group_runs, labels, row_of
from resatlas.errors import FolderError
from resatlas.runs.files import write_json
from resatlas.runs.store import Run
from tests.comparing.folders import DEEP, EQUAL, NOTE, RECIPE, Subject, seal, write_run, write_runs


def rows(runs: Iterable[Run]) -> list[Row]:
    """One row per design."""
    return [row_of(group) for group in group_runs([run.record() for run in runs])]


def test_seeds_of_a_design_share_a_row(tmp_path: Path) -> None:
    """Rows are in order of appearance, each with its seeds, their mean and their standard deviation."""
    runs = write_runs(tmp_path, EQUAL[:2])
    first, second = rows([runs[0], runs[3], *runs[1:3], *runs[4:]])
    assert (first.family, second.family) == ("resnet", "wide-resnet")
    assert first.seeds == second.seeds == (0, 1, 2)
    losses = [run.record().written["train"]["loss"] for run in runs[:3]]
    assert first.train_loss.mean == pytest.approx(fmean(losses))
    assert first.train_loss.deviation == pytest.approx(stdev(losses))
    assert first.images_per_second == 2433
    assert first.seconds == 18


def test_recipes_and_data_are_not_pooled(tmp_path: Path) -> None:
    """A design under two recipes or on two data sets has two rows, each with its own label."""
    subject, wrong = Subject(family="resnet", depth=8), [False] * 9 + [True]
    runs = [
        write_run(tmp_path / "a", subject, seed=0, wrong=wrong),
        write_run(tmp_path / "b", subject, seed=1, wrong=wrong, recipe=replace(RECIPE, epochs=13)),
        write_run(tmp_path / "c", subject, seed=2, wrong=wrong, data="synthetic"),
        write_run(tmp_path / "d", subject, seed=0, wrong=wrong, recipe=replace(RECIPE, batch=32)),
    ]
    shown = rows(runs)
    assert [row.seeds for row in shown] == [(0,), (1,), (2,), (0,)]
    assert labels(shown) == (
        "resnet:depth=8,base=8 (1)",
        "resnet:depth=8,base=8 on digits:size=16 by quick, 13 epochs",
        "resnet:depth=8,base=8 on synthetic by quick, 12 epochs",
        "resnet:depth=8,base=8 (4)",
    )


def test_labels_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    """A design is labelled by its family if that occurs once, else by family and depth, else by itself."""
    wide = replace(DEEP[1][0], knobs="base=16")
    shown = rows(write_runs(tmp_path, [(subject, 1) for subject in (DEEP[0][0], DEEP[1][0], wide, DEEP[3][0])]))
    assert labels(shown) == ("plain 8", "plain:depth=20,base=8", "plain:depth=20,base=16", "resnet")


def test_one_seed_has_no_deviation() -> None:
    """Nor has a sample with a value that is not finite."""
    assert Sample(values=(1.0,)).deviation is None
    assert Sample(values=(1.0, math.inf)).deviation is None


def test_notes_of_the_data_appear_once(tmp_path: Path) -> None:
    """Every run has the note, and it is returned once."""
    assert data_notes([run.record() for run in write_runs(tmp_path, EQUAL[:2])]) == (NOTE,)


def test_foreign_results_are_named(tmp_path: Path) -> None:
    """The error names the file and the missing key."""
    runs = write_runs(tmp_path, EQUAL[:1])
    write_json(runs[0].folder / "results.json", {"family": "resnet"})
    seal(runs[0].folder)
    with pytest.raises(FolderError, match=r'results.json: results: key "design" is missing'):
        rows(runs)
