"""Regularisation, as values: losses with label smoothing, mixtures of images, averaged weights."""

import math
from dataclasses import dataclass
from fractions import Fraction

from resatlas.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """-sum over the classes of target·log(softmax of the logits), mean over the images.

    target = (1 - smoothing)·(the label's 1) + smoothing/classes.
    Source: label smoothing, Szegedy et al. (arXiv:1512.00567), section 7.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        _share("smoothing", self.smoothing)

    def least(self, classes: int) -> float:
        """The smallest possible loss for a number of classes: the entropy of a target."""
        rest = self.smoothing / classes
        target = [1 - self.smoothing + rest, *[rest] * (classes - 1)]
        return -sum(share * math.log(share) for share in target if share)


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy:
    """-(target·log(sigmoid of the logit) + (1 - target)·log(1 - the same)), mean over the images and the classes.

    The targets are smoothed as for `CrossEntropy`. `present_above` makes each 1 that is larger, and 0 the others, so
    that both classes of a mixed image count whole.
    Source: Wightman et al. (arXiv:2110.00476), section 3; timm's binary_cross_entropy.py, with its mean over classes
    and its threshold, which is 0.2 in their settings.
    """

    smoothing: float = 0.0
    present_above: float | None = None

    def __post_init__(self) -> None:
        _share("smoothing", self.smoothing)
        if self.present_above is not None:
            _share("present_above", self.present_above)


Loss = CrossEntropy | BinaryCrossEntropy


@dataclass(frozen=True, kw_only=True)
class Mixup:
    """share·image + (1 - share)·partner, and so the targets; the share is drawn from Beta(alpha, alpha).

    Source: Zhang et al. (arXiv:1710.09412), section 2.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        _positive("alpha", self.alpha)


@dataclass(frozen=True, kw_only=True)
class Cutmix:
    """A box of the partner in the image, and the targets by area; the box has 1 - Beta(alpha, alpha) of the area.

    Its centre is drawn over the image, it is clipped to the image, and the share is that of the clipped box.
    Source: Yun et al. (arXiv:1905.04899), section 3 and the authors' train.py.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _positive("alpha", self.alpha)


Mixing = Mixup | Cutmix


@dataclass(frozen=True, kw_only=True)
class Ema:
    """average <- decay·average + (1 - decay)·weights, after the first step and after each further `every`.

    It is taken of weights and running statistics alike. Before the share `begins` of the training the average is the
    weights themselves; so it is after the first step.
    Source: Polyak averaging as in torchvision's references/classification (ExponentialMovingAverage of weights and
    buffers; it begins anew until the warm-up is over).
    """

    decay: float = 0.999
    every: int = 1
    begins: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        _share("decay of the average", self.decay)
        if not 1 <= self.every <= 10**6:
            raise RecipeError(f"an average is taken every 1 to 1,000,000 steps; got every {self.every}")
        if not 0 <= self.begins < 1:
            raise RecipeError(f"an average begins at a share from 0 to below 1 of the training; got {self.begins}")


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise RecipeError(f"{name} must be in [0, 1); got {value}")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 < value <= 1000):
        raise RecipeError(f"{name} must be above 0, up to 1000; got {value}")
