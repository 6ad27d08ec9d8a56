"""Predictions of single images, and the file that holds them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from resatlas.runs.files import write_csv

Probabilities = Literal["auto", "every"]
"""Of which classes a file has the probabilities: of every one, or by itself of every one unless they are very many."""

MOST_CLASSES = 100
MOST_CELLS = 10_000_000
"""Images times classes whose probabilities are written by themselves: about 100 MB of text."""

HEAD = ("id", "true", "predicted", "probability", "label")

MARK = "p:"
"""Before the name of a class in the head of its column: no class is taken for another column, or for a formula."""


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
    columns = [f"{MARK}{name}" for name in classes] if first and first.probabilities else []
    write_csv(file, (*HEAD, *columns), _rows(first, rows, classes, names), within=file.parent)


def _rows(
    first: Prediction | None, others: Iterator[Prediction], classes: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    for row in (*([first] if first else []), *others):
        image = names[row.id] if names else row.id
        known = (image, classes[row.true], classes[row.predicted], f"{row.probability:.6f}", row.true)
        yield (*known, *map(_digits, row.probabilities))


def _digits(probability: float) -> str:
    """As many digits as a row needs to add up to 1 within float64's square root, and small ones to have a logarithm."""
    return f"{probability:.10f}" if probability >= 1e-5 else f"{probability:.4g}"
