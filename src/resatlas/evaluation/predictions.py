"""Predictions of single images, and the file that holds them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from resatlas.runs.files import write_csv

Probabilities = Literal["auto", "every"]
"""The classes whose probabilities a file contains: all, or by default all unless there are very many."""

MOST_CLASSES = 100
MOST_CELLS = 10_000_000
"""The largest number of images times classes whose probabilities are written by default: about 100 MB of text."""

_HEAD = ("id", "true", "predicted", "probability", "label")

_MARK = "p:"
"""Prefix of a class name in the head of its column, so that it differs from other columns and from formulas."""


class Prediction(NamedTuple):
    """One image: its position in the source, its class, the predicted class, its probability, and all probabilities."""

    id: int
    true: int
    predicted: int
    probability: float
    probabilities: tuple[float, ...] = ()


def of_every_class(images: int, classes: int, probabilities: Probabilities) -> bool:
    """Whether a file of predictions has the probability of every class."""
    return probabilities == "every" or (classes <= MOST_CLASSES and images * classes <= MOST_CELLS)


def write_predictions(
    file: Path, predictions: Iterable[Prediction], classes: Sequence[str], names: Sequence[str] = ()
) -> None:
    """Replace the file by one row an image: classes by name, and images too where their source names them.

    `label` is the index of the true class. Where the predictions have them, a column for each class follows with its
    probability, in the order of the network's outputs.
    """
    rows = iter(predictions)
    first = next(rows, None)
    columns = [f"{_MARK}{name}" for name in classes] if first and first.probabilities else []
    write_csv(file, (*_HEAD, *columns), _rows(first, rows, classes, names), within=file.parent)


def _rows(
    first: Prediction | None, others: Iterator[Prediction], classes: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    for row in (*([first] if first else []), *others):
        image = names[row.id] if names else row.id
        known = (image, classes[row.true], classes[row.predicted], f"{row.probability:.6f}", row.true)
        yield (*known, *map(_digits, row.probabilities))


def _digits(probability: float) -> str:
    """A probability with enough digits that rows add up to 1 within 1e-8, and small ones are not zero."""
    return f"{probability:.10f}" if probability >= 1e-5 else f"{probability:.4g}"
