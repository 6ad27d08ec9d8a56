"""The normalisation of a recipe, measured on the training images and stored with the run."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import assert_never

import torch
from jaxtyping import Float, Int64, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from resatlas.data.placing import placed
from resatlas.errors import CheckpointError
from resatlas.recipes.images import Constants, Normalisation, Rescale, Standardise, SubtractMeanImage, Whiten
from resatlas.values.reading import content

_FLAT = 1e-8
"""A contrast below which an image counts as flat, and is not scaled. Source: pylearn2, global_contrast_normalize."""

CHUNK = 4096  # images that are summed at a time, since sums copy what they add up


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """x -> (x - mean)/std, for x from 0 to 1.

    Shape: mean and std (c, 1, 1) or (c, h, w).
    """

    mean: Float[Tensor, "#c #h #w"]
    std: Float[Tensor, "#c #h #w"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """x -> matrix·(contrast·(x - mean x)/|x - mean x| - mean), over all values of an image.

    Shape: mean (d,), matrix (d, d), d = c·h·w; contrast ().
    """

    mean: Float[Tensor, " d"]
    matrix: Float[Tensor, "d d"]
    contrast: Float[Tensor, ""]


Normaliser = Affine | Whitening

UNTOUCHED = Affine(mean=torch.zeros(1, 1, 1), std=torch.ones(1, 1, 1))


def normalised(images: Float[Tensor, "n c h w"], by: Normaliser) -> Float[Tensor, "n c h w"]:
    """The images, from 0 to 1, as a network takes them."""
    match by:
        case Affine(mean=mean, std=std):
            return (images - mean).div_(std)
        case Whitening(mean=mean, matrix=matrix, contrast=contrast):
            return ((_contrasted(images, contrast) - mean) @ matrix).view_as(images)
        case _:
            assert_never(by)


def unit(images: UInt8[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    """The images from 0 to 1."""
    most = torch.full((), 255.0, device=images.device)  # a GPU would multiply by the inverse of a number of Python
    return images.to(torch.float32).div_(most)


def affine_on(by: Affine, device: torch.device) -> Affine:
    """The same normalisation for images on a device."""
    return Affine(mean=placed(by.mean, device), std=placed(by.std, device))


def _contrasted(images: Float[Tensor, "n c h w"], contrast: Float[Tensor, ""]) -> Float[Tensor, "n d"]:
    """Each image as a vector of mean 0 and of length `contrast`; flat ones stay near 0."""
    vectors = images.flatten(1)
    vectors = vectors - vectors.mean(dim=1, keepdim=True)
    lengths = vectors.norm(dim=1, keepdim=True)
    return contrast * vectors / torch.where(lengths < _FLAT, 1, lengths)


def by_constants(constants: Constants) -> Affine:
    """The normalisation by the constants of a recipe."""
    return _per_channel([mean / 255 for mean in constants.mean], [std / 255 for std in constants.std])


def measured(step: Normalisation, images: UInt8[Tensor, "n c h w"]) -> Normaliser:
    """The normalisation measured on these training images."""
    match step:
        case Standardise():
            return standardised(levels(images))
        case Rescale():
            return _per_channel([0.0] * images.shape[1], [1.0] * images.shape[1])
        case SubtractMeanImage():
            total = torch.zeros(images.shape[1:], dtype=torch.int64)
            for chunk in images.split(CHUNK):
                total += chunk.sum(dim=0, dtype=torch.int64)
            mean = (total.to(torch.float64) / (255 * len(images))).to(torch.float32)
            return Affine(mean=mean, std=torch.ones(len(mean), 1, 1))
        case Whiten():
            return _whitening(step, images)
        case _:
            assert_never(step)


def mean_colour(by: Normaliser) -> tuple[float, ...]:
    """The colour that the normalisation maps to about 0: a whole number from 0 to 255 for each channel.

    Source: timm's transforms_factory.py, which rounds ImageNet's mean in the same way.
    """
    assert isinstance(by, Affine)  # noqa: S101 - nothing comes before a whitening
    return tuple(float(round(255 * mean)) for mean in by.mean.mean(dim=(1, 2)).tolist())


def constants_for(step: Normalisation, data: str, *, photographs: bool) -> Constants | None:
    """The recipe's constants for a DATA text: its own, or those of ImageNet for photographs in folders."""
    written = {constants.data: constants for constants in step.constants} if isinstance(step, Standardise) else {}
    return written.get(data.partition(":")[0]) or (written.get("imagenet") if photographs else None)


def normaliser_bytes(normaliser: Normaliser) -> bytes:
    """The normaliser as the content of a safetensors file, with its kind as metadata."""
    tensors = {name: tensor.contiguous() for name, tensor in vars(normaliser).items()}
    return save(tensors, metadata={"kind": type(normaliser).__name__})


def read_normaliser(file: Path) -> Normaliser:
    """The normaliser of a file written from `normaliser_bytes`.

    Raises: CheckpointError if the file is missing or damaged.
    """
    try:
        whole = content(file)  # by ourselves: the library opens no file whose name is not UTF-8
        tensors = load(whole)
        head = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
        kind = {cls.__name__: cls for cls in (Affine, Whitening)}[head.get("__metadata__", {}).get("kind", "")]
        return kind(**tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{file} is missing or damaged; it says how the run normalises its images") from None


def _per_channel(mean: list[float], std: list[float]) -> Affine:
    return Affine(mean=torch.tensor(mean)[:, None, None], std=torch.tensor(std)[:, None, None])


def levels(images: UInt8[Tensor, "n c h w"]) -> Int64[Tensor, "c 256"]:
    """How many values of each channel are 0, 1, … 255."""
    return torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])


def sum_of(counts: Iterable[Int64[Tensor, "c 256"]]) -> Int64[Tensor, "c 256"]:
    """The counts of all images, of which there is at least one."""
    return reduce(torch.add, counts)


def standardised(counts: Int64[Tensor, "c 256"]) -> Affine:
    """Each channel minus its mean, over its standard deviation, from the counts of its values.

    Both are exact up to one rounding; a constant channel has std 1.
    """
    means: list[float] = []
    stds: list[float] = []
    for channel in counts.tolist():
        n = sum(channel)
        first = sum(count * x for x, count in enumerate(channel))
        second = sum(count * x**2 for x, count in enumerate(channel))
        means.append(first / (255 * n))
        stds.append(math.sqrt(n * second - first**2) / (255 * n) or 1.0)
    return _per_channel(means, stds)


def _whitening(step: Whiten, images: UInt8[Tensor, "n c h w"]) -> Whitening:
    """Symmetric whitening, fitted in float64.

    Source: pylearn2, make_cifar10_gcn_whitened.py (contrast 55) and preprocessing.py, class ZCA (bias 0.1).
    """
    contrast = torch.tensor(float(step.contrast))
    total = torch.zeros(images[0].numel(), dtype=torch.float64)
    for chunk in images.split(CHUNK):
        total += _contrasted(unit(chunk), contrast).sum(dim=0, dtype=torch.float64)
    mean = total / len(images)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in images.split(CHUNK):
        centred = _contrasted(unit(chunk), contrast) - mean
        covariance.addmm_(centred.T, centred)
    values, axes = torch.linalg.eigh(covariance / len(images))
    matrix = (axes * (values.clamp(min=0) + float(step.bias)).rsqrt()) @ axes.T
    return Whitening(mean=mean.to(torch.float32), matrix=matrix.to(torch.float32), contrast=contrast)
