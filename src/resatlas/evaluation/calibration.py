"""Whether a network is as sure as it is right."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from resatlas.evaluation.answers import Answers

BINS = 15
"""Source: "On Calibration of Modern Neural Networks" (arXiv:1706.04599), table 1."""


class Bin(NamedTuple):
    """The answers whose probability lies in one of the bins: how many, how sure and how right on average."""

    images: int
    confidence: float
    accuracy: float


def calibration(given: Answers) -> Iterator[tuple[str, float]]:
    """calibration_error_percent: mean of |accuracy - confidence| over bins, weighed by their images.

    Source: arXiv:1706.04599, equation 3, the expected calibration error.
    """
    apart = sum(each.images * abs(each.accuracy - each.confidence) for each in reliability(given))
    yield "calibration_error_percent", 100 * apart / len(given.labels)


def reliability(given: Answers) -> tuple[Bin, ...]:
    """The bins ((b - 1)/15, b/15], b = 1…15, of the probability that is given to the predicted class."""
    confidence, predicted = given.logits.double().softmax(dim=1).max(dim=1)
    right = (predicted == given.labels).double()
    place = (confidence * BINS).ceil().clamp(1, BINS).nan_to_num(1).long() - 1
    counts, sure, hits = (
        torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, each)
        for each in (torch.ones_like(right), confidence, right)
    )
    share = counts.clamp(min=1)
    return tuple(
        Bin(int(n), c, a)
        for n, c, a in zip(counts.tolist(), (sure / share).tolist(), (hits / share).tolist(), strict=True)
    )
