"""How squeeze-and-excitation networks were trained.

Expected, ImageNet top-1 error of `senet-imagenet`, centre crop (Table 2): SE-ResNet-50 23.29, SE-ResNeXt-50 21.10.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.recipe import Recipe, Sgd
from resatlas.recipes.resnet import FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Steps, shares

_SENET_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="senet-imagenet",
    source="squeeze and excitation (arXiv:1709.01507), section 5.1",
    epochs=100,
    batch=1024,
    optimizer=Sgd(form="plain"),
    schedule=Steps(peak=Fraction(6, 10), drops=shares(30, 60, 90, of=100)),
    testing=FB_IMAGENET_RECIPE.testing[:1],
    reported="centre crop of 224",
    unsettled=(
        "momentum: plain, since no Nesterov is named",
        "weight decay, colours and the order of steps: those of fb.resnet.torch",
        "images a norm group: 32",
        *FB_IMAGENET_RECIPE.unsettled[:1],
    ),
)

NAMED: Mapping[str, Recipe] = {_SENET_IMAGENET.name: _SENET_IMAGENET}
