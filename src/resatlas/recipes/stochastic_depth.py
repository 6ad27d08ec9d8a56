"""How a ResNet was trained with stochastic depth on CIFAR-10.

Expected, test error of `stochastic-depth-cifar` with `resnet-110` (authors' README): 5.23; without stochastic depth
6.41.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.arch.blueprint import Initial
from resatlas.recipes.images import Flip, PadCrop, Standardise
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.resnet import FB_CIFAR_RECIPE
from resatlas.recipes.schedule import Steps, shares

_STOCHASTIC_DEPTH_CIFAR = replace(
    FB_CIFAR_RECIPE,
    name="stochastic-depth-cifar",
    source="stochastic depth paper (arXiv:1603.09382), section 4; authors' main.lua, which drops for a whole batch",
    data="cifar-10",
    images=45_000,
    epochs=500,
    schedule=Steps(peak=Fraction(1, 10), drops=shares(249, 374, of=500)),  # from the 1-based epochs 250 and 375 on
    stochastic_depth=Fraction(1, 2),
    initial=Initial(fan="in"),
    steps=(Standardise(), Flip(), PadCrop()),
    validation=Fraction(1, 10),
    reported="test error of one view at the epoch of the lowest validation error",
    unsettled=("the last or the best epoch here: the last, unless --keep best,last is given",),
)

NAMED: Mapping[str, Recipe] = {_STOCHASTIC_DEPTH_CIFAR.name: _STOCHASTIC_DEPTH_CIFAR}
