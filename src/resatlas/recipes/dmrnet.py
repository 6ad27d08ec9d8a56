"""How DMRNet was trained.

Expected, test error of `dmrnet-cifar` on CIFAR-10 / CIFAR-100 (authors' README): dmrnet-56 4.94 / 24.46, dmrnet-32-w4
3.94 / 19.25, dmrnet-50-w4 3.57 / 19.00; of `dmrnet-svhn` 1.66, 1.51, 1.55.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.arch.blueprint import Initial
from resatlas.recipes.images import Centre, Constants, Flip, HslJitter, PadCrop, ScaleCrop, Standardise
from resatlas.recipes.recipe import Recipe, Sgd, everywhere
from resatlas.recipes.resnet import CIFAR_IMAGES, IMAGENET_IMAGES
from resatlas.recipes.schedule import Steps, shares
from resatlas.recipes.wide_resnet import SVHN_IMAGES

_TENTH = Fraction(1, 10)
_MEANS = Standardise(
    constants=(
        Constants(data="cifar-10", mean=(125.307, 122.950, 113.865), std=(62.993, 62.089, 66.705)),
        Constants(data="cifar-100", mean=(129.304, 124.070, 112.434), std=(68.170, 65.392, 70.418)),
        Constants(data="svhn", mean=(111.609, 113.161, 120.565), std=(50.498, 51.259, 50.244)),
        Constants(data="imagenet", mean=(123.370, 112.757, 99.406), std=(68.998, 66.093, 68.292)),
    )
)
"""Source: DMRNet authors' code (fusenet), train_model.py and train_imagenet.py."""

_DMRNET_CIFAR = Recipe(
    name="dmrnet-cifar",
    source="DMRNet paper (arXiv:1611.07718) and authors' code (fusenet): options.py, train_model.py, utility.py",
    data="cifar-10, cifar-100",
    images=CIFAR_IMAGES,
    epochs=400,
    batch=64,
    norm_group=32,  # two GPUs
    optimizer=Sgd(form="nesterov"),
    schedule=Steps(peak=_TENTH, drops=shares(200, 300, 350, of=400)),
    decay=everywhere(1e-4),
    initial=Initial(fan="in"),
    steps=(_MEANS, PadCrop(), Flip()),  # padded with the mean colour
    reported="mean and deviation of five runs (paper); the README's may be medians",
    unsettled=("the batch that an epoch cannot fill: dropped", "the last or the best epoch: the last"),
)

_DMRNET_SVHN = replace(
    _DMRNET_CIFAR,
    name="dmrnet-svhn",
    source="DMRNet authors' code (fusenet)",
    data="svhn",
    images=SVHN_IMAGES,
    epochs=40,
    schedule=Steps(peak=_TENTH, drops=shares(20, 30, 35, of=40)),
    steps=(_MEANS,),
)

_DMRNET_IMAGENET_V2 = replace(
    _DMRNET_CIFAR,
    name="dmrnet-imagenet-v2",
    source="DMRNet paper (arXiv:1611.07718v2), section 4",
    data="imagenet",
    images=IMAGENET_IMAGES,
    epochs=100,
    batch=256,
    schedule=Steps(peak=_TENTH, drops=shares(30, 60, 90, of=100)),
    steps=(ScaleCrop(), Flip(), _MEANS),
    testing=(Centre(),),
    reported="centre crop",
    unsettled=(
        "augmentation: random scale and flip, the rest of the authors' later code left out",
        "means and deviations: those of the later code",
        "the batch that an epoch cannot fill: dropped",
        "momentum: Nesterov, as in the authors' code",
    ),
)

_DMRNET_IMAGENET_IJCAI = replace(
    _DMRNET_IMAGENET_V2,
    name="dmrnet-imagenet-ijcai",
    source="DMRNet authors' code (fusenet): train_imagenet.py",
    epochs=120,
    norm_group=64,  # four GPUs
    schedule=Steps(peak=_TENTH, drops=shares(30, 60, 90, of=120)),
    steps=(ScaleCrop(stretch=Fraction(1, 4)), Flip(), HslJitter(hue=36, saturation=50, lightness=50), _MEANS),
    unsettled=(
        "the batch: 256, as in the paper",
        "the batch that an epoch cannot fill: dropped",
        "the test: the paper's centre crop",
    ),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (_DMRNET_CIFAR, _DMRNET_SVHN, _DMRNET_IMAGENET_V2, _DMRNET_IMAGENET_IJCAI)
}
