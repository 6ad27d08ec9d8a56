"""Mixed images against a loop over pixels; draws are pure functions with the probabilities of the recipe."""

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from resatlas.recipes.catalog import NAMED
from resatlas.recipes.regularisers import Cutmix, Mixing, Mixup
from resatlas.training.mixing import Mixture, mixed, mixture

BOTH = replace(NAMED["quick"], mixing=(Mixup(alpha=0.2), Cutmix()))

IMAGES = torch.rand(5, 3, 7, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 4])

DRAWS = 4000


def test_mixup_is_a_sum_of_two_images() -> None:
    """share·image + (1 - share)·partner, where the partner of image k of n is image n - 1 - k."""
    made, labels = mixed(IMAGES, LABELS, Mixture(share=0.3))
    for k in range(5):
        assert torch.allclose(made[k], 0.3 * IMAGES[k] + 0.7 * IMAGES[4 - k], rtol=1e-12)
    assert labels.partners is not None
    assert (labels.own.tolist(), labels.partners.tolist(), labels.share) == ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], 0.3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 0.999, 1.0])
@pytest.mark.parametrize("middle", [(0.5, 0.5), (0.0, 0.99), (0.9, 0.05)])
def test_a_box_of_the_partner_is_in_the_image(share: float, middle: tuple[float, float]) -> None:
    """Checked pixel by pixel; the share of the own image is the share of its remaining pixels."""
    before = IMAGES.clone()
    made, labels = mixed(IMAGES, LABELS, Mixture(share=share, middle=middle))
    half = [math.floor(side * math.sqrt(1 - share)) // 2 for side in (7, 10)]
    at = [math.floor(side * share_of_side) for side, share_of_side in zip((7, 10), middle, strict=True)]
    kept = 0
    for row in range(7):
        for column in range(10):
            inside = all(-h <= place - m < h for place, m, h in zip((row, column), at, half, strict=True))
            kept += not inside
            for k in range(5):
                assert made[k, :, row, column].equal(IMAGES[4 - k if inside else k, :, row, column])
    assert labels.share == pytest.approx(kept / 70)
    assert before.equal(IMAGES)


def test_nothing_is_mixed_by_default() -> None:
    """The tensors are returned unchanged, and a recipe without mixing draws nothing."""
    made, labels = mixed(IMAGES, LABELS, None)
    assert made is IMAGES
    assert labels.own is LABELS
    assert labels.partners is None
    assert all(mixture(NAMED["quick"], seed=0, step=step) is None for step in range(50))


def test_a_mixture_is_a_function_of_seed_and_step() -> None:
    """Equal for equal seed and step, different otherwise, independent of other draws."""
    before = mixture(BOTH, seed=3, step=17)
    torch.manual_seed(1)
    assert mixture(BOTH, seed=3, step=17) == before
    assert len({mixture(BOTH, seed=3, step=step) for step in range(100)}) == 100
    assert mixture(BOTH, seed=4, step=17) != before


def test_rules_are_equally_likely_among_mixed_batches() -> None:
    """A quarter of the batches is not mixed; each rule has half of the others, within four standard deviations."""
    recipe = replace(BOTH, mixed=Fraction(3, 4))
    counts = Counter(
        how and ("mixup" if how.middle is None else "cutmix")
        for how in (mixture(recipe, seed=0, step=step) for step in range(DRAWS))
    )
    for rule, probability in ((None, 1 / 4), ("mixup", 3 / 8), ("cutmix", 3 / 8)):
        deviation = math.sqrt(probability * (1 - probability) / DRAWS)
        assert abs(counts[rule] / DRAWS - probability) < 4 * deviation, rule


@pytest.mark.parametrize("rule", [Mixup(alpha=0.2), Mixup(alpha=8.0), Cutmix(), Cutmix(alpha=0.1)], ids=str)
def test_shares_are_beta_distributed(rule: Mixing) -> None:
    """Mean 1/2 and variance 1/(4·(2·alpha + 1)); centres of boxes are uniform over the image."""
    how = [mixture(replace(BOTH, mixing=(rule,)), seed=1, step=step) for step in range(DRAWS)]
    shares = torch.tensor([mixture.share for mixture in how if mixture], dtype=torch.float64)
    variance = 1 / (4 * (2 * rule.alpha + 1))
    assert len(shares) == DRAWS
    assert ((shares >= 0) & (shares <= 1)).all()
    assert abs(shares.mean() - 1 / 2) < 4 * math.sqrt(variance / DRAWS)
    assert shares.var() == pytest.approx(variance, rel=0.08)
    if isinstance(rule, Cutmix):
        middles = torch.tensor([mixture.middle for mixture in how if mixture and mixture.middle], dtype=torch.float64)
        assert (middles.mean(dim=0) - 1 / 2).abs().max() < 4 * math.sqrt(1 / 12 / DRAWS)
        assert middles.var(dim=0).tolist() == pytest.approx([1 / 12, 1 / 12], rel=0.08)
