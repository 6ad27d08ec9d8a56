"""How often the true class is not among the first few."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from resatlas.evaluation.answers import Answers

FEW = 5


def top5(given: Answers) -> Iterator[tuple[str, float]]:
    """top5_error_percent, where there are more than five classes."""
    if given.logits.shape[1] > FEW:
        yield "top5_error_percent", 100 * (ranks(given) >= FEW).float().mean(dtype=torch.float64).item()


def ranks(given: Answers) -> Int64[Tensor, " n"]:
    """How many classes come before the true one: the larger logits, and equal ones of a lower number.

    A logit that is no number comes before every other.
    """
    own = given.logits.gather(1, given.labels[:, None])
    later = torch.arange(given.logits.shape[1]) > given.labels[:, None]
    behind = (given.logits < own) | ((given.logits == own) & later)
    return given.logits.shape[1] - 1 - behind.sum(dim=1)
