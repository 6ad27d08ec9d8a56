"""Pictures of mistakes: the colours of boxes and classes, sizes, images that cannot be read."""

from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resatlas.data.boxes import AnnotatedImages
from resatlas.data.masks import encoded
from resatlas.errors import DataError
from resatlas.evaluation.class_masks import masks_of
from resatlas.studies.marking import colour_of
from resatlas.studies.mistake_pictures import IGNORED, REAL, RIGHT, WRONG, of_boxes, of_classes
from tests.evaluation.test_detection import A, B, C, found_in, images_with

LABELS = ("no object", "cat", "dog")


def opened(file: bytes) -> NDArray[np.uint8]:
    """The pixels of a picture."""
    return np.asarray(Image.open(BytesIO(file)).convert("RGB"))


def without_file(truth: AnnotatedImages) -> AnnotatedImages:
    """The images, none of which can be read."""

    def read(_: int) -> NDArray[np.uint8]:
        raise DataError("gone")

    return replace(truth, read=read)


def test_colours_say_what_is_right() -> None:
    """Right boxes over their objects, a wrong one, a missed object, one that does not count; the image enlarged."""
    crowd = [60.0, 5.0, 95.0, 30.0]
    truth = images_with([[A, B, C, crowd]], [[1, 2, 1, 1]], ignore=(3,))
    boxes = [([12.0, 12.0, 31.0, 31.0], 1, 0.9), (B, 1, 0.8), (C, 1, 0.4), ([-1e300, 0.0, 1e300, 9.0], 2, 0.6)]
    [image] = found_in(truth, [boxes]).images
    pixels = opened(of_boxes(truth, 0, image, LABELS))
    assert pixels.shape == (300, 300, 3)
    assert tuple(pixels[36, 70]) == RIGHT  # the upper edge of the first box, beside its text
    assert tuple(pixels[30, 80]) == REAL
    assert tuple(pixels[239, 200]) == WRONG  # of another class
    assert tuple(pixels[180, 60]) == REAL  # missed, since its box is unsure
    assert tuple(pixels[15, 250]) == IGNORED
    assert of_boxes(without_file(truth), 0, image, LABELS) == b""


def test_classes_stand_beside_each_other() -> None:
    """The image, its true and its predicted classes; a large one is made smaller."""
    side = 400
    real = np.zeros((side, side), np.uint8)
    real[:200] = 1
    truth = images_with([[[0.0, 0.0, 400.0, 200.0]]], [[1]])
    truth = replace(
        truth,
        sizes=np.full((1, 2), side),
        objects=replace(truth.objects, masks=(encoded(real),)),
        read=lambda _: np.full((side, side, 1), 100, np.uint8),
    )
    file = of_classes(truth, 0, masks_of("0", 2 * (1 - real.astype(np.int64))), 255)
    pixels = opened(file)
    assert max(pixels.shape) == pixels.shape[1] <= 3.1 * 220
    mixed = [tuple((100 + part) // 2 for part in colour_of(k)) for k in (0, 1)]
    third = pixels.shape[1] // 3
    seen = [pixels[down, across] for across in (third // 2, third * 3 // 2, third * 5 // 2) for down in (50, 170)]
    wanted = [(100,) * 3, (100,) * 3, mixed[0], (100,) * 3, (100,) * 3, mixed[1]]
    assert np.abs(np.array(seen, int) - np.array(wanted)).max() < 12  # a JPEG file may differ a little
    assert of_classes(without_file(truth), 0, masks_of("0", real.astype(np.int64)), 255) == b""
