"""What the draw of the test images adds to the uncertainty of a difference, from the answers to each of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from resatlas.reporting.statistics import Array


def image_covariance(wrong: Sequence["ArrayLike"]) -> "Array":
    """Covariances, in points squared, of the designs' mean errors over other draws of as many test images.

    `wrong` has, for each design, one row a network and one column an image: 1 where the answer is wrong, else 0. All
    designs are tested on the same images, so that hard ones move them together; a difference Σ w·mean has the variance
    wᵀCw. The share that is due to the networks, which vary from image to image, is in the variance over seeds already
    and is taken out: the estimate is that of a two-way analysis of variance with random images and random networks.

    Shape: each (..., networks, images) -> (..., designs, designs).
    """
    import numpy as np

    tables = [np.asarray(each, dtype=np.float64) for each in wrong]
    images = tables[0].shape[-1]
    means = np.stack([each.mean(axis=-2) for each in tables], axis=-2)
    means -= means.mean(axis=-1, keepdims=True)
    covariance = means @ np.swapaxes(means, -1, -2) / (images - 1)
    for place, table in enumerate(tables):
        covariance[..., place, place] -= _within(table) / table.shape[-2]
    return 100**2 * covariance / images


def variance_of(weights: Sequence[float], covariance: "Array") -> "Array":
    """wᵀCw, at least 0: the estimate of a small variance may be below it."""
    import numpy as np

    w = np.asarray(weights)
    return np.maximum((w * (covariance @ w)).sum(axis=-1), 0.0)


def _within(table: "Array") -> "Array":
    """The variance of answers to an image between networks of one design, without what a network has on all images."""
    networks, images = table.shape[-2:]
    if networks < 2:
        return table.mean(axis=(-1, -2)) * 0.0
    rest = table - table.mean(axis=-1, keepdims=True) - table.mean(axis=-2, keepdims=True)
    rest += table.mean(axis=(-1, -2), keepdims=True)
    return (rest**2).sum(axis=(-1, -2)) / ((networks - 1) * (images - 1))
