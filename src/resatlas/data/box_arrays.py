"""Boxes x0, y0, x1, y1 as rows of an array."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # describing a data set needs no numpy
    import numpy as np
    from numpy.typing import NDArray


def clipped(boxes: "NDArray[np.float64]", height: int, width: int) -> "NDArray[np.float64]":
    """The boxes cut to an image.

    Shape: (n, 4) -> (n, 4).
    """
    import numpy as np

    return np.clip(boxes, 0, np.array([width, height, width, height], np.float64))


def with_area(boxes: "NDArray[np.float64]") -> "NDArray[np.bool_]":
    """Whether each box has an area, also when its sides are rounded to float32.

    Shape: (n, 4) -> (n,).
    """
    import numpy as np

    rounded = boxes.astype(np.float32)
    return (rounded[:, 2] > rounded[:, 0]) & (rounded[:, 3] > rounded[:, 1])


def box_of(mask: "NDArray[np.uint8]") -> tuple[float, float, float, float]:
    """The smallest box x0, y0, x1, y1 around the ones of a mask; zeros for an empty mask.

    Shape: mask (h, w).
    """
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
