"""The trainings of the PyramidNets.

Expected, test error on CIFAR-10 / CIFAR-100 (authors' README): 110 additive alpha 48 4.62 / 23.31, alpha 84
4.27 / 20.21; 164 bottleneck alpha 270 3.48 / 17.01. Top-1 error of `pyramidnet-imagenet`, centre crop: 200 alpha 300
20.47.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.images import AreaCrop, Centre, Flip
from resatlas.recipes.recipe import Recipe, everywhere
from resatlas.recipes.regularisers import ShakeDrop
from resatlas.recipes.resnet import FB_CIFAR_RECIPE, FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Cosine, Steps, shares

_DROPS = shares(149, 224, of=300)  # from the 1-based epochs 150 and 225 on

_PYRAMIDNET_CIFAR_10 = replace(
    FB_CIFAR_RECIPE,
    name="pyramidnet-cifar-10",
    source="PyramidNet authors' README and Torch code, on fb.resnet.torch; rate as of 2017-04-11",
    data="cifar-10",
    epochs=300,
    norm_group=32,
    schedule=Steps(peak=Fraction(1, 10), drops=_DROPS),
    unsettled=(
        "GPUs, so images a norm group: four and 32, as on CIFAR-100",
        "the last or the best epoch: the last",
        *FB_CIFAR_RECIPE.unsettled,
    ),
)

_PYRAMIDNET_CIFAR_100 = replace(
    _PYRAMIDNET_CIFAR_10,
    name="pyramidnet-cifar-100",
    source="PyramidNet authors' README and Torch code, on fb.resnet.torch; four GPUs",
    data="cifar-100",
    schedule=Steps(peak=Fraction(1, 2), drops=_DROPS),
    unsettled=("the last or the best epoch: the last", *FB_CIFAR_RECIPE.unsettled),
)

_SHAKEDROP_CIFAR_100 = replace(
    _PYRAMIDNET_CIFAR_100,
    name="pyramidnet-shakedrop-cifar-100",
    source="ShakeDrop paper (arXiv:1802.02375); 300 epochs at 0.5 as in owruby/shake-drop_pytorch (third party)",
    shake=ShakeDrop(),
    unsettled=(
        "gates, one for each batch of a GPU, and factors, one for each image: as in that port",
        *_PYRAMIDNET_CIFAR_100.unsettled,
    ),
)

_SHAKEDROP_CIFAR = replace(
    _PYRAMIDNET_CIFAR_10,
    name="pyramidnet-shakedrop-cifar",
    source="tensorflow/models, research/autoaugment (third party): train_cifar.py, shake_drop.py, pyramid_net",
    data="cifar-10, cifar-100",
    epochs=1800,
    batch=64,
    leftover="dropped",
    norm_group=None,
    clip=5.0,
    schedule=Cosine(peak=Fraction(1, 20)),
    decay=everywhere(5e-5),
    shake=ShakeDrop(gates="image"),
    unsettled=(
        "AutoAugment's policies and cutout, with which its figures were reached: none here",
        "the order of flips and crops: that of fb.resnet.torch",
    ),
)

_PYRAMIDNET_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="pyramidnet-imagenet",
    source="PyramidNet paper (arXiv:1610.02915); the schedule is from third parties",
    epochs=120,
    batch=128,
    schedule=Steps(peak=Fraction(1, 20), drops=shares(60, 90, 105, of=120)),
    steps=(AreaCrop(), FB_IMAGENET, Flip()),
    testing=(Centre(), Centre(shorter=Fraction(1), scale=Fraction(320, 224))),
    reported="centre crop of 224, and of 320",
    unsettled=(
        "the whole schedule: no source of the authors confirms it; its drops are taken after 60, 90, 105 whole epochs",
        *FB_CIFAR_RECIPE.unsettled,
        "images a norm group: 32",
        "momentum: Nesterov, as in fb.resnet.torch",
        "jitter of colours: none",
    ),
)

_PYRAMIDNET_IMAGENET_PORT = replace(
    _PYRAMIDNET_IMAGENET,
    name="pyramidnet-imagenet-port",
    source="PyramidNet-PyTorch (authors' port): train.py, README",
    epochs=100,
    schedule=Steps(peak=Fraction(1, 20), drops=shares(30, 60, 90, of=100)),
    steps=(AreaCrop(interpolation="bilinear"), Flip(), FB_IMAGENET),
    testing=(Centre(),),
    reported="centre crop: 21.98 for 101 layers and alpha 360",
    unsettled=(
        "images a norm group: 32",
        "interpolation: bilinear, the default of its library",
        *FB_CIFAR_RECIPE.unsettled,
    ),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _PYRAMIDNET_CIFAR_10,
        _PYRAMIDNET_CIFAR_100,
        _SHAKEDROP_CIFAR_100,
        _SHAKEDROP_CIFAR,
        _PYRAMIDNET_IMAGENET,
        _PYRAMIDNET_IMAGENET_PORT,
    )
}
