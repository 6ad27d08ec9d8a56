"""Batches of images as a network takes them: normalised, augmented, in an order that a resume finds again."""

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
    Normaliser,
    Whitening,
    by_constants,
    constants_for,
    measured,
    normalised,
    unit,
)
from resatlas.data.order import generator, occasion, shown
from resatlas.data.pipeline import Pipeline, Policy, unheard
from resatlas.recipes.images import NORMALISATIONS, Erase, Flip, PadCrop
from resatlas.recipes.recipe import Recipe
from resatlas.values.pulse import PULSE

MEASURED = 4096
"""Photographs on which a normalisation is measured at most, evenly spaced through the training part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resident:
    """A part in memory, to be prepared a whole batch at a time; whitened images are float32 already.

    Shape: images (n, c, h, w); labels and ids (n,).
    """

    images: Shaped[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    ids: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.images)


Source = Resident | Part


def source(part: Part, pipeline: Pipeline) -> Source:
    """The part as its batches are drawn from: in memory where no step wants single photographs."""
    if not isinstance(part, ImageSet) or pipeline.one_by_one:
        return part
    images = torch.from_numpy(part.images)
    if isinstance(pipeline.normaliser, Whitening):
        images = torch.cat([normalised(unit(chunk), pipeline.normaliser) for chunk in images.split(MEASURED)])
    return Resident(images=images, labels=torch.tensor(part.labels), ids=torch.tensor(part.ids))


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
    """The batches of one epoch, from number `start` on; of each, the positions that `share` takes.

    All have exactly `batch` images; those left over wait for the next epoch's order, or are a last, smaller batch. A
    part that is smaller than a batch is one batch. Number k is the same batch at every `start`.
    """
    chunks = shown(seed, epoch, len(images), repeats=pipeline.repeats, batch=batch)
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
    """Every image of the part exactly once, in order, as it is tested; batches may be smaller.

    No other image counts in the place of one that cannot be read: under "skip" it is left out.

    Raises: DataError for an image that cannot be read, under "skip" only where none can.
    """
    if isinstance(part, ImageFiles):
        chunks = torch.arange(len(part)).split(batch)
        policy = "omit" if pipeline.unreadable == "skip" else "error"
        make, note = viewing(part, pipeline), pipeline.on_note
        yield from loaded(part, make, chunks, workers=pipeline.workers, policy=policy, on_note=note)
        return
    for begin in range(0, len(part), batch):
        some = part.take(slice(begin, begin + batch))
        images = normalised(unit(torch.from_numpy(some.images)), pipeline.normaliser)
        yield Batch(images, torch.tensor(some.labels), torch.tensor(some.ids))


def pipeline_for(
    recipe: Recipe,
    data: DataSet,
    train: Part,
    *,
    normaliser: Normaliser | None = None,
    unreadable: Policy = "error",
    workers: int = 1,
    on_note: Callable[[str], None] = unheard,
) -> Pipeline:
    """The pipeline of a recipe on a data set, its normalisation measured on the training part unless it is given."""
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
    step = next(each for each in recipe.steps if isinstance(each, NORMALISATIONS))
    constants = constants_for(step, data.name, photographs=isinstance(train, ImageFiles))
    if constants and len(constants.mean) == data.image.channels:
        return by_constants(constants)
    return measured(step, _pixels(train, bare))


def _pixels(part: Part, bare: Pipeline) -> Tensor:
    """All images in memory, or the views of up to `MEASURED` photographs, evenly spaced."""
    if isinstance(part, ImageSet):
        return torch.from_numpy(part.images)
    count = min(len(part), MEASURED)
    places = torch.tensor([k * len(part) // count for k in range(count)])
    make, how = cropping(part, bare), bare.unreadable
    found = loaded(part, make, places.split(64), workers=bare.workers, policy=how, on_note=bare.on_note)
    return torch.cat([batch.images for batch in found])


def _at_once(images: Resident, pipeline: Pipeline, chunks: list[Tensor], *, seed: int, epoch: int) -> Iterator[Batch]:
    n, *shape = images.images.shape
    drawn = [
        draw(step, seed, epoch, n, Shape(*shape), repeats=pipeline.repeats)
        if isinstance(step, PadCrop | Flip)
        else step
        for step in pipeline.steps
    ]
    for positions in chunks:
        indices = positions % n
        made = images.images.index_select(0, indices)
        if made.dtype == torch.uint8:
            made = unit(made)
        for each in drawn:
            if isinstance(each, Crops | Mirrors):
                made = augment(made, positions, each)
            elif isinstance(each, Erase):
                draws = (generator(seed, "erase", *occasion(epoch, p // n), p % n) for p in positions.tolist())
                made = torch.stack([erased(image, each, one) for image, one in zip(made, draws, strict=True)])
            elif not isinstance(pipeline.normaliser, Whitening):  # which is done
                made = normalised(made, pipeline.normaliser)
        PULSE.beat()
        yield Batch(made, images.labels[indices], images.ids[indices])
