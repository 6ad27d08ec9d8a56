"""What happens to the images of a recipe, step by step, as values: normalisation, augmentation, views for testing."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from resatlas.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Mean and standard deviation of each channel, from 0 to 255, that a recipe writes down for a data set.

    Those of `imagenet` serve every folder of photographs.
    """

    data: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(std > 0 for std in self.std):
            raise RecipeError(f"each channel has a mean and a std above 0; {self.mean} and {self.std} are not that")


@dataclass(frozen=True, kw_only=True)
class Standardise:
    """x -> (x - mean)/std a channel, by the recipe's constants for the data, else measured on the training images."""

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

    The share speaks of the larger side: 1/8 is the usual 4 of 32 pixels. Zeros that follow the normalisation are the
    mean colour, zeros before it black.
    """

    share: Fraction = Fraction(1, 8)
    fill: Literal["zeros", "reflection"] = "zeros"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError(f"pad-crop pads by a share from 0 to 1 of the image; {self.share} is not")


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
    """Crop a random share of a photograph's area at a random aspect ratio, resized to the network's size.

    The area is uniform from `least` to 1, the logarithm of the ratio from -log `ratio` to log `ratio`; after ten
    draws that do not fit, the largest crop of an allowed ratio in the centre.
    """

    least: Fraction = Fraction(8, 100)
    ratio: Fraction = Fraction(4, 3)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        if not (0 < self.least <= 1 <= self.ratio <= 4):
            raise RecipeError(
                f"a random area is a share up to 1 and its ratio from 1 to 4; {self.least} and {self.ratio} are not"
            )


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Brightness, contrast and saturation scaled by 1 ± up to so much each, in a random order."""

    brightness: Fraction = Fraction(4, 10)
    contrast: Fraction = Fraction(4, 10)
    saturation: Fraction = Fraction(4, 10)


@dataclass(frozen=True, kw_only=True)
class HslJitter:
    """Hue (of 180), saturation and lightness (of 255) shifted by up to so much each."""

    hue: int
    saturation: int
    lightness: int


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """Adds N(0, std²)-weighted principal components of ImageNet's colours to every pixel.

    Source: AlexNet (NIPS 2012), section 4.1; components of fb.resnet.torch, datasets/imagenet.lua.
    """

    std: Fraction = Fraction(1, 10)


Step = Normalisation | PadCrop | Flip | ScaleCrop | AreaCrop | ColourJitter | HslJitter | Lighting

NORMALISATIONS = (Standardise, SubtractMeanImage, Rescale, Whiten)
PHOTOGRAPHIC = (ScaleCrop, AreaCrop, ColourJitter, HslJitter, Lighting)
"""Steps that speak of photographs in files, before they have the network's size."""


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


@dataclass(frozen=True, kw_only=True)
class TenCrops:
    """Four corners and the centre, each with its mirror image; the mean of what the network says of them."""

    shorter: Fraction = Fraction(256, 224)
    mean_of: Literal["softmax", "logits"] = "softmax"


@dataclass(frozen=True, kw_only=True)
class MultiScale:
    """The whole image at several scales, the network applied as a convolution; shorter sides as shares of its size."""

    shorter: tuple[Fraction, ...]


View = Centre | TenCrops | MultiScale


def pipeline_fault(steps: tuple[Step, ...]) -> str | None:
    """What is wrong with the order of the steps, or None."""
    kinds = [type(step).__name__ for step in steps]
    if len(set(kinds)) < len(kinds):
        return f"images take each step once; {', '.join(kinds)} repeats one"
    places = [k for k, step in enumerate(steps) if isinstance(step, NORMALISATIONS)]
    if len(places) != 1:
        allowed = ", ".join(each.__name__ for each in NORMALISATIONS)
        return f"images are normalised once, by one of {allowed}; {', '.join(kinds) or 'nothing'} does not"
    if isinstance(steps[places[0]], Whiten) and places[0]:
        return f"whitening comes first; {kinds[0]} stands before it"
    late = [kind for kind, step in zip(kinds, steps, strict=True) if isinstance(step, PHOTOGRAPHIC)]
    if late and kinds.index(late[-1]) > places[0]:
        return f"steps on photographs come before the normalisation; {late[-1]} stands after it"
    return None
