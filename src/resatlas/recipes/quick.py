"""The quick recipe: one cycle of SGD, for results in minutes on a laptop."""

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
