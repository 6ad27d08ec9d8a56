"""Top-5 error."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from resatlas.evaluation.logits import Predictions

_FEW = 5


def top5(predictions: Predictions) -> Iterator[tuple[str, float]]:
    """top5_error_percent, if there are more than five classes."""
    if predictions.logits.shape[1] > _FEW:
        yield "top5_error_percent", 100 * (ranks(predictions) >= _FEW).float().mean(dtype=torch.float64).item()


def ranks(predictions: Predictions) -> Int64[Tensor, " n"]:
    """The number of classes ranked before the true one: those of larger logits, and of equal ones with a lower label.

    NaN ranks before every number.
    """
    logits, labels, _ = predictions
    own = logits.gather(1, labels[:, None])
    later = torch.arange(logits.shape[1]) > labels[:, None]
    behind = (logits < own) | ((logits == own) & later)
    return logits.shape[1] - 1 - behind.sum(dim=1)
