"""The order of steps on images is checked, and so are their numbers."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from resatlas.errors import RecipeError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import (
    AreaCrop,
    Centre,
    Constants,
    Erase,
    Flip,
    Lighting,
    PadCrop,
    RandAugment,
    Rescale,
    ScaleCrop,
    Standardise,
    Step,
    SubtractMeanImage,
    TenCrops,
    TrivialAugment,
    Whiten,
)

QUICK = NAMED["quick"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((), "images are normalised once"),
        ((Flip(),), "images are normalised once"),
        ((Standardise(), Rescale()), "images are normalised once"),
        ((Flip(), Whiten()), "whitening comes first; Flip stands before it"),
        ((Standardise(), Lighting()), "steps on photographs come before the normalisation; Lighting"),
        ((AreaCrop(), Standardise(), ScaleCrop()), "steps on photographs come before the normalisation; ScaleCrop"),
        ((Standardise(), TrivialAugment()), "steps on photographs come before the normalisation; TrivialAugment"),
        ((Erase(probability=Fraction(1, 4)), Standardise()), "Erase stands before the normalisation"),
        ((AreaCrop(side=Fraction(1, 2)), SubtractMeanImage()), "SubtractMeanImage is for images of the network's size"),
    ],
)
def test_steps_have_an_order(steps: tuple[Step, ...], words: str) -> None:
    """One normalisation, whitening first, photographs before they are normalised."""
    with pytest.raises(RecipeError, match=words):
        replace(QUICK, steps=steps)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Constants(data="x", mean=(1.0,), std=(0.0,)),
        lambda: Constants(data="x", mean=(1.0, 2.0), std=(1.0,)),
        lambda: Constants(data="x", mean=(1.0,), std=(float("nan"),)),
        lambda: PadCrop(share=Fraction(9, 8)),
        lambda: ScaleCrop(least=Fraction(1, 2)),
        lambda: ScaleCrop(least=Fraction(3), most=Fraction(2)),
        lambda: ScaleCrop(stretch=Fraction(1)),
        lambda: AreaCrop(least=Fraction(0)),
        lambda: AreaCrop(ratio=Fraction(1, 2)),
        lambda: AreaCrop(side=Fraction(1, 8)),
        lambda: AreaCrop(side=Fraction(5)),
        lambda: TrivialAugment(shift=Fraction(9, 8)),
        lambda: RandAugment(magnitude=Fraction(11)),
        lambda: RandAugment(magnitude=Fraction(7), deviation=Fraction(-1)),
        lambda: RandAugment(magnitude=Fraction(7), count=0),
        lambda: Erase(probability=Fraction(3, 2)),
        lambda: Erase(probability=Fraction(1), least=Fraction(1, 2)),
        lambda: Erase(probability=Fraction(1), narrowest=Fraction(4)),
        lambda: replace(QUICK, repeats=0),
        lambda: replace(QUICK, repeats=QUICK.batch + 1),
        lambda: Centre(shorter=Fraction(1, 2)),
        lambda: replace(QUICK, testing=(TenCrops(),)),
        lambda: replace(QUICK, testing=(Centre(scale=Fraction(320, 224)),)),
        lambda: replace(QUICK, norm_group=QUICK.batch + 1),
        lambda: replace(QUICK, norm_group=0),
        lambda: replace(QUICK, iterations=0),
    ],
)
def test_numbers_have_bounds(wrong: Callable[[], object]) -> None:
    """What cannot be done is refused where it is written."""
    with pytest.raises(RecipeError):
        wrong()
