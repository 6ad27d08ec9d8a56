"""What a run answered to each test image, as predictions.csv tells it."""

import csv
import math
from collections.abc import Mapping
from io import StringIO
from statistics import fmean
from typing import NamedTuple

from resatlas.errors import FolderError
from resatlas.runs.store import Run
from resatlas.values.reading import text


class Guess(NamedTuple):
    """An image by its id, its class, the class that it was taken for, and how sure the network was."""

    image: str
    true: str
    predicted: str
    probability: float


def has_predictions(run: Run) -> bool:
    """Whether the run has its predictions."""
    return (run.folder / "predictions.csv").is_file()


def guesses(run: Run) -> tuple[Guess, ...]:
    """The answers of a run, image by image; classes without the mark that keeps them from being formulas in the file.

    Raises: FolderError if predictions.csv is missing or damaged, or tells another error than results.json.
    """
    file = run.folder / "predictions.csv"
    marked = {f"'{name}": name for name in run.classes}

    def written(name: str) -> str:
        return marked.get(name, name)

    try:
        lines = csv.DictReader(StringIO(text(file)))
        found = tuple(
            Guess(line["id"], written(line["true"]), written(line["predicted"]), float(line["probability"]))
            for line in lines
        )
        counted = 100 * fmean(each.true != each.predicted for each in found)
        noted = run.results["test"]["error_percent"]
    except (OSError, ValueError, csv.Error, KeyError, TypeError):
        raise FolderError(f"{file} cannot be read; `resatlas evaluate` on the run writes it again") from None
    if not math.isclose(counted, noted, abs_tol=1e-6):
        raise FolderError(f"{file} has {counted:.4f} % wrong, but results.json says {noted:.4f} %")
    return found


def wrong_answers(run: Run) -> Mapping[tuple[str, str], bool]:
    """Of each test image, by id and true class, whether the run's answer is wrong.

    Raises: FolderError as `guesses`.
    """
    return {(each.image, each.true): each.true != each.predicted for each in guesses(run)}
