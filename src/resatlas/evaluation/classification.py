"""Top-1 error and cross-entropy of predictions."""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch.nn import functional as F

from resatlas.evaluation.logits import Predictions
from resatlas.evaluation.predictions import Prediction, Probabilities, of_every_class

_AT_ONCE = 1024
"""Images whose probabilities are in memory together: those of all images may take gigabytes."""


def classification(predictions: Predictions) -> Iterator[tuple[str, float]]:
    """Loss (mean cross-entropy, which is the mean negative log-likelihood in nats), error_percent, images."""
    logits, labels, _ = predictions
    yield "loss", F.cross_entropy(logits, labels).item()
    yield "error_percent", 100 * (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64).item()
    yield "images", len(labels)


def prediction_rows(predictions: Predictions, probabilities: Probabilities = "auto") -> Iterator[Prediction]:
    """The rows of predictions.csv: the predicted class of each image, its probability, and those of all if they fit."""
    images, outputs = predictions.logits.shape
    every = of_every_class(images, outputs, probabilities)
    for logits, labels, ids in zip(*(column.split(_AT_ONCE) for column in predictions), strict=True):
        softmax = logits.double().softmax(dim=1)  # so that the probabilities of an image add up to 1
        highest, classes = softmax.max(dim=1)
        shares = map(tuple, softmax.tolist()) if every else repeat((), len(ids))
        columns = (ids.tolist(), labels.tolist(), classes.tolist(), highest.tolist(), shares)
        yield from (Prediction(*row) for row in zip(*columns, strict=True))
