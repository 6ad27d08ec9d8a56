"""One view of every image: what the network answers, and how often it is wrong."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.data.batches import views
from resatlas.data.dataset import Part
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.predictions import Prediction

BATCH = 256


class Answers(NamedTuple):
    """The logits of every image of a part, beside its labels and ids."""

    logits: Float[Tensor, "n k"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]


@torch.no_grad()
def answers(network: nn.Module, part: Part, pipeline: Pipeline) -> Answers:
    """One pass over the part in evaluation mode, each image once, in order."""
    network.eval()
    rows = [Answers(network(batch.images), batch.labels, batch.ids) for batch in views(part, pipeline, BATCH)]
    return joined_answers(rows)


def joined_answers(parts: Sequence[Answers]) -> Answers:
    """The answers to consecutive parts as those to the whole."""
    return Answers(*(torch.cat(column) for column in zip(*parts, strict=True)))


def classification(given: Answers) -> Iterator[tuple[str, float]]:
    """Loss (mean cross-entropy), error_percent, images."""
    yield "loss", F.cross_entropy(given.logits, given.labels).item()
    yield "error_percent", 100 * (given.logits.argmax(dim=1) != given.labels).float().mean(dtype=torch.float64).item()
    yield "images", len(given.labels)


def predictions(given: Answers) -> Iterator[Prediction]:
    """The class that the network gives each image, with its probability."""
    probabilities, classes = given.logits.softmax(dim=1).max(dim=1)
    columns = (given.ids, given.labels, classes, probabilities)
    yield from (Prediction(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
