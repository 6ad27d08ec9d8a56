"""Images prepared one by one in worker processes: photographs in files, and images with steps for photographs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, assert_never

import torch
from jaxtyping import UInt8
from torch import Tensor

from resatlas.data.augment import Crops, Mirrors, augment, draw, erased
from resatlas.data.batch import Batch, Sample
from resatlas.data.dataset import ImageFiles, ImageSet, Part
from resatlas.data.folder import substitute
from resatlas.data.listing import printable
from resatlas.data.normalisation import mean_colour, normalised, unit
from resatlas.data.operations import augmented
from resatlas.data.order import generator, occasion
from resatlas.data.photograph import decoded
from resatlas.data.photographic import centre, coloured, placed
from resatlas.data.pipeline import Pipeline, Policy, ignore_note
from resatlas.data.readers import Found, Work, made
from resatlas.errors import DataError
from resatlas.recipes.images import (
    AreaCrop,
    ColourJitter,
    Erase,
    Flip,
    HslJitter,
    Lighting,
    PadCrop,
    RandAugment,
    Rescale,
    ScaleCrop,
    ShorterSide,
    Standardise,
    Step,
    SubtractMeanImage,
    TrivialAugment,
    Whiten,
)
from resatlas.values.cores import cores
from resatlas.values.pulse import PULSE

Make = Callable[[Tensor, int], Tensor]
"""Prepares an image for a batch, from its pixels, uint8 of (c, h, w), and its position, see `order.batch_positions`."""


def training(part: Part, pipeline: Pipeline, *, seed: int, epoch: int) -> Make:
    """The function that prepares an image for training in one epoch.

    Its random draws depend on the position only, which is k + n·r for the r-th repeat of image k of n.
    """
    n, shape = len(part), pipeline.trained(part.shape)
    drawn = {
        step: draw(step, seed, epoch, n, shape, repeats=pipeline.repeats)
        for step in pipeline.steps
        if isinstance(step, PadCrop | Flip)
    }
    moving = any(isinstance(step, ScaleCrop | AreaCrop) for step in pipeline.steps)

    def make(pixels: Tensor, position: int) -> Tensor:
        image = pixels if moving else centre(pixels, pipeline.view, part.shape.height)
        repeat, k = divmod(position, n)

        def drawing(word: str) -> torch.Generator:
            return generator(seed, word, *occasion(epoch, repeat), k)

        for step in pipeline.steps:
            image = _stepped(image, step, position, pipeline, drawn, drawing=drawing, size=part.shape.height)
        return image

    return make


def cropping(part: Part, pipeline: Pipeline) -> Make:
    """The function that crops an image to the view of the test."""
    return lambda pixels, _: centre(pixels, pipeline.view, part.shape.height)


def viewing(part: Part, pipeline: Pipeline) -> Make:
    """The same, normalised."""
    crop = cropping(part, pipeline)
    return lambda pixels, k: normalised(unit(crop(pixels, k))[None], pipeline.normaliser)[0]


def loaded(
    part: Part,
    make: Make,
    chunks: Sequence[Tensor],
    *,
    workers: int,
    policy: Policy | Literal["omit"],
    on_note: Callable[[str], None] = ignore_note,
) -> Iterator[Batch]:
    """A batch for each chunk of positions, in order, independent of the number of workers; at most one worker per core.

    A position beyond the images of the part is a repeat, as in `order.batch_positions`. Under "omit" unreadable
    images are left out, and so are chunks of only such images. `on_note` is called with a sentence if fewer processes
    can be started.

    Raises: DataError for an unreadable image (under "omit" if all are unreadable), or if a worker was killed.
    """
    import torchvision.transforms.v2.functional  # noqa: F401 - once here: else each worker imports it in every epoch

    omitting = policy == "omit"
    samples = Samples(part, make, "error" if policy == "omit" else policy)
    work = Work(
        chunks=[chunk.tolist() for chunk in chunks],
        make=samples.__getitem__,
        gather=_readable if omitting else _gathered,
        name=lambda position: _name(part, position % len(part)),
    )
    refusal = None
    count = 0
    for batch in made(work, readers=min(max(workers, 1), cores()), on_note=on_note):
        if not isinstance(batch, DataError):
            count += 1
            PULSE.beat()
            yield batch
        elif omitting:
            refusal = refusal or batch
        else:
            raise batch
    if refusal and not count:
        raise DataError(f"{refusal}; no other image of its part can be read")


class Samples:
    """The prepared images of a part by position, with label and id; or the error of an unreadable one."""

    def __init__(self, part: Part, make: Make, policy: Policy) -> None:
        self._part, self._make, self._policy = part, make, policy

    def __getitem__(self, index: int) -> Found:
        """The image at a position or its substitute; or the error."""
        try:
            k, pixels = self._readable(index % len(self._part))
        except DataError as error:
            return error
        return self._make(pixels, index), int(self._part.labels[k]), int(self._part.ids[k])

    def _readable(self, index: int) -> tuple[int, Tensor]:
        try:
            return index, pixels_of(self._part, index)
        except DataError as error:
            if self._policy == "error" or not isinstance(self._part, ImageFiles):
                raise
            first = error
        for k in substitute(self._part, index):
            try:
                return k, pixels_of(self._part, k)
            except DataError:
                continue
        raise DataError(f"{first}; no other image of its class can be read")


def pixels_of(part: Part, k: int) -> UInt8[Tensor, "c h w"]:
    """The pixels of one image of a part.

    Raises: DataError if its file cannot be read.
    """
    match part:
        case ImageSet():
            return torch.from_numpy(part.images[k])
        case ImageFiles():
            return torch.from_numpy(decoded(part.path(k)))
        case _:
            assert_never(part)


def _stepped(
    image: Tensor,
    step: Step,
    position: int,
    pipeline: Pipeline,
    drawn: dict[PadCrop | Flip, Crops | Mirrors],
    *,
    drawing: Callable[[str], torch.Generator],
    size: int,
) -> Tensor:
    match step:
        case ScaleCrop() | AreaCrop():
            return placed(image, step, size, drawing("place"))
        case ColourJitter() | HslJitter() | Lighting():
            return coloured(_from_0_to_1(image), step, drawing(type(step).__name__))
        case TrivialAugment() | RandAugment():
            mean = mean_colour(pipeline.normaliser)
            return augmented(_bytes(image), step, drawing(type(step).__name__), size=size, mean=mean)
        case PadCrop() | Flip():
            return augment(_from_0_to_1(image)[None], torch.tensor([position]), drawn[step])[0]
        case Erase():
            return erased(image, step, drawing("erase"))
        case ShorterSide():
            raise TypeError("ShorterSide is for images with objects, as studies.tasks checks")
        case Standardise() | SubtractMeanImage() | Rescale() | Whiten():
            return normalised(_from_0_to_1(image)[None], pipeline.normaliser)[0]
        case _:
            assert_never(step)


def _from_0_to_1(image: Tensor) -> Tensor:
    return unit(image) if image.dtype == torch.uint8 else image


def _bytes(image: Tensor) -> Tensor:
    return image if image.dtype == torch.uint8 else (image * 255).round_().clamp_(0, 255).to(torch.uint8)


def _gathered(samples: list[Found]) -> list[Sample] | DataError:
    """The samples of a batch, or the first error among them."""
    readable: list[Sample] = []
    for sample in samples:
        if isinstance(sample, DataError):
            return sample
        readable.append(sample)
    return readable


def _readable(samples: list[Found]) -> list[Sample] | DataError:
    """The samples of a batch without the errors among them, or the first error if there is nothing else."""
    return _gathered([sample for sample in samples if not isinstance(sample, DataError)] or samples)


def _name(part: Part, k: int) -> str:
    """The name of an image for an error message."""
    return printable(part.path(k)) if isinstance(part, ImageFiles) else f"image {int(part.ids[k]):,}"
