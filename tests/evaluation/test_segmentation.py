"""Mean IoU by hand: over all pixels, void ones left out, absent classes too."""

import numpy as np
import pytest

from resatlas.data.segments import VOID
from resatlas.errors import DataError
from resatlas.evaluation.segmentation import confusion, segmentation

NAMES = ("ground", "cat", "dog")


def test_mean_iou_by_hand() -> None:
    """Two images are counted together; void pixels count nowhere; dog is nowhere and left out of the mean."""
    first = confusion(np.array([[0, 0], [1, VOID]], np.uint8), np.array([[0, 1], [1, 1]]), 3, unlabelled=VOID)
    second = confusion(np.array([[0, 1]], np.uint8), np.array([[0, 0]]), 3, unlabelled=VOID)
    figures = dict(segmentation([first, second], NAMES))
    assert figures["iou: ground"] == pytest.approx(100 * 2 / 4)
    assert figures["iou: cat"] == pytest.approx(100 * 1 / 3)
    assert figures["iou: dog"] is None
    assert figures["mean_iou"] == pytest.approx((50 + 100 / 3) / 2)
    assert figures["error_percent"] == pytest.approx(100 - (50 + 100 / 3) / 2)
    assert figures["pixel_accuracy"] == pytest.approx(60)
    assert next(iter(figures)) == "mean_iou"


def test_saying_ground_everywhere_is_accurate_and_bad() -> None:
    """92 % of pixels right is a mean IoU of 31 for three classes."""
    real = np.zeros((10, 10), np.uint8)
    real.flat[:8] = [1, 1, 1, 1, 2, 2, 2, 2]
    figures = dict(segmentation([confusion(real, np.zeros((10, 10), np.int64), 3, unlabelled=VOID)], NAMES))
    assert figures["pixel_accuracy"] == pytest.approx(92)
    assert figures["mean_iou"] == pytest.approx(92 / 3)


def test_what_cannot_be_compared_is_refused() -> None:
    """Other shapes, classes that do not exist, and nothing at all."""
    with pytest.raises(DataError, match="cannot be compared"):
        confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.int64), 3, unlabelled=VOID)
    for real, predicted in ((3, 0), (0, 3), (0, -1)):
        with pytest.raises(DataError, match="classes from 0 to 2"):
            confusion(np.full((1, 1), real, np.uint8), np.full((1, 1), predicted), 3, unlabelled=VOID)
    nothing = confusion(np.full((1, 1), VOID, np.uint8), np.zeros((1, 1), np.int64), 3, unlabelled=VOID)
    with pytest.raises(DataError, match="no pixel that counts"):
        list(segmentation([nothing], NAMES))


def test_the_class_that_does_not_count_is_the_tasks() -> None:
    """With -1 a network may have more than 255 classes, and class 255 counts as any other."""
    real, predicted = np.array([[255, 300, -1]]), np.array([[255, 299, 7]])
    matrix = confusion(real, predicted, 301, unlabelled=-1)
    assert (matrix[255, 255], matrix[300, 299], matrix.sum()) == (1, 1, 2)
