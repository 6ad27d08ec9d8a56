"""Images with objects for a network: normalised and augmented together with their boxes and masks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from resatlas.data.box_steps import stepped
from resatlas.data.boxes import AnnotatedImages, DetectionData, Sample
from resatlas.data.dataset import Mirror
from resatlas.data.fitting import fitted
from resatlas.data.normalisation import (
    UNTOUCHED,
    Normaliser,
    by_constants,
    constants_for,
    levels,
    measured,
    normalised,
    standardised,
    sum_of,
    unit,
)
from resatlas.data.order import generator, occasion
from resatlas.data.pipeline import Pipeline
from resatlas.recipes.images import NORMALISATIONS, BoxStep, Standardise
from resatlas.recipes.recipe import Recipe
from resatlas.values.threaded import threaded

_MEASURED = 1024
"""At most so many photographs, evenly spaced through the training part, determine a measured normalisation."""


def annotated_pipeline(
    recipe: Recipe,
    data: DetectionData,
    train: AnnotatedImages,
    *,
    normaliser: Normaliser | None = None,
    workers: int = 1,
) -> Pipeline:
    """The pipeline of a recipe on images with objects, with `normaliser` or one measured on the training part.

    Pixels are normalised after all other steps, wherever the normalisation stands among them.
    """
    steps = fitted(recipe.steps, data)
    return Pipeline(steps=steps, normaliser=normaliser or _measured(recipe, data, train, workers), workers=workers)


def _measured(recipe: Recipe, data: DetectionData, train: AnnotatedImages, workers: int) -> Normaliser:
    """The recipe's normalisation, by its constants or measured image by image, so that one of them is in memory."""
    step = next((step for step in recipe.steps if isinstance(step, NORMALISATIONS)), None)
    if step is None:
        return UNTOUCHED
    constants = constants_for(step, data.name, photographs=train.root is not None)
    if constants and len(constants.mean) == data.channels:
        return by_constants(constants)
    if not isinstance(step, Standardise):  # a Rescale, which needs no images; the others are refused for objects
        return measured(step, torch.zeros(1, data.channels, 1, 1, dtype=torch.uint8))
    count = len(train) if train.root is None else min(len(train), _MEASURED)
    places = [k * len(train) // count for k in range(count)]
    return standardised(sum_of(threaded(partial(_levels, train), places, threads=workers)))


def _levels(images: AnnotatedImages, k: int) -> Tensor:
    """How many values of each channel of image k are 0, 1, … 255."""
    return levels(torch.from_numpy(images.read(k)).permute(2, 0, 1)[None])


def drawn(
    sample: Callable[[int], Sample],
    pipeline: Pipeline,
    positions: Sequence[int],
    *,
    seed: int,
    epoch: int,
    mirror: Mirror,
) -> list[Sample]:
    """The images at these positions with their objects, as an epoch of a training shows them, not yet normalised."""
    steps = tuple(step for step in pipeline.steps if isinstance(step, get_args(BoxStep)))

    def one(k: int) -> Sample:
        return stepped(sample(k), steps, generator(seed, "objects", *occasion(epoch, 0), k), mirror=mirror)

    if pipeline.workers == 1:
        return list(map(one, positions))
    return list(threaded(one, positions, threads=pipeline.workers))


def network_pixels(pixels: Tensor, by: Normaliser) -> Float[Tensor, "c h w"]:
    """The pixels of an image, (h, w, c) of uint8, as a network takes them."""
    return normalised(unit(pixels.permute(2, 0, 1)[None]), by)[0]


def stacked(images: Sequence[Tensor]) -> Sequence[Tensor] | Tensor:
    """One tensor of images of one size; a list of others."""
    return torch.stack(list(images)) if len({image.shape for image in images}) == 1 else list(images)


def read_alone(images: AnnotatedImages, pipeline: Pipeline, positions: Sequence[int]) -> Iterator[Tensor]:
    """The pixels of images as a network takes them in a test, in order."""
    read = partial(_tested, images.without_masks(), pipeline.normaliser)
    return map(read, positions) if pipeline.workers == 1 else threaded(read, positions, threads=pipeline.workers)


def _tested(images: AnnotatedImages, by: Normaliser, k: int) -> Tensor:
    return network_pixels(images.sample(k).image, by)


def grounded(sample: Sample) -> Sample:
    """An image whose ground is an object too, of label 0: so steps move it, and what they add outside has no class.

    Shape: image (h, w, c).
    """
    height, width = sample.image.shape[:2]
    ground = {
        "boxes": torch.tensor([[0.0, 0.0, width, height]]),
        "labels": torch.zeros(1, dtype=torch.int64),
        "ignore": torch.zeros(1, dtype=torch.bool),
        "masks": torch.ones(1, height, width, dtype=torch.uint8),
    }
    return sample._replace(target={name: torch.cat([own, sample.target[name]]) for name, own in ground.items()})


def class_map(target: Mapping[str, Tensor], unlabelled: int) -> Int64[Tensor, "h w"]:
    """The class of each pixel: the label of the last object over it; `unlabelled` on a crowd, and where no object is.

    The ground is 0 if it is the first object, as `grounded` makes it.
    """
    masks = target["masks"]
    classes = torch.full(masks.shape[1:], unlabelled, dtype=torch.int64)
    for mask, label, ignored in zip(masks, target["labels"].tolist(), target["ignore"].tolist(), strict=True):
        classes[mask.bool()] = unlabelled if ignored else label
    return classes


def real_classes(images: AnnotatedImages, k: int, unlabelled: int) -> Int64[Tensor, "h w"]:
    """The class of each pixel of image k, whose own file is not read."""
    height, width = images.sizes[k].tolist()
    sample = Sample(torch.zeros(height, width, 0, dtype=torch.uint8), images.target(k))
    return class_map(grounded(sample).target, unlabelled)


def padded(tensors: Sequence[Tensor], value: int) -> Tensor:
    """One tensor of images or class maps, which are padded by a value on the right and below to a common size.

    Shape: each (..., h, w) -> (n, ..., largest h, largest w).
    Source: torchvision, references/segmentation/utils.py, collate_fn.
    """
    height, width = (max(tensor.shape[axis] for tensor in tensors) for axis in (-2, -1))
    return torch.stack(
        [F.pad(tensor, (0, width - tensor.shape[-1], 0, height - tensor.shape[-2]), value=value) for tensor in tensors]
    )
