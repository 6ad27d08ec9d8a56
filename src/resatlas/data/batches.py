"""Batches of images as a network takes them: normalised, augmented, in an order that a resume finds again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.augment import augment, draws
from resatlas.data.dataset import ImageSet
from resatlas.data.order import order
from resatlas.errors import DataError
from resatlas.recipes.recipe import Augmentation


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """x -> (x/255 - mean)/std, with a mean and a std for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(std > 0 for std in self.std):
            raise DataError(f"each channel has a mean and a std above 0; {self.mean} and {self.std} are not that")


class Batch(NamedTuple):
    """Normalised images, their labels, and their positions in the source."""

    images: Float32[Tensor, "b c h w"]
    labels: Int64[Tensor, " b"]
    ids: Int64[Tensor, " b"]


def measure(train: ImageSet) -> Normalisation:
    """Mean and standard deviation of each channel of x/255, exact up to one rounding; a constant channel has std 1."""
    moments = []
    for channel in torch.from_numpy(train.images).unbind(1):
        n = channel.numel()
        counts = torch.bincount(channel.flatten(), minlength=256).tolist()
        first = sum(count * x for x, count in enumerate(counts))
        second = sum(count * x**2 for x, count in enumerate(counts))
        moments.append((first / (255 * n), math.sqrt(n * second - first**2) / (255 * n) or 1.0))
    mean, std = zip(*moments, strict=True)
    return Normalisation(mean=mean, std=std)


def normalise(part: ImageSet, normalisation: Normalisation) -> Batch:
    """The part as one batch: resident in memory as float32, so that an epoch normalises nothing again."""
    mean, std = (torch.tensor(moment)[:, None, None] for moment in (normalisation.mean, normalisation.std))
    images = torch.tensor(part.images, dtype=torch.float32).div_(255).sub_(mean).div_(std)
    return Batch(images, torch.tensor(part.labels), torch.tensor(part.ids))


def steps_per_epoch(n: int, batch: int) -> int:
    """Batches of an epoch: floor(n / batch), or 1 if n is smaller than a batch."""
    return max(n // batch, 1)


def batches(
    resident: Batch, *, seed: int, epoch: int, batch: int, augmentation: tuple[Augmentation, ...], start: int = 0
) -> Iterator[Batch]:
    """The batches of one epoch, from number `start` on.

    All have exactly `batch` images: the images that are left over wait for the next epoch's order. A part that is
    smaller than a batch is one batch. Number k is the same batch at every `start`.
    """
    n, *image = resident.images.shape
    shown = order(seed, epoch, n)
    drawn = draws(seed, epoch, n, augmentation, Shape(*image))
    for k in range(start, steps_per_epoch(n, batch)):
        indices = shown[k * batch : (k + 1) * batch]
        images, labels, ids = (everything[indices] for everything in resident)
        yield Batch(augment(images, indices, drawn), labels, ids)


def views(part: ImageSet, normalisation: Normalisation, batch: int) -> Iterator[Batch]:
    """Every image of the part exactly once, in order, as it is; the last batch may be smaller."""
    for begin in range(0, len(part), batch):
        yield normalise(part.take(slice(begin, begin + batch)), normalisation)
