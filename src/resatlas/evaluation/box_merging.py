"""Detections of several looks at an image made one: mirrored and scaled back, suppressed, refined by votes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resatlas.errors import UsageError
from resatlas.evaluation.detection import overlap
from resatlas.evaluation.detections import ImageDetections
from resatlas.recipes.detection import Refined


def mirrored_back(found: ImageDetections, *, width: int) -> ImageDetections:
    """Detections in the mirror image of an image of this width, in the image itself; they have no masks."""
    boxes = found.boxes.copy()
    boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    return replace(found, boxes=boxes, masks=())


def scaled_back(found: ImageDetections, *, across: float, down: float) -> ImageDetections:
    """Detections in an image scaled by these factors, in the image itself; they have no masks.

    Raises: UsageError if a factor is not above 0.
    """
    if not (across > 0 and down > 0):
        raise UsageError(f"images are scaled by factors above 0; got {across:g} and {down:g}")
    return replace(found, boxes=found.boxes / np.array([across, down, across, down]), masks=())


def united(looks: Sequence[ImageDetections], *, threshold: float, most: int = 100) -> ImageDetections:
    """The detections of several looks at one image, all in its own pixels, after suppression; `most` are kept.

    Raises: UsageError if the looks are of several images, or there is none.
    """
    if len({look.image for look in looks}) != 1:
        raise UsageError(
            f"looks at one image are united; got {len(looks)} at {len({look.image for look in looks})} images"
        )
    together = ImageDetections(
        image=looks[0].image,
        boxes=np.concatenate([look.boxes for look in looks]),
        labels=np.concatenate([look.labels for look in looks]),
        scores=np.concatenate([look.scores for look in looks]),
    )
    return together.take(survivors(together, threshold)[:most])


def survivors(found: ImageDetections, threshold: float) -> NDArray[np.int64]:
    """The places, best first, of the detections that no better one of their class overlaps by more than the threshold.

    Of equal scores the earlier one is better.

    Shape: (k,).
    """
    order = np.argsort(-found.scores, kind="stable")
    close = overlap(found.corners[order], found.corners[order]) > threshold
    close &= found.labels[order][:, None] == found.labels[order][None, :]
    alive = np.ones(len(order), np.bool_)
    for k in range(len(order)):
        if alive[k]:
            alive[k + 1 :] &= ~close[k, k + 1 :]
    return order[alive]


def refined(candidates: ImageDetections, rules: Refined, *, most: int) -> ImageDetections:
    """The boxes of both passes of a box refinement, suppressed, voted for, and at most so many."""
    return voted(candidates.take(survivors(candidates, rules.nms)[:most]), candidates, threshold=rules.votes)


def voted(kept: ImageDetections, all_found: ImageDetections, *, threshold: float = 0.5) -> ImageDetections:
    """The kept detections with refined boxes: the means of boxes of their class, weighted by scores.

    A box that overlaps a kept one by the threshold or more votes for it; scores stay as they are.

    Raises: UsageError if they are of two images, or a score is negative.
    Source: multi-region CNN (arXiv:1505.01749), section 4.2: box voting.
    """
    if kept.image != all_found.image:
        raise UsageError(f"boxes of image {kept.image!r} are refined by its own; got those of {all_found.image!r}")
    if (all_found.scores < 0).any():
        raise UsageError(f"scores that weigh boxes are from 0; got {all_found.scores.min():g}")
    votes = overlap(kept.corners, all_found.corners) >= threshold
    votes &= kept.labels[:, None] == all_found.labels[None, :]
    weights = votes * all_found.scores
    total = weights.sum(axis=1, keepdims=True)
    means = weights @ all_found.boxes / np.where(total > 0, total, 1)
    return replace(kept, boxes=np.where(total > 0, means, kept.boxes))
