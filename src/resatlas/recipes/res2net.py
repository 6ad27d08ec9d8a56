"""How Res2Nets were trained on ImageNet.

Expected, top-1 error of `res2net-imagenet`, centre crop (authors' README): 50-26w-4s 22.01, 101-26w-4s 20.81.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.images import AreaCrop, Flip
from resatlas.recipes.recipe import Recipe, Sgd
from resatlas.recipes.resnet import FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Steps, shares

_RES2NET_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="res2net-imagenet",
    source="Res2Net paper (arXiv:1904.01169), section 4.1",
    epochs=100,
    batch=256,
    norm_group=64,  # four GPUs
    optimizer=Sgd(form="plain"),
    schedule=Steps(peak=Fraction(1, 10), drops=shares(30, 60, 90, of=100)),
    steps=(AreaCrop(), Flip(), FB_IMAGENET),
    testing=FB_IMAGENET_RECIPE.testing[:1],
    reported="centre crop of 224",
    unsettled=(
        "momentum: plain, since no Nesterov is named",
        "the steps on images: a random area and a flip; start, means and deviations: those of fb.resnet.torch",
        *FB_IMAGENET_RECIPE.unsettled[:1],
    ),
)

NAMED: Mapping[str, Recipe] = {_RES2NET_IMAGENET.name: _RES2NET_IMAGENET}
