"""How the bag of tricks trained its tweaked ResNets.

Expected, ImageNet top-1 error of `resnet-50-d`, centre crop (Table 6): `bag-of-tricks-imagenet`, with the cosine and
label smoothing, 21.69; `bag-of-tricks-imagenet-mixup`, without distillation, 20.85.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.recipe import Decay, Recipe
from resatlas.recipes.regularisers import CrossEntropy, Mixup
from resatlas.recipes.resnet import FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Cosine

_PEAK = Fraction(4, 10)
"""0.1 · 1024/256. Source: paper, section 3.1."""

_SMOOTHED = replace(
    FB_IMAGENET_RECIPE,
    name="bag-of-tricks-imagenet",
    source="bag of tricks (arXiv:1812.01187), sections 2.1, 3.1, 5.1 and 5.2",
    epochs=120,
    batch=1024,
    norm_group=128,  # eight GPUs
    schedule=Cosine(peak=_PEAK, warm_up=Fraction(5, 120)),
    decay=Decay(conv=1e-4, linear=1e-4),
    loss=CrossEntropy(smoothing=0.1),
    testing=FB_IMAGENET_RECIPE.testing[:1],
    reported="centre crop of 224, the last epoch",
    unsettled=(
        "the scale of a unit's last norm: 1, where the paper starts at 0",
        "strength of the colour jitter: that of fb.resnet.torch",
        "images a norm group: 128, a batch on eight GPUs",
        *FB_IMAGENET_RECIPE.unsettled[:1],
    ),
)

_MIXED = replace(
    _SMOOTHED,
    name="bag-of-tricks-imagenet-mixup",
    source="bag of tricks (arXiv:1812.01187), section 5.4",
    epochs=200,
    schedule=Cosine(peak=_PEAK, warm_up=Fraction(5, 200)),
    mixing=(Mixup(alpha=0.2),),
)

NAMED: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (_SMOOTHED, _MIXED)}
