"""How Shake-Shake networks were trained on CIFAR-10.

Expected, test error of `shake-shake-cifar` (author's README, means of three runs, of five for 96d): 26 2x32d 3.55,
26 2x64d 2.98, 26 2x96d 2.86; with shake.forward=even and shake.backward=even 4.27, 3.76 and 3.58.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.recipe import Recipe
from resatlas.recipes.regularisers import ShakeShake
from resatlas.recipes.resnet import FB_CIFAR_RECIPE
from resatlas.recipes.schedule import Cosine

_SHAKE_SHAKE_CIFAR = replace(
    FB_CIFAR_RECIPE,
    name="shake-shake-cifar",
    source="Shake-Shake paper (arXiv:1705.07485), section 2.1; author's README and train.lua, on fb.resnet.torch",
    data="cifar-10",
    epochs=1800,
    batch=128,
    norm_group=64,  # two GPUs
    schedule=Cosine(peak=Fraction(1, 5)),  # train.lua is one step further along it
    shake=ShakeShake(),
    reported="test error of one view, the last epoch; means of three or five runs",
)

NAMED: Mapping[str, Recipe] = {_SHAKE_SHAKE_CIFAR.name: _SHAKE_SHAKE_CIFAR}
