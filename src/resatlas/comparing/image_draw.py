"""The uncertainty that the draw of the test images adds to a difference, from the predictions for each image."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from resatlas.runs.record import RunRecord

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from resatlas.comparing.statistics import Array


class ImageDraw(NamedTuple):
    """How the designs' mean errors vary over draws of `count` test images, in points squared.

    `covariance` is that of the means for fixed networks. `within` is the share of each design's variance that comes
    from its networks differing from image to image; the variance over seeds contains it too. Both are not a number for
    a design without predictions.

    Shape: (..., designs, designs) and (..., designs).
    """

    covariance: "Array"
    within: "Array"
    count: int

    def added(self, weights: Sequence[float], over_seeds: "Array") -> "Array":
        """The variance that images add to that of Σ w·mean over seeds.

        It is that of a two-way analysis of variance with random images and random networks. Together with the variance
        over seeds it is at least the variance over images for fixed networks.
        """
        import numpy as np

        used = np.flatnonzero(weights)
        w = np.asarray(weights)[used]
        raw = (w * (self.covariance[..., used[:, None], used] @ w)).sum(axis=-1)
        twice = (w**2 * self.within[..., used]).sum(axis=-1)
        return np.maximum(np.maximum(raw - twice, raw - over_seeds), 0.0)


def misclassified_images(run: RunRecord) -> Mapping[tuple[str, str], bool]:
    """For each test image, by id and true class: whether the run misclassifies it; empty without predictions."""
    return {
        (prediction.image, prediction.true): prediction.true != prediction.predicted
        for prediction in run.predictions or ()
    }


def image_draw(misclassified: Sequence["ArrayLike"]) -> ImageDraw:
    """The draw of images from a table per design: a row per network, a column per image, 1 where misclassified.

    All designs are tested on the same images, so that difficult images raise the errors of all of them together.

    Shape: each (..., networks, images).
    """
    import numpy as np

    tables = [np.asarray(table, dtype=np.float64) for table in misclassified]
    images = tables[0].shape[-1]
    means = np.stack([table.mean(axis=-2) for table in tables], axis=-2)
    means -= means.mean(axis=-1, keepdims=True)
    scale = 100**2 / images
    covariance = means @ np.swapaxes(means, -1, -2) / (images - 1)
    within = np.stack([_variance_within(table) / table.shape[-2] for table in tables], axis=-1)
    return ImageDraw(scale * covariance, scale * within, images)


def _variance_within(table: "Array") -> "Array":
    """The variance between one design's networks image by image, without each network's mean over all images."""
    networks, images = table.shape[-2:]
    if networks < 2:
        return table.mean(axis=(-1, -2)) * 0.0
    rest = table - table.mean(axis=-1, keepdims=True) - table.mean(axis=-2, keepdims=True)
    rest += table.mean(axis=(-1, -2), keepdims=True)
    return (rest**2).sum(axis=(-1, -2)) / ((networks - 1) * (images - 1))
