"""Missed objects, false boxes and confused classes by hand; curves whose means are AP; classes as masks and back."""

import numpy as np
import pytest

from resatlas.errors import DataError, UsageError
from resatlas.evaluation.class_masks import classes_of, masks_of
from resatlas.evaluation.detection import detection, precisions
from resatlas.evaluation.mistakes import Mistakes, Pair, judged, pairs, worst
from tests.evaluation.found import scene
from tests.evaluation.test_detection import A, B, C, found_in, images_with

NEAR_A = [11.0, 11.0, 31.0, 31.0]


def test_boxes_and_objects_are_paired_by_class_then_by_place() -> None:
    """A box of the right class has its object before a surer one of another class; the unsure box does not count."""
    truth = images_with([[A, B, C], [A]], [[1, 2, 1], [2]])
    boxes = [(NEAR_A, 2, 0.9), (A, 1, 0.8), (B, 1, 0.7), (C, 1, 0.4)]
    found = found_in(truth, [boxes, [(B, 2, 0.6), (A, 2, 0.5), (A, 2, 0.5)]])
    assert sorted(pairs(truth, 0, found.images[0]), key=str) == sorted(
        [Pair(0, None), Pair(1, 0), Pair(2, 1), Pair(None, 2)], key=str
    )
    mistakes, counts = judged(truth, found)
    assert mistakes == {"0": Mistakes(missed=1, false=1, confused=1), "1": Mistakes(missed=0, false=2, confused=0)}
    assert counts == {(1, 1): 1, (2, 1): 1, (1, 0): 1, (0, 2): 3, (2, 2): 1}
    assert worst({image: own.total for image, own in mistakes.items()}, most=1) == ["0"]
    assert worst({"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.1}, most=9) == ["c", "b", "d"]


def test_objects_that_do_not_count_excuse_boxes_in_them() -> None:
    """They are neither missed nor found; a box of another class is still false."""
    truth = images_with([[B]], [[1]], ignore=(0,))
    inside = [50.0, 50.0, 60.0, 60.0]
    mistakes, _ = judged(truth, found_in(truth, [[(inside, 1, 0.9), (inside, 2, 0.9), (A, 1, 0.9)]]))
    assert mistakes == {"0": Mistakes(missed=0, false=2, confused=0)}


@pytest.mark.parametrize("seed", range(2))
def test_every_object_and_every_sure_box_is_in_one_pair(seed: int) -> None:
    """Means of the curves are AP at their IoU; with all boxes, those of the rows are the objects that count."""
    truth, found = scene(seed)
    figures = dict(detection(truth, found))
    for values, name in zip(precisions(truth, found, at=(0.5, 0.75)), ("ap50", "ap75"), strict=True):
        assert 100 * values[values >= 0].mean() == pytest.approx(figures[name])
    for k, image in enumerate(found.images):
        own = pairs(truth, k, image, sure=0.0)
        real = [pair.real for pair in own if pair.real is not None]
        boxes = [pair.found for pair in own if pair.found is not None]
        counted = np.flatnonzero(~truth.objects.ignore[truth.objects.of(k)]).tolist()
        assert sorted(real) == counted
        assert len(set(boxes)) == len(boxes) <= len(image)
    with pytest.raises(UsageError, match=r"COCO's IoUs are 0\.5, 0\.55, … 0\.95; got 0\.3"):
        precisions(truth, found, at=(0.3,))


def test_classes_of_pixels_are_masks_and_back() -> None:
    """Without the ground; masks of another size are refused."""
    classes = np.random.default_rng(0).integers(0, 4, (7, 5))
    found = masks_of("a", classes)
    assert found.labels.tolist() == [1, 2, 3]
    assert classes_of(found, height=7, width=5).tolist() == classes.tolist()
    assert len(masks_of("b", np.zeros((3, 3), np.int64))) == 0
    with pytest.raises(DataError, match="classes of image 'a' are masks of 7 x 5 pixels; got others"):
        classes_of(found, height=5, width=7)
