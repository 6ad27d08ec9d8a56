"""How far the confidence of a network is from its accuracy."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from resatlas.evaluation.logits import Predictions

BINS = 15
"""Source: "On Calibration of Modern Neural Networks" (arXiv:1706.04599), table 1."""


class Bin(NamedTuple):
    """The predictions with a confidence in one bin: their number, mean confidence and accuracy."""

    images: int
    confidence: float
    accuracy: float


def calibration(predictions: Predictions) -> Iterator[tuple[str, float]]:
    """calibration_error_percent: mean of |accuracy - confidence| over bins, weighted by their images.

    Source: arXiv:1706.04599, equation 3, the expected calibration error.
    """
    gap = sum(group.images * abs(group.accuracy - group.confidence) for group in reliability(predictions))
    yield "calibration_error_percent", 100 * gap / len(predictions.labels)


def reliability(predictions: Predictions) -> tuple[Bin, ...]:
    """The bins ((b - 1)/15, b/15], b = 1…15, of the confidence: the probability of the predicted class."""
    confidence, predicted = predictions.logits.double().softmax(dim=1).max(dim=1)
    correct = (predicted == predictions.labels).double()
    bins = (confidence * BINS).ceil().clamp(1, BINS).nan_to_num(1).long() - 1
    counts, confidences, hits = (
        torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, values)
        for values in (torch.ones_like(correct), confidence, correct)
    )
    divisors = counts.clamp(min=1)
    return tuple(
        Bin(int(n), c, a)
        for n, c, a in zip(counts.tolist(), (confidences / divisors).tolist(), (hits / divisors).tolist(), strict=True)
    )
