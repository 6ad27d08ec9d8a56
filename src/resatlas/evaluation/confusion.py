"""Which classes are taken for which, and how often each is missed."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from resatlas.evaluation.answers import Answers


class Missed(NamedTuple):
    """One class: how many of its images there are, and the share that is given another class."""

    label: int
    images: int
    error_percent: float


class Taken(NamedTuple):
    """Images of one class that are given another."""

    true: int
    predicted: int
    images: int


def confusion(given: Answers) -> Int64[Tensor, "k k"]:
    """How many images of each true class (a row) are given each class (a column)."""
    k = given.logits.shape[1]
    return (given.labels * k + given.logits.argmax(dim=1)).bincount(minlength=k * k).view(k, k)


def missed(counts: Int64[Tensor, "k k"]) -> tuple[Missed, ...]:
    """The error of every class that has images."""
    rows = zip(counts.sum(dim=1).tolist(), counts.diagonal().tolist(), strict=True)
    return tuple(Missed(label, n, 100 * (n - right) / n) for label, (n, right) in enumerate(rows) if n)


def taken(counts: Int64[Tensor, "k k"]) -> tuple[Taken, ...]:
    """Every pair of classes of which the one is given the other, the most frequent first."""
    off = counts * (1 - torch.eye(len(counts), dtype=torch.int64))
    pairs = [Taken(true, predicted, int(off[true, predicted])) for true, predicted in off.nonzero().tolist()]
    return tuple(sorted(pairs, key=lambda each: -each.images))
