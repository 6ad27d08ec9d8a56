"""Top-1 error and cross-entropy of predictions."""

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from resatlas.evaluation.logits import Predictions
from resatlas.evaluation.predictions import Prediction


def classification(predictions: Predictions) -> Iterator[tuple[str, float]]:
    """Loss (mean cross-entropy, which is the mean negative log-likelihood in nats), error_percent, images."""
    logits, labels, _ = predictions
    yield "loss", F.cross_entropy(logits, labels).item()
    yield "error_percent", 100 * (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64).item()
    yield "images", len(labels)


def prediction_rows(predictions: Predictions) -> Iterator[Prediction]:
    """The rows of predictions.csv: the predicted class of each image, with its probability."""
    probabilities, classes = predictions.logits.softmax(dim=1).max(dim=1)
    columns = (predictions.ids, predictions.labels, classes, probabilities)
    yield from (Prediction(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
