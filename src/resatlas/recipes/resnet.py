"""How ResNet and the pre-activation nets were trained: the papers, and fb.resnet.torch, on which their heirs stand.

Expected, CIFAR-10 test error of `resnet-cifar`: ResNet-20 8.75, -32 7.51, -44 7.17, -56 6.97 (ResNet paper, Table 6);
of its warm-up, ResNet-110 6.61±0.16, five runs; of `preact-cifar`, preact-110 6.37, -164 5.46, medians of five.
Cost there: ResNet-1001 some 27 hours on two GPUs of 2016.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.arch.blueprint import Initial
from resatlas.recipes.constants import FB_CIFAR, FB_IMAGENET
from resatlas.recipes.images import (
    AreaCrop,
    Centre,
    ColourJitter,
    Flip,
    Lighting,
    MultiScale,
    PadCrop,
    ScaleCrop,
    SubtractMeanImage,
    TenCrops,
)
from resatlas.recipes.recipe import Recipe, Sgd, everywhere
from resatlas.recipes.schedule import Plateau, Steps, WarmUp, shares

CIFAR_IMAGES = 50_000
IMAGENET_IMAGES = 1_281_167

_TENTH = Fraction(1, 10)
_MULTI_SCALE = MultiScale(shorter=shares(224, 256, 384, 480, 640, of=224))

_CIFAR_STEPS = Steps(peak=_TENTH, drops=shares(32_000, 48_000, of=64_000))

_LEFT_OVER = "the last, smaller batch of an epoch: kept"
_SCOPE = "which parameters the authors' training decayed: all here; fb's README says convolutions alone"

_RESNET_CIFAR = Recipe(
    name="resnet-cifar",
    source="ResNet paper (arXiv:1512.03385), section 4.2",
    data="cifar-10",
    images=CIFAR_IMAGES,
    epochs=164,
    iterations=64_000,
    batch=128,
    leftover="kept",
    norm_group=64,  # two GPUs
    optimizer=Sgd(form="plain"),
    schedule=_CIFAR_STEPS,
    decay=everywhere(1e-4),
    initial=Initial(fan="in"),
    steps=(SubtractMeanImage(), PadCrop(), Flip()),
    reported="test error of one view; ResNet-110: the best of five, with mean and deviation",
    unsettled=(
        _SCOPE,
        "momentum: plain, since no Nesterov is named",
        "the last, smaller batch of an epoch: kept, which gives the 391 steps of 50,000 images",
        "the scale of the mean-free images: 1/255",
        "whether the last or the best epoch is printed: the last here",
    ),
)

_RESNET_CIFAR_WARM = replace(
    _RESNET_CIFAR,
    name="resnet-cifar-warm-up",
    source="ResNet paper (arXiv:1512.03385), section 4.2, for 110 and 1202 layers",
    schedule=replace(
        _CIFAR_STEPS,
        warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(400, 64_000), below_percent=Fraction(80)),
    ),
    unsettled=(
        *_RESNET_CIFAR.unsettled,
        "over what the error of 80 % is taken that ends the warm-up: the running epoch; 400 iterations at most",
    ),
)

_RESNET_IMAGENET = Recipe(
    name="resnet-imagenet",
    source="ResNet paper (arXiv:1512.03385), section 3.4",
    data="imagenet",
    images=IMAGENET_IMAGES,
    epochs=120,
    iterations=600_000,
    batch=256,
    leftover="kept",
    norm_group=32,  # eight GPUs
    optimizer=Sgd(form="plain"),
    schedule=Plateau(peak=_TENTH, patience=5),
    decay=everywhere(1e-4),
    initial=Initial(fan="in"),
    steps=(ScaleCrop(), Flip(), Lighting(), SubtractMeanImage()),
    testing=(Centre(), TenCrops(mean_of="softmax"), _MULTI_SCALE),
    reported="ten crops, softmax averaged; best figures over five scales; ensembles of six",
    unsettled=(
        _SCOPE,
        "when a plateau is one: five epochs without a lower training error",
        "the iterations of the drops",
        _LEFT_OVER,
        "momentum: plain, since no Nesterov is named",
        "the mean image: of the centre views of up to 4,096 training images",
    ),
)

FB_CIFAR_RECIPE = Recipe(
    name="fb-cifar",
    source="fb.resnet.torch (third party): train.lua, opts.lua, datasets/cifar10.lua",
    data="cifar-10, cifar-100",
    images=CIFAR_IMAGES,
    epochs=164,
    batch=128,
    leftover="kept",
    optimizer=Sgd(form="nesterov"),
    schedule=Steps(peak=_TENTH, drops=shares(80, 121, of=164)),  # from the 1-based epochs 81 and 122 on
    decay=everywhere(1e-4),
    initial=Initial(fan="out"),
    steps=(FB_CIFAR, Flip(), PadCrop()),
    reported="test error of one view",
    unsettled=(_LEFT_OVER,),
)

FB_IMAGENET_RECIPE = Recipe(
    name="fb-imagenet",
    source="fb.resnet.torch (third party): train.lua, opts.lua, datasets/imagenet.lua",
    data="imagenet",
    images=IMAGENET_IMAGES,
    epochs=90,
    batch=256,
    leftover="kept",
    norm_group=32,
    optimizer=Sgd(form="nesterov"),
    schedule=Steps(peak=_TENTH, drops=shares(30, 60, of=90)),
    decay=everywhere(1e-4),
    initial=Initial(fan="out"),
    steps=(AreaCrop(), ColourJitter(), Lighting(), FB_IMAGENET, Flip()),
    testing=(Centre(), TenCrops(mean_of="logits")),
    reported="centre crop, and ten crops with the logits summed",
    unsettled=(_LEFT_OVER, "batch and images a norm group: 256 and 32, as in the papers that build on it"),
)

_PREACT_CIFAR = replace(
    _RESNET_CIFAR,
    name="preact-cifar",
    source="pre-activation paper (arXiv:1603.05027), appendix",
    data="cifar-10, cifar-100",
    schedule=replace(_CIFAR_STEPS, warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(400, 64_000))),
    reported="test error of one view, median of five",
)

_PREACT_CIFAR_CODE = replace(
    FB_CIFAR_RECIPE,
    name="preact-cifar-code",
    source="resnet-1k-layers (the authors' code), its README's command for 1001 layers",
    epochs=200,
    batch=64,
    schedule=Steps(peak=_TENTH, drops=shares(80, 121, of=200)),
    reported="test error of one view, median of five: 4.62 (4.69±0.20) for 1001 layers",
    unsettled=("whether the command warms up: not here", "images a norm group: the batch here", _LEFT_OVER),
)

_PREACT_IMAGENET = replace(
    _RESNET_IMAGENET,
    name="preact-imagenet",
    source="pre-activation paper (arXiv:1603.05027), section 5 and appendix",
    epochs=90,
    iterations=None,
    schedule=Steps(peak=_TENTH, drops=shares(30, 60, of=90)),
    testing=(Centre(), Centre(shorter=Fraction(1), scale=Fraction(320, 224))),
    reported="centre crop of 224, and 320 of shorter side 320",
    unsettled=(
        _SCOPE,
        _LEFT_OVER,
        "the number of epochs: 90, the drops being after 30 and 60",
        "momentum: plain, since no Nesterov is named",
        "the mean image: of the centre views of up to 4,096 training images",
    ),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _RESNET_CIFAR,
        _RESNET_CIFAR_WARM,
        _RESNET_IMAGENET,
        FB_CIFAR_RECIPE,
        FB_IMAGENET_RECIPE,
        _PREACT_CIFAR,
        _PREACT_CIFAR_CODE,
        _PREACT_IMAGENET,
    )
}
