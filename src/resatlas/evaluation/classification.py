"""How often answers are wrong, and how much probability they leave to the true classes."""

from collections.abc import Iterator
from itertools import repeat

import torch
from torch.nn import functional as F

from resatlas.evaluation.answers import Answers
from resatlas.evaluation.predictions import Prediction, Probabilities, of_every_class

AT_ONCE = 1024
"""Images whose probabilities are in memory together: those of all images may take gigabytes."""


def classification(given: Answers) -> Iterator[tuple[str, float]]:
    """Loss (mean cross-entropy, which is the mean negative log-likelihood in nats), error_percent, images."""
    yield "loss", F.cross_entropy(given.logits, given.labels).item()
    yield "error_percent", 100 * (given.logits.argmax(dim=1) != given.labels).float().mean(dtype=torch.float64).item()
    yield "images", len(given.labels)


def predictions(given: Answers, probabilities: Probabilities = "auto") -> Iterator[Prediction]:
    """The class that the network gives each image, with its probability, and with those of all classes if they fit."""
    images, outputs = given.logits.shape
    every = of_every_class(images, outputs, probabilities)
    for logits, labels, ids in zip(*(column.split(AT_ONCE) for column in given), strict=True):
        softmax = logits.double().softmax(dim=1)  # so that the probabilities of an image add up to 1
        highest, classes = softmax.max(dim=1)
        shares = map(tuple, softmax.tolist()) if every else repeat((), len(ids))
        columns = (ids.tolist(), labels.tolist(), classes.tolist(), highest.tolist(), shares)
        yield from (Prediction(*row) for row in zip(*columns, strict=True))
