"""Recipes of our own: one cycle of SGD, for results in minutes on a laptop.

Expected of `quick`: `resatlas demo`, second question, digits at 16x16, last epoch, 3 seeds: 0.5 to 1.4 % test error
for six designs of about 85,000 parameters, some 10 seconds a run on one core. Peak, rise and decay are common values
for batch 64; they were not searched. `fine-tune` starts from trained weights, and so from a tenth of that peak.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.images import AreaCrop, Flip, PadCrop, Standardise
from resatlas.recipes.recipe import Decay, Recipe, Sgd
from resatlas.recipes.schedule import OneCycle

QUICK = Recipe(
    name="quick",
    source="ours; no paper uses it",
    epochs=15,
    batch=64,
    optimizer=Sgd(momentum=0.9, form="nesterov"),
    schedule=OneCycle(peak=0.1, rise=Fraction(1, 4)),
    decay=Decay(conv=5e-4, linear=5e-4),
    steps=(Standardise(), PadCrop(share=Fraction(1, 8)), Flip()),
    validation=Fraction(1, 8),
)

FINE_TUNE = replace(
    QUICK,
    name="fine-tune",
    epochs=10,
    batch=32,
    schedule=OneCycle(peak=0.01, rise=Fraction(1, 4)),
    decay=Decay(conv=1e-4, linear=1e-4),
    steps=(AreaCrop(least=Fraction(1, 4), interpolation="bilinear"), Flip(), FB_IMAGENET),
)

NAMED: Mapping[str, Recipe] = {each.name: each for each in (QUICK, FINE_TUNE)}
