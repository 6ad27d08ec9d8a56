"""How ResNeXt was trained.

Expected, test error of `resnext-cifar` on CIFAR-10 / CIFAR-100, means of ten runs (Table 7): 29-8x64d 3.65 / 17.77,
29-16x64d 3.58 / 17.31. Top-1 error of `resnext-imagenet`, centre crop (Table 3): ResNet-50 23.9, ResNeXt-50-32x4d
22.2. Cost there: ResNeXt-101-64x4d ten days on eight GPUs of 2016.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.images import AreaCrop, Centre, Flip, MultiScale
from resatlas.recipes.recipe import Recipe, Sgd, everywhere
from resatlas.recipes.resnet import FB_CIFAR_RECIPE, FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Steps, shares

_TENTH = Fraction(1, 10)
_LARGE = Centre(shorter=Fraction(1), scale=Fraction(320, 224))

_RESNEXT_CIFAR = replace(
    FB_CIFAR_RECIPE,
    name="resnext-cifar",
    source="ResNeXt authors' code: train.lua, opts.lua; paper (arXiv:1611.05431), appendix A",
    epochs=300,
    norm_group=16,  # eight GPUs
    schedule=Steps(peak=_TENTH, drops=shares(147, 222, of=300)),  # where the 1-based epoch/300 exceeds 0.49 and 0.74
    decay=everywhere(5e-4),
    reported="test error of one view, mean of ten runs",
    unsettled=("the last or the best epoch: the last here", *FB_CIFAR_RECIPE.unsettled),
)

_RESNEXT_CIFAR_PAPER = replace(
    _RESNEXT_CIFAR,
    name="resnext-cifar-paper",
    source="ResNeXt paper (arXiv:1611.05431), appendix A",
    optimizer=Sgd(form="plain"),
    schedule=Steps(peak=_TENTH, drops=shares(150, 225, of=300)),
    unsettled=(
        *_RESNEXT_CIFAR.unsettled,
        "momentum: plain, since no Nesterov is named",
        "start, means and deviations, and the order of steps: those of the code, the text says pad, crop, flip alone",
    ),
)

_RESNEXT_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="resnext-imagenet",
    source="ResNeXt authors' code: opts.lua, train.lua, datasets/imagenet.lua",
    epochs=100,
    schedule=Steps(peak=_TENTH, drops=shares(30, 60, 90, of=100)),
    testing=(Centre(), _LARGE, MultiScale(shorter=shares(224, 256, 384, 480, 640, of=224))),
    reported="centre crop; 320 of 320; several scales",
    unsettled=("the shorter side of the 320 view: 320", "the scales of the dense test: those of the ResNet paper"),
)

_RESNEXT_IMAGENET_PAPER = replace(
    _RESNEXT_IMAGENET,
    name="resnext-imagenet-paper",
    source="ResNeXt paper (arXiv:1611.05431), section 4",
    optimizer=Sgd(form="plain"),
    steps=(AreaCrop(), FB_IMAGENET, Flip()),
    unsettled=(
        *_RESNEXT_IMAGENET.unsettled,
        "momentum: plain, since no Nesterov is named",
        "start, means and deviations: those of the code",
    ),
)

_RESNEXT_IMAGENET_5K = replace(
    _RESNEXT_IMAGENET,
    name="resnext-imagenet-5k",
    source="ResNeXt paper (arXiv:1611.05431), section 5.2: as many batches as on ImageNet-1K, a fifth of the epochs",
    data="imagenet, 5,000 classes",
    images=6_800_000,
    epochs=19,
    iterations=500_500,  # as many as 100 epochs of ImageNet-1K have
    testing=(Centre(),),
    reported="centre crop on the validation images of ImageNet-1K, among 5,000 classes or among its 1,000",
    unsettled=(*FB_CIFAR_RECIPE.unsettled, "the drops: at the batches of ImageNet-1K"),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _RESNEXT_CIFAR,
        _RESNEXT_CIFAR_PAPER,
        _RESNEXT_IMAGENET,
        _RESNEXT_IMAGENET_PAPER,
        _RESNEXT_IMAGENET_5K,
    )
}
