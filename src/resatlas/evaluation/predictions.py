"""Predictions of single images, and the file that holds them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from resatlas.runs.files import write_csv


class Prediction(NamedTuple):
    """One image: its position in the source, its class, the predicted class and that class's probability."""

    id: int
    true: int
    predicted: int
    probability: float


def write_predictions(
    file: Path, predictions: Iterable[Prediction], classes: Sequence[str], names: Sequence[str] = ()
) -> None:
    """Replace the file by one row per image: classes by name, and images by name if their source has names."""
    rows = (
        (names[row.id] if names else row.id, classes[row.true], classes[row.predicted], f"{row.probability:.6f}")
        for row in predictions
    )
    write_csv(file, ("id", "true", "predicted", "probability"), rows, within=file.parent)
