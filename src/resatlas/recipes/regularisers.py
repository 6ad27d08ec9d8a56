"""Regularisation, as values: losses with label smoothing, mixtures of images, averaged weights."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

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


Level = Literal["batch", "image", "channel", "value"]
"""What has one random number: the images of a pass in one process, one image, one channel of it, or one value."""


@dataclass(frozen=True, kw_only=True)
class ShakeShake:
    """2·(a·h_1 + (1 - a)·h_2) in place of h_1 + h_2 for the two bodies of a unit, with gradients of shares b and 1 - b.

    forward: a is drawn from U(0, 1), or one half (even); backward: b is drawn anew, or a (keep), or one half (even).
    A unit that takes the mean of its bodies, a factor of one half behind their sum, so has the shares a and 1 - a.
    Source: Gastaldi (arXiv:1705.07485), section 2.2 and Table 1, whose Shake-Shake-Image is the default; author's
    shakeshakeblock.lua.
    """

    forward: Literal["shake", "even"] = "shake"
    backward: Literal["shake", "keep", "even"] = "shake"
    level: Level = "image"

    @property
    def drawn_backward(self) -> Level:
        """What has one share of its own in the gradients; the whole batch where it is one half."""
        even = self.backward == "even" or (self.backward == "keep" and self.forward == "even")
        return "batch" if even else self.level


@dataclass(frozen=True, kw_only=True)
class ShakeDrop:
    """(g + a - g·a)/e·h in place of the residual h of a unit, with gradients of b in the place of a.

    g is 1 with probability 1 - (1 - last)·l/L in unit l of L, and else 0; a is drawn from U(alpha), b from U(beta), and
    e is the mean of g + a - g·a. There is one g for each of `gates`, one a and one b for each part that `level` names.
    With alpha and beta of 0 it is stochastic depth.
    Source: Yamada et al. (arXiv:1802.02375), equations for PyramidNet with alpha in [-1, 1], beta in [0, 1] and a last
    probability of 0.5; a gate for each batch and the rest for each image as in owruby/shake-drop_pytorch.
    Differs: there, training does not divide by e, and the test multiplies by it. A network of theirs is one here with
    the scale and the shift of each residual's last norm multiplied by e; both have the same outputs, and the same
    gradients before this norm.
    """

    last: Fraction = Fraction(1, 2)
    alpha: tuple[float, ...] = (-1.0, 1.0)
    beta: tuple[float, ...] = (0.0, 1.0)
    gates: Level = "batch"
    level: Level = "image"

    def __post_init__(self) -> None:
        if not _LEAST <= self.last <= 1:
            near = min(max(self.last, _LEAST), Fraction(1))
            raise RecipeError(
                f"shake.last, the probability that the last unit keeps its residual, is from {float(_LEAST):g} to 1; "
                f"got {float(self.last):g} (nearest: {float(near):g})"
            )
        for name in ("alpha", "beta"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not -_MOST <= bounds[0] <= bounds[1] <= _MOST:
                given = ",".join(f"{bound:g}" for bound in bounds) or "none"
                raise RecipeError(
                    f"shake.{name} is two numbers from -{_MOST} to {_MOST}, the lower first, as in -1,1; got {given}"
                )
        if self.expected(self.last) <= 0:
            most = -sum(self.alpha) / 2
            raise RecipeError(
                f"the factor of the last unit has the mean {self.expected(self.last):g}, and must have one above 0; "
                f"with this shake.alpha, shake.last must be above {most / (1 + most):g}"
            )

    def kept(self, unit: int, units: int) -> Fraction:
        """The probability that a unit, counted from 1, keeps its residual as it is."""
        return 1 - (1 - self.last) * Fraction(unit, units)

    def expected(self, kept: Fraction | float) -> float:
        """The mean of g + a - g·a, where g is 1 with the probability `kept`."""
        return float(kept) + (1 - float(kept)) * sum(self.alpha) / 2


Shake = ShakeShake | ShakeDrop
"""How residuals are weighted at random in training."""

_LEAST = Fraction(1, 100)
_MOST = 16


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise RecipeError(f"{name} must be in [0, 1); got {value}")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 < value <= 1000):
        raise RecipeError(f"{name} must be above 0, up to 1000; got {value}")
