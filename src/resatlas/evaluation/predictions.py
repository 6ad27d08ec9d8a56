"""Predictions of single images, and the file that holds them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from resatlas.runs.files import write_csv


class Prediction(NamedTuple):
    """One image: its place in the source, its class, the class given to it, and how sure the network is."""

    id: int
    true: int
    predicted: int
    probability: float


def write_predictions(
    file: Path, predictions: Iterable[Prediction], classes: Sequence[str], names: Sequence[str] = ()
) -> None:
    """Replace the file of a run by one row an image: classes by name, and images too where their source names them."""
    rows = (
        (names[each.id] if names else each.id, classes[each.true], classes[each.predicted], f"{each.probability:.6f}")
        for each in predictions
    )
    write_csv(file, ("id", "true", "predicted", "probability"), rows, within=file.parent)
