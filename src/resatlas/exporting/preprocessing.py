"""Preparation of images for a saved network: crop, normalisation, and their description in config.json."""

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
from resatlas.data.annotated_batches import network_pixels
from resatlas.data.catalog import NAMED, separated
from resatlas.data.normalisation import Normaliser, Whitening, normalised, read_normaliser, unit
from resatlas.data.photographic import Interpolation, centre
from resatlas.errors import CheckpointError, UsageError
from resatlas.exporting.config import NORMALISATION, Affine, Config, Numbers, Stored, file_in, read_config
from resatlas.exporting.found_config import is_found, read_found_config
from resatlas.exporting.seals import check_sealed
from resatlas.nets.preparation import Preparation
from resatlas.recipes.images import Centre

_MAX_NUMBERS = 20_000

_LARGEST_SIDE = 4096
"""A crop share is a ratio of two sides in pixels, of which the larger is at most this."""
"""The largest normalisation in JSON: a mean image of 3x32x32 has 3,072 numbers, its whitening 9 million."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessing:
    """The preparation of an image: its centre in the network's size, pixels from 0 to 1, normalised.

    `interpolation` is how it is resized before the crop.
    """

    image: Shape
    view: Centre
    normaliser: Normaliser
    interpolation: Interpolation = "bilinear"


def preprocessing(folder: str | Path) -> Callable[[UInt8[Tensor, "c h w"]], Float[Tensor, "c h2 w2"]]:
    """The function that prepares an image for a saved network, as its test images were prepared.

    Its argument is a uint8 tensor of shape (channels, height, width), in RGB or grey as the network needs. Detectors
    and segmenters take the whole image, in its own size.
    Raises: FolderError or CheckpointError if the folder is not a saved network, or does not describe the preparation.
    """
    if is_found(folder):
        return partial(whole, by=read_normalisation(folder, read_found_config(folder).network))
    return partial(prepared, by=read_preprocessing(folder))


def whole(pixels: UInt8[Tensor, "c h w"], by: Normaliser) -> Float[Tensor, "c h w"]:
    """The pixels of an image, normalised for a detector or a segmenter.

    Raises: UsageError if the pixels have another type or shape.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or 0 in pixels.shape:
        kind = str(pixels.dtype).removeprefix("torch.")
        raise UsageError(
            f"an image must be uint8 of shape (channels, height, width); got {kind} of shape {tuple(pixels.shape)}"
        )
    return network_pixels(pixels.permute(1, 2, 0), by)


def read_preprocessing(folder: str | Path) -> Preprocessing:
    """The preparation of images that the folder of a saved network describes.

    Raises: as `preprocessing`.
    """
    config = read_config(folder)
    if config.view is None or config.normalisation is None:
        raise CheckpointError(
            f"{folder} does not say how images are prepared: it was saved without a run or a preparation"
        )
    return Preprocessing(image=config.image, view=config.view, normaliser=read_normalisation(folder, config))


def prepared(pixels: UInt8[Tensor, "c h w"], by: Preprocessing) -> Float[Tensor, "c h2 w2"]:
    """The pixels of one image, prepared for the network.

    Raises: UsageError if the pixels have another type or shape.
    """
    return normalised(unit(cropped(pixels, by.image, by.view, by.interpolation))[None], by.normaliser)[0]


def cropped(
    pixels: UInt8[Tensor, "c h w"], image: Shape, view: Centre, interpolation: Interpolation = "bilinear"
) -> UInt8[Tensor, "c h2 w2"]:
    """The centre of an image in the network's size; an image of that size is taken whole.

    Raises: UsageError if the pixels have another type or shape.
    """
    c, h, w = image
    if pixels.dtype != torch.uint8 or pixels.ndim != 3 or len(pixels) != c or 0 in pixels.shape:
        kind = str(pixels.dtype).removeprefix("torch.")
        raise UsageError(
            f"an image must be uint8 of shape ({c}, height, width); got {kind} of shape {tuple(pixels.shape)}"
        )
    if h != w and tuple(pixels.shape) != image:
        raise UsageError(f"the network needs images {image}, which cannot be cropped from {Shape(*pixels.shape)}")
    return pixels if tuple(pixels.shape) == image else centre(pixels, view, h, interpolation)


def network_input(pixels: UInt8[Tensor, "3 h w"], by: Preprocessing) -> Float[Tensor, "c h2 w2"]:
    """The RGB pixels of an image file, prepared for the network.

    Raises: UsageError if the network takes images of neither one nor three channels, or of another shape.
    """
    return prepared(in_channels(pixels, by.image.channels), by)


def in_channels(pixels: UInt8[Tensor, "3 h w"], channels: int) -> UInt8[Tensor, "c h w"]:
    """RGB pixels for a network of three channels; their luma for a network of one.

    Raises: UsageError for any other number of channels.
    Source: ITU-R BT.601, luma: 0.299 red + 0.587 green + 0.114 blue.
    """
    if channels == 3:
        return pixels
    if channels != 1:
        raise UsageError(f"the network takes images of {channels} channels; image files have 3, or 1 (greyscale)")
    red, green, blue = pixels.int()
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).byte()[None]


def preparation_of(config: Config) -> Preparation | str:
    """The preparation of images for a saved network, or the reason why `Preparation` cannot express it.

    Images of a data set with the network's size are not cropped; photographs are.
    """
    name = separated(config.training.data)[0] if config.training else ""
    whole = name in NAMED and name != "imagenet"
    if config.view is None:
        return Preparation()
    match config.normalisation:
        case None:
            return Preparation()
        case Affine(mean=mean, std=std) if all(len(rows) == len(rows[0]) == 1 for rows in (*mean, *std)):
            return Preparation(
                mean=tuple(rows[0][0] for rows in mean),
                std=tuple(rows[0][0] for rows in std),
                crop_share=1.0 if whole else float(1 / config.view.shorter),
            )
        case Affine():
            kind = "one number per pixel (a mean image)"
        case Stored():
            kind = "more than one number per channel"
        case _:
            assert_never(config.normalisation)
    return (
        f"images of this network are normalised with {kind}, which timm's settings cannot express; use "
        "resatlas.preprocessing(folder)"
    )


def view_of(preparation: Preparation) -> Centre:
    """The part of an image that a preparation keeps.

    Raises: UsageError if its crop share is out of range.
    """
    if not 1 / 16 <= preparation.crop_share <= 1:
        raise UsageError(f"crop_share must be between 1/16 and 1; got {preparation.crop_share:g}")
    return Centre(shorter=1 / Fraction(str(preparation.crop_share)).limit_denominator(_LARGEST_SIDE))


def affine_of(preparation: Preparation, channels: int) -> Affine:
    """The normalisation of a preparation: mean and standard deviation of each channel.

    Raises: UsageError if it has another number of channels, or invalid values.
    """
    for name, values in (("mean", preparation.mean), ("std", preparation.std)):
        if len(values) not in (1, channels):
            raise UsageError(
                f"{name} has {len(values)} numbers; the network's images have {channels} channels, so give "
                f"{channels} numbers, or 1 for all"
            )
    mean, std = (
        tuple(((float(value),),) for value in (values * channels if len(values) == 1 else values))
        for values in (preparation.mean, preparation.std)
    )
    return Affine(mean=mean, std=std)


def as_numbers(normaliser: Normaliser) -> Affine | None:
    """The normalisation as numbers for JSON; None if there are too many."""
    match normaliser:
        case normalisation.Affine(mean=mean, std=std) if mean.numel() + std.numel() <= _MAX_NUMBERS:
            return Affine(mean=_numbers(mean), std=_numbers(std))
        case normalisation.Affine() | Whitening():
            return None
        case _:
            assert_never(normaliser)


def read_normalisation(folder: str | Path, config: Config) -> Normaliser:
    """The normalisation of a saved network, after a check of its shape.

    Raises: CheckpointError if there is none, or it is for other images.
    """
    match config.normalisation:
        case Affine(mean=mean, std=std):
            normaliser = normalisation.Affine(mean=torch.tensor(mean), std=torch.tensor(std))
        case Stored(sha256=sha256):
            file = file_in(Path(folder), NORMALISATION)
            check_sealed(file, sha256)
            normaliser = read_normaliser(file)
        case None:
            raise CheckpointError(f"{folder} does not say how images are normalised")
        case _:
            assert_never(config.normalisation)
    if not _matches(normaliser, config.image):
        raise CheckpointError(f"{folder}: its normalisation is not for images {config.image}")
    return normaliser


def _matches(normaliser: Normaliser, image: Shape) -> bool:
    """Whether a normalisation has finite numbers, and the shape of an image or of its channels."""
    size = image.channels * image.height * image.width
    match normaliser:
        case normalisation.Affine():
            allowed = {tuple(image), (image.channels, 1, 1)}
            right_shape = all(tuple(values.shape) in allowed for values in (normaliser.mean, normaliser.std))
        case Whitening(mean=mean, matrix=matrix, contrast=contrast):
            right_shape = (mean.shape, matrix.shape, contrast.shape) == ((size,), (size, size), ())
        case _:
            assert_never(normaliser)
    return right_shape and all(bool(tensor.isfinite().all()) for tensor in vars(normaliser).values())


def _numbers(tensor: Float[Tensor, "c h w"]) -> Numbers:
    return tuple(tuple(tuple(row) for row in channel) for channel in tensor.tolist())
