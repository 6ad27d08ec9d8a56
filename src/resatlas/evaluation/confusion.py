"""The confusion matrix, the error of each class, and the most frequent confusions."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from resatlas.evaluation.logits import Predictions


class Missed(NamedTuple):
    """One class: the number of its images and the percentage of them that is misclassified."""

    label: int
    images: int
    error_percent: float


class Taken(NamedTuple):
    """The number of images of one class that are predicted as another."""

    true: int
    predicted: int
    images: int


def confusion(predictions: Predictions) -> Int64[Tensor, "k k"]:
    """The confusion matrix: true classes in rows, predicted classes in columns."""
    k = predictions.logits.shape[1]
    return (predictions.labels * k + predictions.logits.argmax(dim=1)).bincount(minlength=k * k).view(k, k)


def missed(counts: Int64[Tensor, "k k"]) -> tuple[Missed, ...]:
    """The error of every class with images."""
    rows = zip(counts.sum(dim=1).tolist(), counts.diagonal().tolist(), strict=True)
    return tuple(Missed(label, n, 100 * (n - correct) / n) for label, (n, correct) in enumerate(rows) if n)


def taken(counts: Int64[Tensor, "k k"]) -> tuple[Taken, ...]:
    """Every pair of different classes that is confused, the most frequent first."""
    wrong = counts * (1 - torch.eye(len(counts), dtype=torch.int64))
    pairs = [Taken(true, predicted, int(wrong[true, predicted])) for true, predicted in wrong.nonzero().tolist()]
    return tuple(sorted(pairs, key=lambda pair: -pair.images))
