"""What the draw of the test images adds to the uncertainty of a difference, from the answers to each of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from resatlas.runs.record import RunRecord

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from resatlas.comparing.statistics import Array


class ImageDraw(NamedTuple):
    """How the designs' mean errors vary over draws of `count` test images, in points squared.

    `covariance` is that of the means, networks as they are; `within` is the share of each design's variance that is
    due to its networks differing from image to image, which the variance over seeds holds as well. Not a number for a
    design whose answers are not known.

    Shape: (..., designs, designs) and (..., designs).
    """

    covariance: "Array"
    within: "Array"
    count: int

    def added(self, weights: Sequence[float], over_seeds: "Array") -> "Array":
        """The variance that images add to that of Σ w·mean over seeds.

        That of a two-way analysis of variance with random images and random networks; with that over seeds it is at
        least the variance over images, networks as they are.
        """
        import numpy as np

        used = np.flatnonzero(weights)
        w = np.asarray(weights)[used]
        raw = (w * (self.covariance[..., used[:, None], used] @ w)).sum(axis=-1)
        twice = (w**2 * self.within[..., used]).sum(axis=-1)
        return np.maximum(np.maximum(raw - twice, raw - over_seeds), 0.0)


def wrong_answers(run: RunRecord) -> Mapping[tuple[str, str], bool]:
    """For each test image, by id and true class: whether the run misclassifies it; empty without predictions."""
    return {(answer.image, answer.true): answer.true != answer.predicted for answer in run.predictions or ()}


def image_draw(wrong: Sequence["ArrayLike"]) -> ImageDraw:
    """The draw of images, from one table a design: a row a network, a column an image, 1 where the answer is wrong.

    All designs are tested on the same images, so that hard ones move them together.

    Shape: each (..., networks, images).
    """
    import numpy as np

    tables = [np.asarray(each, dtype=np.float64) for each in wrong]
    images = tables[0].shape[-1]
    means = np.stack([each.mean(axis=-2) for each in tables], axis=-2)
    means -= means.mean(axis=-1, keepdims=True)
    scale = 100**2 / images
    covariance = means @ np.swapaxes(means, -1, -2) / (images - 1)
    within = np.stack([_within(each) / each.shape[-2] for each in tables], axis=-1)
    return ImageDraw(scale * covariance, scale * within, images)


def _within(table: "Array") -> "Array":
    """The variance of answers to an image between networks of one design, without what a network has on all images."""
    networks, images = table.shape[-2:]
    if networks < 2:
        return table.mean(axis=(-1, -2)) * 0.0
    rest = table - table.mean(axis=-1, keepdims=True) - table.mean(axis=-2, keepdims=True)
    rest += table.mean(axis=(-1, -2), keepdims=True)
    return (rest**2).sum(axis=(-1, -2)) / ((networks - 1) * (images - 1))
