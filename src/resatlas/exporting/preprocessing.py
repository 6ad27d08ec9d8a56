"""What an image goes through before a saved network: its normalisation as numbers and back, and the way itself."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import assert_never

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.data import normalisation
from resatlas.data.catalog import NAMED, separated
from resatlas.data.normalisation import Normaliser, Whitening, normalised, read_normaliser, unit
from resatlas.data.photographic import centre
from resatlas.errors import CheckpointError, UsageError
from resatlas.exporting.config import NORMALISATION, Affine, Config, Numbers, Stored, file_in, read_config
from resatlas.exporting.seals import check_sealed
from resatlas.nets.preparation import Preparation
from resatlas.recipes.images import Centre

MOST_NUMBERS = 20_000
"""Numbers that JSON still holds: the mean image of 3x32x32 has 3,072; a whitening of it 9 million."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessing:
    """From the pixels of an image to what a network takes: their centre in its size, from 0 to 1, normalised."""

    image: Shape
    view: Centre
    normaliser: Normaliser


def preprocessing(folder: str | Path) -> Callable[[UInt8[Tensor, "c h w"]], Float[Tensor, "c h2 w2"]]:
    """The function from an image's pixels to what a saved network takes, as its test images were prepared.

    Pixels are uint8 of (channels, height, width), red, green and blue or grey as the network has them.
    Raises: FolderError, CheckpointError if the folder is none of a saved network, or does not know.
    """
    return partial(prepared, by=read_preprocessing(folder))


def read_preprocessing(folder: str | Path) -> Preprocessing:
    """What an image goes through before a saved network, as its folder says.

    Raises: as `preprocessing`.
    """
    config = read_config(folder)
    if config.view is None or config.normalisation is None:
        raise CheckpointError(
            f"{folder} does not know how images are prepared: it was saved from a network, and not from its run"
        )
    return Preprocessing(image=config.image, view=config.view, normaliser=_normaliser(Path(folder), config))


def prepared(pixels: UInt8[Tensor, "c h w"], by: Preprocessing) -> Float[Tensor, "c h2 w2"]:
    """The pixels of one image as the network takes them.

    Raises: UsageError if they are no image of the network's channels.
    """
    c, h, w = by.image
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or len(pixels) != c or 0 in pixels.shape:
        kind = str(pixels.dtype).removeprefix("torch.")
        raise UsageError(f"an image is uint8 of ({c}, height, width); this is {kind} of {tuple(pixels.shape)}")
    if h != w and tuple(pixels.shape) != by.image:
        raise UsageError(f"the network takes images {by.image}, and no centre of {Shape(*pixels.shape)} is that")
    shown = pixels if tuple(pixels.shape) == by.image else centre(pixels, by.view, h)
    return normalised(unit(shown)[None], by.normaliser)[0]


def preparation_of(config: Config) -> Preparation | str:
    """How images are prepared for a saved network, in the words of other libraries, or why these have none.

    Images of a data set that has the network's size are taken whole; of photographs the centre is cropped.
    """
    name = separated(config.training.data)[0] if config.training else ""
    whole = name in NAMED and name != "imagenet"
    if config.view is None:
        return Preparation()
    match config.normalisation:
        case None:
            return Preparation()
        case Affine(mean=mean, std=std) if all(len(each) == len(each[0]) == 1 for each in (*mean, *std)):
            return Preparation(
                mean=tuple(each[0][0] for each in mean),
                std=tuple(each[0][0] for each in std),
                crop_share=1.0 if whole else float(1 / config.view.shorter),
            )
        case Affine():
            kind = "a mean image, a number for each pixel"
        case Stored():
            kind = "more numbers than one for each channel"
        case _:
            assert_never(config.normalisation)
    return (
        f"images of this network are normalised by {kind}, and timm's settings have one number for each channel; "
        "resatlas.preprocessing(folder) prepares them"
    )


def view_of(preparation: Preparation) -> Centre:
    """The part of an image that a preparation keeps.

    Raises: UsageError if its share is none.
    """
    if not 1 / 16 <= preparation.crop_share <= 1:
        raise UsageError(f"crop_share lies between 1/16 and 1; {preparation.crop_share:g} does not")
    return Centre(shorter=1 / Fraction(str(preparation.crop_share)))


def affine_of(preparation: Preparation, channels: int) -> Affine:
    """The normalisation of a preparation: a mean and a deviation for each channel.

    Raises: UsageError if it has them for another number of channels, or if one of them cannot be used.
    """
    for name, values in (("mean", preparation.mean), ("std", preparation.std)):
        if len(values) not in (1, channels):
            raise UsageError(
                f"{name} has {len(values)} numbers; the network's images have {channels} channels: give "
                f"{channels}, or 1 for all"
            )
    mean, std = (
        tuple(((float(value),),) for value in (values * channels if len(values) == 1 else values))
        for values in (preparation.mean, preparation.std)
    )
    return Affine(mean=mean, std=std)


def as_numbers(normaliser: Normaliser) -> Affine | None:
    """The normalisation as numbers for JSON; None where they are too many."""
    match normaliser:
        case normalisation.Affine(mean=mean, std=std) if mean.numel() + std.numel() <= MOST_NUMBERS:
            return Affine(mean=_numbers(mean), std=_numbers(std))
        case normalisation.Affine() | Whitening():
            return None
        case _:
            assert_never(normaliser)


def _normaliser(folder: Path, config: Config) -> Normaliser:
    """The normalisation of a saved network, of a shape that its images have."""
    match config.normalisation:
        case Affine(mean=mean, std=std):
            found = normalisation.Affine(mean=torch.tensor(mean), std=torch.tensor(std))
        case Stored(sha256=sha256):
            file = file_in(folder, NORMALISATION)
            check_sealed(file, sha256)
            found = read_normaliser(file)
        case None:
            raise CheckpointError(f"{folder} does not know how images are normalised")
        case _:
            assert_never(config.normalisation)
    if not _suits(found, config.image):
        raise CheckpointError(f"{folder}: its normalisation is not one of images {config.image}")
    return found


def _suits(normaliser: Normaliser, image: Shape) -> bool:
    """Whether a normalisation has finite numbers for each channel or value of an image."""
    values = image.channels * image.height * image.width
    match normaliser:
        case normalisation.Affine():
            known = {tuple(image), (image.channels, 1, 1)}
            shaped = all(tuple(each.shape) in known for each in (normaliser.mean, normaliser.std))
        case Whitening(mean=mean, matrix=matrix, contrast=contrast):
            shaped = (mean.shape, matrix.shape, contrast.shape) == ((values,), (values, values), ())
        case _:
            assert_never(normaliser)
    return shaped and all(bool(each.isfinite().all()) for each in vars(normaliser).values())


def _numbers(tensor: Float[Tensor, "c h w"]) -> Numbers:
    return tuple(tuple(tuple(row) for row in channel) for channel in tensor.tolist())
