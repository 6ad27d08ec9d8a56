"""How the Wide ResNets were trained.

Expected, test error of `wrn-cifar` on CIFAR-10 / CIFAR-100, medians of five (Table 5): WRN-40-4 4.53 / 21.18,
-16-8 4.27 / 20.43, -28-10 4.00 / 19.25; of `wrn-cifar-zca` (Table 4): WRN-28-10 4.17 / 20.50. One run of WRN-40-4
took 16 hours on a Titan X, by the authors' log.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.arch.blueprint import Initial
from resatlas.recipes.constants import CIFAR_10, FB_CIFAR
from resatlas.recipes.images import Flip, PadCrop, Rescale, Standardise, Whiten
from resatlas.recipes.recipe import Recipe, Sgd, everywhere
from resatlas.recipes.resnet import CIFAR_IMAGES, FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Steps, shares

SVHN_IMAGES = 604_388  # train and extra

_FIFTH = Fraction(1, 5)
_BOTH = Standardise(constants=(CIFAR_10, replace(CIFAR_10, data="cifar-100")))
"""The authors' code has one pair of constants for every data set of bytes."""

_WRN_CIFAR = Recipe(
    name="wrn-cifar",
    source="Wide ResNet authors' code: train.lua, models/utils.lua, scripts/train_cifar.sh",
    data="cifar-10, cifar-100",
    images=CIFAR_IMAGES,
    epochs=200,
    batch=128,
    leftover="dropped",
    optimizer=Sgd(form="nesterov"),
    schedule=Steps(
        peak=Fraction(1, 10),
        factor=_FIFTH,
        drops=shares(59, 119, 159, of=200),  # at the start of the 1-based epochs 60, 120, 160
        momentum="reset",
    ),
    decay=everywhere(5e-4),
    initial=Initial(fan="in", scale="uniform"),
    dropouts=(0.0, 0.3),
    steps=(_BOTH, Flip(), PadCrop(fill="reflection")),
    reported="test error of one view, median of five (Table 5) or one run (Table 9)",
    unsettled=("whether the last or the best epoch is printed: the last here",),
)

_WRN_CIFAR_PAPER = replace(
    _WRN_CIFAR,
    name="wrn-cifar-paper",
    source="Wide ResNet paper (arXiv:1605.07146v4), section 3",
    schedule=Steps(peak=Fraction(1, 10), factor=_FIFTH, drops=shares(60, 120, 160, of=200)),
    initial=Initial(fan="in"),
    steps=(FB_CIFAR, Flip(), PadCrop(fill="reflection")),
)

_WRN_CIFAR_ZCA = replace(
    _WRN_CIFAR,
    name="wrn-cifar-zca",
    source="Wide ResNet paper (arXiv:1605.07146v4), Tables 2 to 4; pylearn2's make_cifar10_gcn_whitened (third party)",
    dropouts=(0.0,),
    steps=(Whiten(), Flip(), PadCrop(fill="reflection")),
    reported="test error of one view; median of five in Tables 2 and 3",
    unsettled=("how many runs Table 4 has", "the last or the best epoch: the last here"),
)

_WRN_SVHN = replace(
    _WRN_CIFAR,
    name="wrn-svhn",
    source="Wide ResNet paper (arXiv:1605.07146v4), section 3; drops at the start of an epoch as in train.lua",
    data="svhn",
    images=SVHN_IMAGES,
    epochs=160,
    schedule=Steps(peak=Fraction(1, 100), drops=shares(79, 119, of=160), momentum="reset"),
    dropouts=(0.0, 0.4),
    steps=(Rescale(),),
    reported="test error of one view; one run in Table 9",
    unsettled=("whether Table 6 has one run or a median", "the last or the best epoch: the last here"),
)

_WRN_SVHN_PAPER = replace(
    _WRN_SVHN,
    name="wrn-svhn-paper",
    source="Wide ResNet paper (arXiv:1605.07146v4), section 3",
    schedule=Steps(peak=Fraction(1, 100), drops=shares(80, 120, of=160)),
    initial=Initial(fan="in"),
)

_WRN_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="wrn-imagenet",
    source="Wide ResNet paper (arXiv:1605.07146v4), section 3: as fb.resnet.torch; 90 epochs by the log of ResNet-18",
    reported="centre crop",
    testing=FB_IMAGENET_RECIPE.testing[:1],
    unsettled=(*FB_IMAGENET_RECIPE.unsettled, "images a norm group: 32"),
)

_WRN_IMAGENET_LONG = replace(
    _WRN_IMAGENET,
    name="wrn-imagenet-100",
    source="Wide ResNet authors' log of WRN-50-2: fb.resnet.torch over 100 epochs",
    epochs=100,
    schedule=Steps(peak=Fraction(1, 10), drops=shares(30, 60, 90, of=100)),
    unsettled=(
        *_WRN_IMAGENET.unsettled,
        "whether a third drop followed after 90 epochs: it does here, the rate falling every 30",
    ),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _WRN_CIFAR,
        _WRN_CIFAR_PAPER,
        _WRN_CIFAR_ZCA,
        _WRN_SVHN,
        _WRN_SVHN_PAPER,
        _WRN_IMAGENET,
        _WRN_IMAGENET_LONG,
    )
}
