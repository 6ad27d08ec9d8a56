"""The quick recipe: one cycle of SGD, for results in minutes on a laptop.

Expected: `resatlas demo`, second question, digits at 16x16, last epoch, 3 seeds: 0.5 to 1.4 % test error for six
designs of about 85,000 parameters, some 10 seconds a run on one core. Peak, rise and decay are common values for
batch 64; they were not searched.
"""

from collections.abc import Mapping
from fractions import Fraction

from resatlas.recipes.recipe import Decay, Flip, OneCycle, PadCrop, Recipe, Sgd

QUICK = Recipe(
    name="quick",
    source="ours; no paper uses it",
    epochs=15,
    batch=64,
    optimizer=Sgd(momentum=0.9, form="nesterov"),
    schedule=OneCycle(peak=0.1, rise=Fraction(1, 4)),
    decay=Decay(conv=5e-4, linear=5e-4),
    augmentation=(PadCrop(share=Fraction(1, 8)), Flip()),
    validation=Fraction(1, 8),
)

NAMED: Mapping[str, Recipe] = {"quick": QUICK}
