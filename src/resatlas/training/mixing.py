"""Images mixed with others of the same pass, by the rules of a recipe; every draw is a pure function of seed and step.

All passes and processes of a step mix in the same way. The partner of image k of n is image n - 1 - k of the same pass.
So one process with several norm groups mixes like several processes whose parts are these groups.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import assert_never

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from resatlas.data.order import derive
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.regularisers import Cutmix, Mixup


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How the images of a step are mixed.

    `share` is the weight of the own image; `middle` is the centre (row, column) of a CutMix box, as shares of height
    and width.
    """

    share: float
    middle: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The labels of images; if these are mixed, also those of their partners and the share of the own ones.

    Shape: (n,) each.
    """

    own: Int64[Tensor, " n"]
    partners: Int64[Tensor, " n"] | None = None
    share: float = 1.0

    @property
    def main(self) -> Int64[Tensor, " n"]:
        """The label with the larger share, or the own label at one half; the training error is counted against it."""
        return self.own if self.partners is None or self.share >= 1 / 2 else self.partners


def mixture(recipe: Recipe, *, seed: int, step: int) -> Mixture | None:
    """How the images of a step are mixed; None if they are not."""
    if not recipe.mixing:
        return None
    random = Random(derive(seed, "mixing", step))  # noqa: S311 - not for cryptography
    if random.random() >= recipe.mixed:
        return None
    rule = random.choice(recipe.mixing)
    share = random.betavariate(rule.alpha, rule.alpha)
    match rule:
        case Mixup():
            return Mixture(share=share)
        case Cutmix():
            return Mixture(share=share, middle=(random.random(), random.random()))
        case _:
            assert_never(rule)


def mixed(
    images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], how: Mixture | None
) -> tuple[Float[Tensor, "n c h w"], Labels]:
    """The images of a pass, mixed according to `how`, and their labels."""
    if how is None:
        return images, Labels(own=labels)
    others, partners = images.flip(0), labels.flip(0)
    if how.middle is None:
        return torch.lerp(others, images, how.share), Labels(own=labels, partners=partners, share=how.share)
    height, width = images.shape[-2:]
    cut = math.sqrt(1 - how.share)
    rows, columns = (_span(middle, side, cut) for middle, side in zip(how.middle, (height, width), strict=True))
    pasted = images.clone()
    pasted[..., rows, columns] = others[..., rows, columns]
    share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return pasted, Labels(own=labels, partners=partners, share=share)


def _span(middle: float, side: int, cut: float) -> slice:
    """The pixels of a box along one side: twice floor(floor(side·cut)/2) around the middle, clipped to the image."""
    pixel, half = int(middle * side), int(side * cut) // 2
    return slice(max(pixel - half, 0), min(pixel + half, side))
