"""What detectors and segmenters find, on the page: measures, classes, and a second look at the test images."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from resatlas.comparing.questions import Group
from resatlas.comparing.rows import Sample
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError
from resatlas.page.figure import Figure
from resatlas.page.looks import Look, LookedAt, Looks, figures_of, looked_at, mean_curves
from resatlas.page.table import with_deviation
from resatlas.recipes.detection import Classify
from resatlas.recipes.task_reading import reading
from resatlas.runs.names import RESULTS
from resatlas.runs.record import RunRecord
from resatlas.values.table import Cell, Column, Table, words

MOST_LOOKS = 6
"""Designs whose test images are looked at again."""

_MEASURES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP of small objects",
    "ap_medium": "AP of medium objects",
    "ap_large": "AP of large objects",
    "ar1": "AR, 1 box",
    "ar10": "AR, 10 boxes",
    "ar100": "AR, 100 boxes",
    "mask_ap": "AP of masks",
    "mask_ap50": "AP50 of masks",
    "mask_ap75": "AP75 of masks",
    "voc_ap_11_points": "VOC 2007 AP, 11 points",
    "voc_ap_area": "VOC AP, area",
    "localisation_top1_error_percent": "top-1 localisation error",
    "localisation_top5_error_percent": "top-5 localisation error",
    "mean_iou": "mean IoU",
    "pixel_accuracy": "right pixels",
}
"""The measures of the whole by their keys in results.json, and their names in the table."""

_OF_CLASSES = {"ap": "AP", "mask_ap": "AP of masks", "iou": "IoU"}
"""The measures of a class that the table shows, and their names there."""

_SIZES = "Small objects have fewer than 32² pixels, large ones at least 96², by the areas in the data."


class FoundPart(NamedTuple):
    """What is found: sentences on what the figures mean, tables, charts, looks, and what is missing and why."""

    reading: tuple[str, ...]
    measures: Table
    classes: Table | None
    curves: Figure | None
    looks: tuple[LookedAt, ...]
    missing: tuple[str, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All charts, in the order of the page."""
        return (*filter(None, [self.curves]), *figures_of(self.looks))


def found_part(groups: Sequence[Group], looks: Looks) -> FoundPart | None:
    """What the page shows of runs that find objects; None of runs that have learnt labels."""
    tasks = list(dict.fromkeys(group.experiment.recipe.task for group in groups))
    if not tasks or any(isinstance(task, Classify) for task in tasks):
        return None
    replies = [(group, looks(group.runs[0])) for group in groups[:MOST_LOOKS]]
    again = [(group, look) for group, look in replies if isinstance(look, Look)]
    missing = [look for _, look in replies if isinstance(look, str)]
    if len(groups) > MOST_LOOKS:
        missing.append(f"Curves, confusion matrices and worst images are those of the first {MOST_LOOKS} designs.")
    return FoundPart(
        reading=tuple(dict.fromkeys(presentable(line) for task in tasks for line in reading(task))),
        measures=_measures(groups),
        classes=_classes(groups),
        curves=mean_curves([(presentable(group.label), look) for group, look in again]),
        looks=tuple(looked_at(group, look) for group, look in again),
        missing=tuple(map(presentable, missing)),
    )


def _measures(groups: Sequence[Group]) -> Table:
    """A row for each measure of the whole, a column for each design: mean ± standard deviation over its runs."""
    present = [key for key in _MEASURES if any(key in run.written["test"] for group in groups for run in group.runs)]
    return Table(
        title="Measures of the test images",
        note=_SIZES if "ap_small" in present else "",
        columns=(*words("measure"), *(Column(presentable(group.label), "%") for group in groups)),
        rows=tuple((_MEASURES[key], *(_mean(group, key) for group in groups)) for key in present),
    )


def _mean(group: Group, key: str) -> Cell:
    """None where a run has nothing to be found."""
    values = [_figure(run, run.written["test"], key) for run in group.runs]
    present = tuple(value for value in values if value is not None)
    return with_deviation(Sample(values=present), ".2f") if len(present) == len(values) else None


def _classes(groups: Sequence[Group]) -> Table | None:
    """A row for each class, a column for each design and measure: the mean over its runs.

    A cell is empty where a run has nothing of the class to be found.
    """
    rows = {run: _rows(run) for group in groups for run in group.runs}
    columns = [
        (group, key)
        for group in groups
        for key in _OF_CLASSES
        if any(key in row for row in rows[group.runs[0]].values())
    ]
    if not columns:
        return None

    def mean(group: Group, key: str, label: str) -> Cell:
        values = [_figure(run, rows[run].get(label, {}), key) for run in group.runs]
        present = [value for value in values if value is not None]
        return fmean(present) if len(present) == len(values) else None

    labels = dict.fromkeys(label for group in groups for label in rows[group.runs[0]])
    return Table(
        title="What is found of each class",
        columns=(
            *words("class"),
            *(Column(f"{_OF_CLASSES[key]}, {presentable(group.label)}", "%", ".1f") for group, key in columns),
        ),
        rows=tuple((presentable(label), *(mean(group, key, label) for group, key in columns)) for label in labels),
    )


def _rows(run: RunRecord) -> dict[str, Mapping[str, Any]]:
    """The measures of each class, as results.json has them.

    Raises: FolderError if they are of another form.
    """
    rows: Any = run.written["test"].get("classes", [])
    if not isinstance(rows, list) or any(not isinstance(row, dict) or "class" not in row for row in rows):
        raise FolderError(f"{run.folder / RESULTS}: classes is a list of tables, each with the name of its class")
    return {str(row["class"]): row for row in rows}


def _figure(run: RunRecord, row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise FolderError(f"{run.folder / RESULTS}: {key} is a finite number or null; got {str(value)[:40]!r}")
