"""A recipe: everything about a training that is neither the network, nor the data, nor the seed."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from resatlas.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent with momentum, in the PyTorch form v <- momentum·v + g."""

    momentum: float = 0.9
    form: Literal["plain", "nesterov"] = "nesterov"


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """Learning rate over the progress p in [0, 1]: a linear rise to the peak, then half a cosine to zero.

    rate(p) = peak·p/rise for p < rise, else peak·(1 + cos(pi·(p - rise)/(1 - rise)))/2.
    """

    peak: float
    rise: Fraction = Fraction(1, 4)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise RecipeError(f"a one-cycle schedule has a finite peak above 0; {self.peak} is not")
        if not 0 < self.rise < 1:
            raise RecipeError(f"a one-cycle schedule rises for a share between 0 and 1; {self.rise} is not")

    def rate(self, progress: float) -> float:
        """Learning rate at a progress from 0 (first step) to 1 (end)."""
        rise = float(self.rise)
        if progress < rise:
            return self.peak * progress / rise
        return self.peak * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


@dataclass(frozen=True, kw_only=True)
class Decay:
    """Weight decay by the kind of parameter that it acts on."""

    conv: float = 0.0
    linear: float = 0.0
    norm: float = 0.0
    bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PadCrop:
    """Pad every side by a share of the image with the mean colour, then crop the old size at random.

    The share speaks of the larger side: 1/8 is the usual 4 of 32 pixels.
    """

    share: Fraction = Fraction(1, 8)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise RecipeError(f"pad-crop pads by a share from 0 to 1 of the image; {self.share} is not")


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror left and right with probability one half, on data sets that allow it."""


Augmentation = PadCrop | Flip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained, as one value.

    `validation` is the share of the training images that is held back; 0 trains on all of them.
    """

    name: str
    source: str
    epochs: int
    batch: int
    optimizer: Sgd
    schedule: OneCycle
    decay: Decay = field(default_factory=Decay)
    augmentation: tuple[Augmentation, ...] = ()
    validation: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            value = getattr(self, name)
            if not 1 <= value <= 10**6:
                raise RecipeError(f"{name} lies between 1 and 1,000,000; {value} does not")
        if not 0 <= self.validation <= Fraction(1, 2):
            raise RecipeError(f"validation is a share from 0 to 1/2 of the training images; {self.validation} is not")
        kinds = [type(step).__name__ for step in self.augmentation]
        if len(set(kinds)) < len(kinds):
            raise RecipeError(f"an augmentation has each step once; {', '.join(kinds)} repeats one")
        rates = {**vars(self.decay), "momentum": self.optimizer.momentum}
        for name, rate in rates.items():
            if not 0 <= rate < 1:
                raise RecipeError(f"{name} lies in [0, 1); {rate} does not")
