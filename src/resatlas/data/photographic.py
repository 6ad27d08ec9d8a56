"""Steps on single photographs, by torchvision's transforms: scales, crops, colours; each with draws of its own."""

import math
from typing import Literal, assert_never

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from resatlas.recipes.images import AreaCrop, Centre, ColourJitter, HslJitter, Lighting, ScaleCrop, pixels

COMPONENTS = torch.tensor(
    ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)), dtype=torch.float32
)
"""Principal components of ImageNet's colours, a column each. Source: fb.resnet.torch, datasets/imagenet.lua."""

VARIANCES = torch.tensor((0.2175, 0.0188, 0.0045), dtype=torch.float32)
"""Their eigenvalues, as the same file weighs them."""

_TRIES = 10
"""Draws of an area before the centre is taken. Source: fb.resnet.torch, datasets/transforms.lua, RandomSizedCrop."""

LONG = 4
"""Of a photograph with sides of a ratio beyond this only what a crop shows is resized: the whole may take gigabytes."""

_SUPPORT = 2  # pixels beyond a crop that its edges are interpolated from, of the image or as resized

Photograph = UInt8[Tensor, "c h w"]
Square = UInt8[Tensor, "c s s"]
Interpolation = Literal["bilinear", "bicubic"]


def centre(image: Photograph, view: Centre, size: int, interpolation: Interpolation = "bilinear") -> Square:
    """The centre crop of `size` after the shorter side has become its share `view.shorter`, antialiased.

    An image of that size already is whole.
    """
    h, w = image.shape[1:]
    if h == w == size:
        return image
    side = math.floor(view.shorter * size + 0.5)
    height, width = (side * h // min(h, w), side * w // min(h, w))
    corner = (round((height - size) / 2), round((width - size) / 2))
    return resized_crop(image, (height, width), corner, size, interpolation)


def placed(image: Photograph, step: ScaleCrop | AreaCrop, size: int, draw: torch.Generator) -> Square:
    """A crop at a random place and scale, of the network's `size` or of the share of it that the step says."""
    match step:
        case ScaleCrop():
            return _scaled(image, step, size, draw)
        case AreaCrop():
            return _area(image, step, pixels(step.side, size), draw)
        case _:
            assert_never(step)


def coloured(
    image: Float[Tensor, "c h w"], step: ColourJitter | HslJitter | Lighting, draw: torch.Generator
) -> Float[Tensor, "c h w"]:
    """The image, from 0 to 1, in other colours."""
    match step:
        case ColourJitter():
            return _jittered(image, step, draw)
        case HslJitter():
            return _shifted(image, step, draw)
        case Lighting(std=std):
            weights = torch.randn(3, generator=draw) * float(std) * VARIANCES
            return image + (COMPONENTS @ weights)[:, None, None]
        case _:
            assert_never(step)


def _scaled(image: Photograph, step: ScaleCrop, size: int, draw: torch.Generator) -> Square:
    least, most = (math.floor(share * size + 0.5) for share in (step.least, step.most))
    side = int(torch.randint(least, most + 1, (), generator=draw))
    ratio = 1 + float(step.stretch) * (2 * _uniform(draw) - 1)
    h, w = image.shape[1:]
    scale = side / min(h, w) * 2 / (1 + ratio)
    height, width = max(round(h * scale), size), max(round(w * scale * ratio), size)
    return resized_crop(image, (height, width), (_corner(draw, height - size), _corner(draw, width - size)), size)


def _area(image: Photograph, step: AreaCrop, size: int, draw: torch.Generator) -> Square:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as V

    interpolation = InterpolationMode(step.interpolation)
    h, w = image.shape[1:]
    bound = math.log(step.ratio)
    for _ in range(_TRIES):
        area = h * w * (float(step.least) + (1 - float(step.least)) * _uniform(draw))
        ratio = math.exp(bound * (2 * _uniform(draw) - 1))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= w and 0 < height <= h:
            top, left = _corner(draw, h - height), _corner(draw, w - width)
            return V.resized_crop(image, top, left, height, width, [size, size], interpolation, antialias=True)
    width, height = min(w, round(h * step.ratio)), min(h, round(w * step.ratio))
    return V.resized_crop(
        image, (h - height) // 2, (w - width) // 2, height, width, [size, size], interpolation, antialias=True
    )


def _jittered(image: Float[Tensor, "c h w"], step: ColourJitter, draw: torch.Generator) -> Float[Tensor, "c h w"]:
    from torchvision.transforms.v2 import functional as V

    changes = (
        (V.adjust_brightness, step.brightness),
        (V.adjust_contrast, step.contrast),
        (V.adjust_saturation, step.saturation),
    )
    for k in torch.randperm(len(changes), generator=draw).tolist():
        change, most = changes[k]
        image = change(image, 1 + float(most) * (2 * _uniform(draw) - 1))
    return image


def _shifted(image: Float[Tensor, "c h w"], step: HslJitter, draw: torch.Generator) -> Float[Tensor, "c h w"]:
    """Hue turned, saturation and lightness moved and clamped, in the hue-saturation-lightness model.

    Source: MXNet's default augmenter, which DMRNet's authors configure.
    """
    most = (step.hue / 180, step.saturation / 255, step.lightness / 255)
    hue, saturation, lightness = (
        channel + bound * (2 * _uniform(draw) - 1) for channel, bound in zip(_hsl(image), most, strict=True)
    )
    return _rgb(hue % 1, saturation.clamp(0, 1), lightness.clamp(0, 1))


def _hsl(image: Float[Tensor, "3 h w"]) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Hue, saturation and lightness, from 0 to 1."""
    red, green, blue = image
    high, low = image.amax(dim=0), image.amin(dim=0)
    lightness = (high + low) / 2
    chroma = high - low
    saturation = (chroma / (1 - (2 * lightness - 1).abs()).clamp(min=1e-12)).clamp(0, 1)
    width = torch.where(chroma > 0, chroma, 1)  # grey has no hue
    from_green, from_blue = (blue - red) / width + 2, (red - green) / width + 4
    hue = torch.where(high == red, (green - blue) / width % 6, torch.where(high == green, from_green, from_blue))
    return hue / 6, saturation, lightness


def _rgb(
    hue: Float[Tensor, "h w"], saturation: Float[Tensor, "h w"], lightness: Float[Tensor, "h w"]
) -> Float[Tensor, "3 h w"]:
    """Red, green, blue: l - s·min(l, 1 - l)·max(-1, min(k - 3, 9 - k, 1)), k = (n + 12·hue) mod 12, n = 0, 8, 4."""
    chroma = saturation * torch.minimum(lightness, 1 - lightness)
    turns = [(n + 12 * hue) % 12 for n in (0, 8, 4)]
    return torch.stack([lightness - chroma * torch.minimum(k - 3, 9 - k).clamp(-1, 1) for k in turns])


def resized_crop(
    image: Photograph,
    sides: tuple[int, int],
    corner: tuple[int, int],
    size: int,
    interpolation: Interpolation = "bilinear",
) -> Square:
    """The crop of `size` at the corner (top, left) of the image after it has become (height, width) = `sides`."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as V

    h, w = image.shape[1:]
    (height, width), (top, left) = sides, corner
    if h > LONG * w:
        first, last, height, top = _strip(h, height, top, size)
        image = image[:, first:last]
    if w > LONG * h:
        first, last, width, left = _strip(w, width, left, size)
        image = image[:, :, first:last]
    resized = V.resize(image, [height, width], interpolation=InterpolationMode(interpolation), antialias=True)
    return V.crop(resized, top, left, size, size)


def _strip(length: int, resized: int, start: int, size: int) -> tuple[int, int, int, int]:
    """(first, last, resized, start) of the part of a side that its crop shows; the crop may move by a pixel."""
    share = length / resized
    margin = _SUPPORT * max(share, 1)
    first = max(math.floor(start * share - margin), 0)
    last = min(math.ceil((start + size) * share + margin), length)
    shorter = max(round((last - first) / share), size)
    return first, last, shorter, min(max(start - round(first / share), 0), shorter - size)


def _uniform(draw: torch.Generator) -> float:
    return float(torch.rand((), generator=draw, dtype=torch.float64))


def _corner(draw: torch.Generator, room: int) -> int:
    return int(torch.randint(room + 1, (), generator=draw))
