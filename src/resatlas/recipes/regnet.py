"""How RegNets were trained for the comparison of the paper's section 5.

Expected, ImageNet top-1 error of `regnet-imagenet`, centre crop: RegNetX-400MF 27.2, RegNetY-400MF 25.9 (pycls).
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.images import AreaCrop, Centre, Flip, Lighting
from resatlas.recipes.recipe import Recipe, everywhere
from resatlas.recipes.resnet import FB_IMAGENET_RECIPE
from resatlas.recipes.schedule import Cosine

_REGNET_IMAGENET = replace(
    FB_IMAGENET_RECIPE,
    name="regnet-imagenet",
    source="RegNet authors' code: pycls, configs/dds_baselines; paper (arXiv:2003.13678), section 5",
    epochs=100,
    batch=1024,
    leftover="dropped",
    norm_group=128,  # eight GPUs
    schedule=Cosine(peak=Fraction(8, 10), warm_up=Fraction(5, 100), start=Fraction(8, 100), moves="epochs"),
    decay=everywhere(5e-5),
    steps=(AreaCrop(), Flip(), Lighting(), FB_IMAGENET),
    testing=(Centre(),),
    reported="centre crop of 224, the last epoch",
    unsettled=(
        "rate and batch: those of the networks up to 1.6 GF; larger ones have smaller batches",
        "whether the cosine counts from the start: from the end of the warm-up here",
    ),
)

NAMED: Mapping[str, Recipe] = {_REGNET_IMAGENET.name: _REGNET_IMAGENET}
