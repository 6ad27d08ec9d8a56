"""How often answers are wrong, and how much probability they leave to the true classes."""

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from resatlas.evaluation.answers import Answers
from resatlas.evaluation.predictions import Prediction


def classification(given: Answers) -> Iterator[tuple[str, float]]:
    """Loss (mean cross-entropy, which is the mean negative log-likelihood in nats), error_percent, images."""
    yield "loss", F.cross_entropy(given.logits, given.labels).item()
    yield "error_percent", 100 * (given.logits.argmax(dim=1) != given.labels).float().mean(dtype=torch.float64).item()
    yield "images", len(given.labels)


def predictions(given: Answers) -> Iterator[Prediction]:
    """The class that the network gives each image, with its probability."""
    probabilities, classes = given.logits.softmax(dim=1).max(dim=1)
    columns = (given.ids, given.labels, classes, probabilities)
    yield from (Prediction(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
