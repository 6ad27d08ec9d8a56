"""Rectangles of images are erased as often, as large and as long as they are described."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from resatlas.data.augment import erased
from resatlas.recipes.images import Erase

ALWAYS = Erase(probability=Fraction(1))


def drawn(seed: int = 0) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


def rectangle(image: Tensor, made: Tensor) -> tuple[int, int] | None:
    """(height, width) of what changed, which must be a whole rectangle; None if nothing did."""
    changed = (image != made).all(dim=0)
    assert changed.equal((image != made).any(dim=0))
    if not changed.any():
        return None
    rows, columns = changed.any(dim=1), changed.any(dim=0)
    assert changed.equal(rows[:, None] & columns[None])
    for side in (rows, columns):
        places = side.nonzero().flatten()
        assert len(places) == int(places[-1] - places[0]) + 1
    return int(rows.sum()), int(columns.sum())


def test_rectangles_are_drawn_as_torchvision_draws_them() -> None:
    """600 images have the same share, areas and ratios as torchvision's, up to chance; other pixels are unchanged."""
    from torchvision.transforms import RandomErasing

    image, step = torch.ones(3, 60, 80), Erase(probability=Fraction(3, 4))
    torch.manual_seed(0)
    theirs = RandomErasing(p=0.75)
    drawn_boxes = [rectangle(image, erased(image, step, drawn(seed))) for seed in range(600)]
    expected = [rectangle(image, theirs(image)) for _ in range(600)]
    for sample in (drawn_boxes, expected):
        assert abs(sum(box is None for box in sample) / 600 - 1 / 4) < 0.06
    one, other = (np.array([box for box in sample if box]) for sample in (drawn_boxes, expected))
    areas = [sample.prod(axis=1) for sample in (one, other)]
    ratios = [np.log(sample[:, 0] / sample[:, 1]) for sample in (one, other)]
    for ours, reference in (areas, ratios):
        for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
            apart = np.quantile(ours, quantile) - np.quantile(reference, quantile)
            assert abs(apart) < 0.3 * np.std(reference)
    assert 0.015 < areas[0].min() / 4800 < 0.06
    assert 0.27 < areas[0].max() / 4800 < 0.35


def test_noise_is_standard_in_every_value() -> None:
    """Mean 0 and deviation 1 inside, with different values in all channels."""
    image = torch.full((3, 64, 64), 9.0)
    made = [erased(image, Erase(probability=Fraction(1), fill="noise"), drawn(seed)) for seed in range(40)]
    values = torch.cat([view[:, (view != image).all(dim=0)] for view in made], dim=1)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert not values[0].equal(values[1])


@pytest.mark.parametrize("fill", ["zeros", "noise"])
def test_an_image_is_fixed_by_its_draw(fill: str) -> None:
    """Equal generators erase the same, others differ, and the original image is unchanged."""
    image = torch.ones(1, 20, 20)
    step = Erase(probability=Fraction(1), fill=fill)  # type: ignore[arg-type]
    made = [erased(image, step, drawn(seed)) for seed in (0, 1, 2, 0)]
    assert made[0].equal(made[3])
    assert not made[0].equal(made[1])
    assert image.equal(torch.ones(1, 20, 20))


def test_what_never_fits_is_left_out() -> None:
    """A strip is narrower than every rectangle of an allowed ratio; probability 0 erases nothing."""
    strip = torch.ones(1, 2, 400)
    for seed in range(20):
        assert erased(strip, Erase(probability=Fraction(1), least=Fraction(1, 4)), drawn(seed)).equal(strip)
        assert erased(torch.ones(1, 9, 9), Erase(probability=Fraction(0)), drawn(seed)).equal(torch.ones(1, 9, 9))


def test_rectangles_lie_everywhere() -> None:
    """Every pixel is erased by some draw, and at most 33 % of an image is."""
    made = torch.stack([erased(torch.ones(1, 16, 16), ALWAYS, drawn(seed)) for seed in range(1500)])
    assert (made == 0).any(dim=0).all()
    assert float((made == 0).double().mean(dim=(1, 2, 3)).max()) < 0.38
    assert math.isclose(float(made.max()), 1)
