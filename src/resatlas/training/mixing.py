"""Images mixed with others of their pass, as a recipe says; every draw is a pure function of seed and step.

All passes and processes mix a step in one way. A partner is of the same pass, the image as far from the other end, so
that one process with groups of normalisation mixes as several do whose parts are these groups.
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
    """How the images of a step are mixed: the share of the own image, and for a box the place of its middle.

    `middle` is (row, column) as shares of height and width.
    """

    share: float
    middle: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """The labels of images, and where these are mixed, those of their partners and the share of the own ones.

    Shape: (n,) each.
    """

    own: Int64[Tensor, " n"]
    partners: Int64[Tensor, " n"] | None = None
    share: float = 1.0

    @property
    def main(self) -> Int64[Tensor, " n"]:
        """The label with the larger share, against which the error of training is counted; of two halves the own."""
        return self.own if self.partners is None or self.share >= 1 / 2 else self.partners


def mixture(recipe: Recipe, *, seed: int, step: int) -> Mixture | None:
    """How the images of a step are mixed, if they are."""
    if not recipe.mixing:
        return None
    random = Random(derive(seed, "mixing", step))  # noqa: S311 - it keeps no secret
    if random.random() >= recipe.mixed:
        return None
    way = random.choice(recipe.mixing)
    share = random.betavariate(way.alpha, way.alpha)
    match way:
        case Mixup():
            return Mixture(share=share)
        case Cutmix():
            return Mixture(share=share, middle=(random.random(), random.random()))
        case _:
            assert_never(way)


def mixed(
    images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], how: Mixture | None
) -> tuple[Float[Tensor, "n c h w"], Labels]:
    """The images of a pass mixed in that way, and their labels."""
    if how is None:
        return images, Labels(own=labels)
    others, partners = images.flip(0), labels.flip(0)
    if how.middle is None:
        return torch.lerp(others, images, how.share), Labels(own=labels, partners=partners, share=how.share)
    height, width = images.shape[-2:]
    cut = math.sqrt(1 - how.share)
    rows, columns = (_span(each, side, cut) for each, side in zip(how.middle, (height, width), strict=True))
    made = images.clone()
    made[..., rows, columns] = others[..., rows, columns]
    share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return made, Labels(own=labels, partners=partners, share=share)


def _span(middle: float, side: int, cut: float) -> slice:
    """The pixels of a box along one side: twice floor(floor(side·cut)/2) around the middle, as far as there are any."""
    pixel, half = int(middle * side), int(side * cut) // 2
    return slice(max(pixel - half, 0), min(pixel + half, side))
