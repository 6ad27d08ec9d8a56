"""Pictures of test images with what is there and what was found, as files for a page."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from resatlas.errors import DataError
from resatlas.studies.marking import Colour, Mark, covered, mark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from resatlas.data.boxes import AnnotatedImages
    from resatlas.evaluation.detections import ImageDetections

RIGHT: Colour = (0, 200, 255)
WRONG: Colour = (255, 150, 40)
REAL: Colour = (255, 255, 255)
IGNORED: Colour = (150, 150, 150)
"""Colours of right boxes, of wrong ones, of objects, and of objects that do not count."""

_LONGEST = 360  # pixels of the longer side of a picture with boxes
_LONGEST_OF_THREE = 220  # and of each of three pictures side by side


def of_boxes(truth: "AnnotatedImages", k: int, found: "ImageDetections", labels: Sequence[str]) -> bytes:
    """Image k with its objects, and the boxes that count as found; empty if it cannot be read.

    `labels` are the names of the classes, with one for no object before them.
    """
    from resatlas.evaluation.mistakes import pairs

    pixels = _read(truth, k)
    if pixels is None:
        return b""
    picture, scale = _sized(pixels, _LONGEST)
    place = truth.objects.of(k)
    boxes, real, ignored = (own[place] for own in (truth.objects.boxes, truth.objects.labels, truth.objects.ignore))

    def drawn(corners: "NDArray[np.float64]", colour: Colour, text: str = "") -> Mark:
        x0, y0, x1, y1 = (scale * corners).clip(-1, 1 + max(picture.size)).tolist()
        return Mark((x0, y0, x1, y1), colour, text, "lower" if colour == REAL else "upper")

    objects = [drawn(boxes[i], IGNORED) for i in ignored.nonzero()[0].tolist()]
    right: list[Mark] = []
    wrong: list[Mark] = []
    for pair in reversed(pairs(truth, k, found)):
        given = 0 if pair.found is None else int(found.labels[pair.found])
        same = pair.real is not None and given == real[pair.real]
        if pair.real is not None:
            objects.append(drawn(boxes[pair.real], REAL, "" if same else labels[int(real[pair.real])]))
        if pair.found is not None:
            text = f"{labels[given]} {found.scores[pair.found]:.2f}"
            (right if same else wrong).append(drawn(found.corners[pair.found], RIGHT if same else WRONG, text))
    mark(picture, [*objects, *right, *wrong])
    return _file(picture)


def of_classes(truth: "AnnotatedImages", k: int, found: "ImageDetections", unlabelled: int) -> bytes:
    """Image k, its true and its predicted classes side by side; empty if it cannot be read."""
    import numpy as np

    from resatlas.data.annotated_batches import real_classes
    from resatlas.evaluation.class_masks import classes_of

    pixels = _read(truth, k)
    if pixels is None:
        return b""
    height, width = pixels.shape[:2]
    real = real_classes(truth, k, unlabelled).numpy()
    views = (
        pixels,
        covered(pixels, np.where(real == unlabelled, 0, real)),
        covered(pixels, classes_of(found, height=height, width=width)),
    )
    gap = np.full((height, max(1, width // 50), 3), 255, np.uint8)
    row = np.concatenate([views[0], gap, views[1], gap, views[2]], axis=1)
    return _file(_sized(row, _LONGEST_OF_THREE * row.shape[1] // max(height, width))[0])


def _read(truth: "AnnotatedImages", k: int) -> "NDArray[np.uint8] | None":
    """The pixels of image k; None if it cannot be read, or has another size than its annotation says.

    Shape: (h, w, 3).
    """
    import numpy as np

    try:
        pixels = truth.read(k)
    except DataError:
        return None
    shape = (*truth.sizes[k].tolist(), 3)
    return np.ascontiguousarray(np.broadcast_to(pixels, shape)) if pixels.shape[:2] == shape[:2] else None


def _sized(pixels: "NDArray[np.uint8]", longest: int) -> "tuple[Image, float]":
    """A picture of at most so many pixels, and its scale; a small one is enlarged by a whole number."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    longer = max(picture.size)
    scale = longest // longer or longest / longer
    width, height = (max(1, round(scale * side)) for side in picture.size)
    way = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return picture.resize((width, height), way), scale


def _file(picture: "Image") -> bytes:
    """The picture as PNG or JPEG, whichever is smaller."""
    files = [BytesIO(), BytesIO()]
    picture.save(files[0], format="PNG", optimize=True)
    picture.save(files[1], format="JPEG", quality=85, subsampling=0)
    return min((file.getvalue() for file in files), key=len)
