"""The steps on the images of a recipe, as values: normalisation, augmentation, views for testing."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from resatlas.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Mean and standard deviation of each channel, from 0 to 255, that a recipe states for a data set.

    Those of `imagenet` are used for every folder of photographs.
    """

    data: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(std > 0 for std in self.std):
            raise RecipeError(f"each channel needs a mean and a std above 0; got {self.mean} and {self.std}")


@dataclass(frozen=True, kw_only=True)
class Standardise:
    """x -> (x - mean)/std per channel, by the recipe's constants for the data, else measured on the training images."""

    constants: tuple[Constants, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SubtractMeanImage:
    """x -> (x - mean image of the training images)/255."""


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """x -> x/255."""


@dataclass(frozen=True, kw_only=True)
class Whiten:
    """Global contrast normalisation of each image, then ZCA fitted on the training images.

    x -> contrast·(x - mean x)/|x - mean x|, then V·(D + bias)^(-1/2)·V^T·(x - mean image), with V D V^T the
    covariance of the training images.
    """

    contrast: Fraction = Fraction(55)
    bias: Fraction = Fraction(1, 10)


Normalisation = Standardise | SubtractMeanImage | Rescale | Whiten


@dataclass(frozen=True, kw_only=True)
class PadCrop:
    """Pad every side by a share of the image, then crop the old size at random.

    The share is of the larger side: 1/8 is the usual 4 of 32 pixels. Zeros are black before the
    normalisation, the mean colour after it.
    """

    share: Fraction = Fraction(1, 8)
    fill: Literal["zeros", "reflection"] = "zeros"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError(f"pad-crop pads by a share from 0 to 1 of the image; got {self.share}")


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror left and right with probability one half, on data sets that allow it."""


@dataclass(frozen=True, kw_only=True)
class ScaleCrop:
    """Resize a photograph to a random scale, then crop the network's size at random.

    The shorter side is drawn from `least` to `most`, shares of the network's size: 8/7 to 15/7 is 256 to 480 at 224.
    With `stretch` s a ratio r is drawn from 1 - s to 1 + s; height and width are scaled by 2/(1 + r) and 2r/(1 + r).
    """

    least: Fraction = Fraction(256, 224)
    most: Fraction = Fraction(480, 224)
    stretch: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if not (1 <= self.least <= self.most <= 16 and 0 <= self.stretch < 1):
            raise RecipeError(
                f"a random scale lies between 1 and 16 and its stretch in [0, 1); {self.least} to {self.most}, "
                f"stretch {self.stretch} do not"
            )


@dataclass(frozen=True, kw_only=True)
class AreaCrop:
    """Crop a random share of a photograph's area at a random aspect ratio, resized to a share of the network's size.

    The area is uniform from `least` to 1, the logarithm of the ratio from -log `ratio` to log `ratio`; after ten
    draws that do not fit, the largest crop of an allowed ratio in the centre. A `side` below 1 trains on smaller images
    than are tested, since objects in random areas look larger than in the test's centre: 11/14 is 176 of 224.
    Source: FixRes paper (arXiv:1906.06423), for the side.
    """

    least: Fraction = Fraction(8, 100)
    ratio: Fraction = Fraction(4, 3)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    side: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if not (0 < self.least <= 1 <= self.ratio <= 4):
            raise RecipeError(
                f"a random area is a share up to 1 and its ratio from 1 to 4; {self.least} and {self.ratio} are not"
            )
        if not Fraction(1, 4) <= self.side <= 4:
            raise RecipeError(f"images for training have from 1/4 to 4 of the network's size; got {self.side}")


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Brightness, contrast and saturation, each scaled by a random factor in 1 ± its bound, in a random order."""

    brightness: Fraction = Fraction(4, 10)
    contrast: Fraction = Fraction(4, 10)
    saturation: Fraction = Fraction(4, 10)


@dataclass(frozen=True, kw_only=True)
class HslJitter:
    """Hue (of 180), saturation and lightness (of 255), each shifted at random by at most its bound.

    Source: the bounds are those of the DMRNet authors' recipe.
    """

    hue: int = 36
    saturation: int = 50
    lightness: int = 50


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """Adds N(0, std²)-weighted principal components of ImageNet's colours to every pixel.

    Source: AlexNet (NIPS 2012), section 4.1; components of fb.resnet.torch, datasets/imagenet.lua.
    """

    std: Fraction = Fraction(1, 10)


@dataclass(frozen=True, kw_only=True)
class TrivialAugment:
    """One of 14 operations on shape or colour, drawn evenly, at one of 31 strengths, drawn evenly: the wide space.

    The strongest shift moves the image by the share `shift` of the network's size: 1/7 is 32 of 224. What comes in from
    outside is black.
    Source: TrivialAugment paper (arXiv:2103.10158), its wide space; torchvision's TrivialAugmentWide.
    Differs: torchvision shifts by up to 32 pixels at every size.
    """

    shift: Fraction = Fraction(32, 224)

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 1:
            raise RecipeError(f"a shift is a share from 0 to 1 of the network's size; got {self.shift}")


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """`count` of 15 operations on shape or colour, drawn evenly and each carried out with probability one half.

    Each has a strength of its own, N(`magnitude`, `deviation`²) kept within 0 to 10. In the increasing space a larger
    strength changes an image more; in the mixed one colours are unchanged at 5, and 10 posterises and solarises least.
    What comes in from outside has the mean colour.
    Source: RandAugment paper (arXiv:1909.13719); timm's auto_augment.py: rand-m7-mstd0.5-inc1 is magnitude 7,
        deviation 1/2, increasing, and its "mixed" one is that without inc1.
    Differs: timm may draw bicubic interpolation for shapes, ours is bilinear.
    """

    magnitude: Fraction
    deviation: Fraction = Fraction(1, 2)
    count: int = 2
    space: Literal["increasing", "mixed"] = "increasing"

    def __post_init__(self) -> None:
        if not (0 <= self.magnitude <= 10 and 0 <= self.deviation <= 10 and 1 <= self.count <= 10):
            raise RecipeError(
                f"1 to 10 operations have a magnitude and a deviation from 0 to 10; {self.count} of {self.magnitude} "
                f"and {self.deviation} do not"
            )


@dataclass(frozen=True, kw_only=True)
class Erase:
    """A random rectangle of a normalised image becomes zeros, the mean colour, or noise N(0, 1) in every value.

    With that probability; its area is uniform from `least` to `most` of the image, the logarithm of height over width
    from log `narrowest` to log `widest`; after ten draws that do not fit, the image stays whole.
    Source: random-erasing paper (arXiv:1708.04896); the bounds are those of torchvision's RandomErasing.
    """

    probability: Fraction
    least: Fraction = Fraction(2, 100)
    most: Fraction = Fraction(33, 100)
    narrowest: Fraction = Fraction(3, 10)
    widest: Fraction = Fraction(33, 10)
    fill: Literal["zeros", "noise"] = "zeros"

    def __post_init__(self) -> None:
        if not (0 <= self.probability <= 1 and 0 < self.least <= self.most <= 1):
            raise RecipeError(
                f"erasing has a probability and shares of the area up to 1; {self.probability}, {self.least} and "
                f"{self.most} are not"
            )
        if not Fraction(1, 16) <= self.narrowest <= self.widest <= 16:
            raise RecipeError(
                f"what is erased has a ratio from 1/16 to 16; {self.narrowest} to {self.widest} is not within"
            )


@dataclass(frozen=True, kw_only=True)
class ShorterSide:
    """Resize an image with its objects: the shorter side has one of these lengths, the longer at most `longest`.

    One length is drawn for each image, all with the same probability; the shape is kept. An image whose longer side
    would be larger is resized less. It is for images with objects, in training alone.
    Source: Fast R-CNN paper (arXiv:1504.08083), section 5.2: 600 and 1,000.
    """

    lengths: tuple[int, ...] = (600,)
    longest: int = 1000

    def __post_init__(self) -> None:
        if not self.lengths or not all(1 <= length <= self.longest <= 8192 for length in self.lengths):
            raise RecipeError(
                f"a shorter side has one of several lengths from 1 pixel, the longer at most 8,192; "
                f"{self.lengths} and {self.longest} are not"
            )


Step = (
    Normalisation
    | PadCrop
    | Flip
    | ScaleCrop
    | AreaCrop
    | ColourJitter
    | HslJitter
    | Lighting
    | TrivialAugment
    | RandAugment
    | Erase
    | ShorterSide
)


BoxStep = Flip | ShorterSide | PadCrop | ColourJitter | HslJitter | Lighting
"""Steps with a meaning for boxes and masks: the same draw moves the image and all its objects."""

NORMALISATIONS = (Standardise, SubtractMeanImage, Rescale, Whiten)
PHOTOGRAPHIC = (ScaleCrop, AreaCrop, ColourJitter, HslJitter, Lighting, TrivialAugment, RandAugment)
"""Steps on single images, before they are normalised; the first two on photographs of any size."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """The centre of a photograph whose shorter side is a share of the network's size: 8/7 is 224 of 256.

    Images that have the network's size already are taken whole.
    """

    shorter: Fraction = Fraction(256, 224)
    scale: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if not (1 <= self.shorter <= 16 and 1 <= self.scale <= 16):
            raise RecipeError(f"a centre view has shares from 1 to 16; {self.shorter} and {self.scale} are not")


MeanOf = Literal["softmax", "logits"]
"""The quantity averaged over several views of an image."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """A centre view and its mirror image; the mean of the two predictions."""

    shorter: Fraction = Fraction(256, 224)
    scale: Fraction = Fraction(1)
    mean_of: MeanOf = "softmax"

    def __post_init__(self) -> None:
        Centre(shorter=self.shorter, scale=self.scale)


@dataclass(frozen=True, kw_only=True)
class TenCrops:
    """Four corners and the centre, each with its mirror image; the mean of the ten predictions.

    Source: AlexNet (NIPS 2012), section 4.1. The ResNet authors average the softmax, fb.resnet.torch the logits.
    """

    shorter: Fraction = Fraction(256, 224)
    mean_of: MeanOf = "softmax"

    def __post_init__(self) -> None:
        if not 1 < self.shorter <= 16:
            raise RecipeError(f"ten crops need a shorter side of more than 1, up to 16 crops; got {self.shorter}")


@dataclass(frozen=True, kw_only=True)
class MultiScale:
    """The whole image at several scales, the network applied as a convolution; shorter sides as shares of its size.

    Each scale gives one prediction; the result is their mean. `places` says how a map larger than in training is
    classified. pooled: by its mean over all places, which equals the mean of the logits of all places. windows: every
    window of the size of the training map is pooled and classified, and the result is the mean over the windows.
    Source: VGG paper (arXiv:1409.1556), section 3.2; ResNet paper (arXiv:1512.03385), section 4.1.
    """

    shorter: tuple[Fraction, ...]
    places: Literal["pooled", "windows"] = "pooled"
    flips: Literal["without", "with"] = "without"
    mean_of: MeanOf = "softmax"

    def __post_init__(self) -> None:
        if not self.shorter or len(set(self.shorter)) < len(self.shorter) or len(self.shorter) > 16:
            raise RecipeError(f"scales are 1 to 16, each once; {', '.join(map(str, self.shorter)) or 'none'} are not")
        if not all(1 <= share <= 16 for share in self.shorter):
            raise RecipeError(f"a scale is a share from 1 to 16; of {', '.join(map(str, self.shorter))} one is not")


View = Centre | Flips | TenCrops | MultiScale


def pixels(share: Fraction, of: int) -> int:
    """The nearest number of pixels to a share of a side."""
    return math.floor(share * of + Fraction(1, 2))


def pipeline_fault(steps: tuple[Step, ...]) -> str | None:
    """The fault in the choice or order of the steps, or None."""
    kinds = [type(step).__name__ for step in steps]
    if len(set(kinds)) < len(kinds):
        return f"images take each step once; {', '.join(kinds)} repeats one"
    places = [k for k, step in enumerate(steps) if isinstance(step, NORMALISATIONS)]
    if len(places) != 1:
        allowed = ", ".join(cls.__name__ for cls in NORMALISATIONS)
        return f"images are normalised once, by one of {allowed}; {', '.join(kinds) or 'nothing'} does not"
    if isinstance(steps[places[0]], Whiten) and places[0]:
        return f"whitening comes first; {kinds[0]} stands before it"
    late = [kind for kind, step in zip(kinds, steps, strict=True) if isinstance(step, (*PHOTOGRAPHIC, ShorterSide))]
    if late and kinds.index(late[-1]) > places[0]:
        return f"steps on photographs come before the normalisation; {late[-1]} stands after it"
    if "Erase" in kinds and kinds.index("Erase") < places[0]:
        return "zeros and noise are those of normalised images; Erase stands before the normalisation"
    resized = any(isinstance(step, AreaCrop) and step.side != 1 for step in steps)
    if resized and isinstance(steps[places[0]], SubtractMeanImage | Whiten):
        return f"{kinds[places[0]]} is for images of the network's size; AreaCrop with another side does not fit it"
    return None
