"""Batches of images for a network: normalised, augmented, in an order that a resume reproduces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data.augment import Crops, Mirrors, augment, draw, erased
from resatlas.data.dataset import DataSet, ImageFiles, ImageSet, Part
from resatlas.data.fitting import fitted
from resatlas.data.loading import Batch, cropping, loaded, training, viewing
from resatlas.data.normalisation import (
    UNTOUCHED,
    Affine,
    Normaliser,
    Whitening,
    affine_on,
    by_constants,
    constants_for,
    measured,
    normalised,
    unit,
)
from resatlas.data.order import batch_positions, generator, occasion
from resatlas.data.pipeline import Pipeline, Policy, ignore_note
from resatlas.data.placing import CPU, fits, placed
from resatlas.recipes.images import NORMALISATIONS, Erase, Flip, PadCrop
from resatlas.recipes.recipe import Recipe
from resatlas.values.pulse import PULSE

_MEASURED = 4096
"""At most so many photographs, evenly spaced through the training part, determine a measured normalisation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resident:
    """A part in memory, prepared batch by batch on the device of its images; a whitening is already applied (float32).

    Images and labels are on one device, ids in main memory.
    Shape: images (n, c, h, w); labels and ids (n,).
    """

    images: Shaped[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.images)


Source = Resident | Part


def source(part: Part, pipeline: Pipeline, device: torch.device = CPU) -> Source:
    """The part from which batches are drawn: in memory if no step works on single photographs.

    It is in the memory of the device, where its batches are then augmented to the same bits, if it fits: see `placing`.
    """
    if not isinstance(part, ImageSet) or pipeline.one_by_one:
        return part
    images = torch.from_numpy(part.images)
    if isinstance(pipeline.normaliser, Whitening):
        images = torch.cat([normalised(unit(chunk), pipeline.normaliser) for chunk in images.split(_MEASURED)])
    where = device if fits(images.nbytes, device) else CPU
    labels = torch.tensor(part.labels)
    return Resident(images=placed(images, where), labels=placed(labels, where), ids=torch.tensor(part.ids))


def batches(
    images: Source,
    pipeline: Pipeline,
    *,
    seed: int,
    epoch: int,
    batch: int,
    leftover: Literal["dropped", "kept"] = "dropped",
    start: int = 0,
    share: Callable[[Tensor], Tensor] = lambda positions: positions,
) -> Iterator[Batch]:
    """The batches of one epoch, from number `start` on, restricted to the positions that `share` selects.

    Each has exactly `batch` images; the remaining images are dropped or form a last, smaller batch. A part smaller than
    a batch is one batch. Batch k is the same for every `start`.
    """
    chunks = batch_positions(seed, epoch, len(images), repeats=pipeline.repeats, batch=batch)
    if leftover == "dropped" and len(chunks) > 1 and len(chunks[-1]) < batch:
        chunks.pop()
    chunks = [share(chunk) for chunk in chunks[start:]]
    match images:
        case Resident():
            yield from _at_once(images, pipeline, chunks, seed=seed, epoch=epoch)
        case ImageSet() | ImageFiles():
            make = training(images, pipeline, seed=seed, epoch=epoch)
            yield from loaded(
                images,
                make,
                chunks,
                workers=pipeline.workers,
                policy=pipeline.unreadable,
                on_note=pipeline.on_note,
            )
        case _:
            assert_never(images)


def views(part: Part, pipeline: Pipeline, batch: int) -> Iterator[Batch]:
    """Every image of the part exactly once, in order, under the view of the test; batches may be smaller.

    An unreadable image has no substitute here: under "skip" it is omitted.

    Raises: DataError for an unreadable image; under "skip" only if no image can be read.
    """
    if isinstance(part, ImageFiles):
        chunks = torch.arange(len(part)).split(batch)
        policy = "omit" if pipeline.unreadable == "skip" else "error"
        make, note = viewing(part, pipeline), pipeline.on_note
        yield from loaded(part, make, chunks, workers=pipeline.workers, policy=policy, on_note=note)
        return
    for begin in range(0, len(part), batch):
        chunk = part.take(slice(begin, begin + batch))
        images = normalised(unit(torch.from_numpy(chunk.images)), pipeline.normaliser)
        yield Batch(images, torch.tensor(chunk.labels), torch.tensor(chunk.ids))


def pipeline_for(
    recipe: Recipe,
    data: DataSet,
    train: Part,
    *,
    normaliser: Normaliser | None = None,
    unreadable: Policy = "error",
    workers: int = 1,
    on_note: Callable[[str], None] = ignore_note,
) -> Pipeline:
    """The pipeline of a recipe on a data set, with `normaliser` or one measured on the training part."""
    bare = Pipeline(
        steps=fitted(recipe.steps, data),
        normaliser=normaliser or UNTOUCHED,
        view=recipe.view,
        unreadable=unreadable,
        repeats=recipe.repeats,
        workers=workers,
        on_note=on_note,
    )
    return bare if normaliser else replace(bare, normaliser=_measured(recipe, data, train, bare))


def _measured(recipe: Recipe, data: DataSet, train: Part, bare: Pipeline) -> Normaliser:
    """The recipe's normalisation, by its constants or measured on the training part."""
    step = next(step for step in recipe.steps if isinstance(step, NORMALISATIONS))
    constants = constants_for(step, data.name, photographs=isinstance(train, ImageFiles))
    if constants and len(constants.mean) == data.image.channels:
        return by_constants(constants)
    return measured(step, _pixels(train, bare))


def _pixels(part: Part, bare: Pipeline) -> Tensor:
    """All images in memory, or the views of up to `_MEASURED` photographs, evenly spaced."""
    if isinstance(part, ImageSet):
        return torch.from_numpy(part.images)
    count = min(len(part), _MEASURED)
    places = torch.tensor([k * len(part) // count for k in range(count)])
    make, policy = cropping(part, bare), bare.unreadable
    crops = loaded(part, make, places.split(64), workers=bare.workers, policy=policy, on_note=bare.on_note)
    return torch.cat([batch.images for batch in crops])


def _at_once(images: Resident, pipeline: Pipeline, chunks: list[Tensor], *, seed: int, epoch: int) -> Iterator[Batch]:
    n, *shape = images.images.shape
    device, by = images.images.device, pipeline.normaliser
    if isinstance(by, Affine):
        by = affine_on(by, device)
    drawn = [
        draw(step, seed, epoch, n, Shape(*shape), repeats=pipeline.repeats)
        if isinstance(step, PadCrop | Flip)
        else step
        for step in pipeline.steps
    ]
    for positions in chunks:
        indices = positions % n
        there = placed(indices, device)
        pixels = images.images.index_select(0, there)
        if pixels.dtype == torch.uint8:
            pixels = unit(pixels)
        for step in drawn:
            if isinstance(step, Crops | Mirrors):
                pixels = augment(pixels, positions, step)
            elif isinstance(step, Erase):
                draws = (generator(seed, "erase", *occasion(epoch, p // n), p % n) for p in positions.tolist())
                pixels = torch.stack([erased(image, step, draw) for image, draw in zip(pixels, draws, strict=True)])
            elif not isinstance(by, Whitening):  # `source` has applied a whitening
                pixels = normalised(pixels, by)
        PULSE.beat()
        yield Batch(pixels, images.labels.index_select(0, there), images.ids[indices])
