"""Masks of objects as runs of pixels, column after column, in both of COCO's spellings, and from polygons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resatlas.errors import DataError

_FINER = 5
"""A polygon's edges are followed on a grid 5 times finer than the pixels. Source: COCO API, maskApi.c, rleFrPoly."""

_FAR = 1 << 20  # pixels: a corner farther outside an image is a mistake, and its edges take long to follow


@dataclass(frozen=True, kw_only=True, eq=False)
class Rle:
    """A mask as the lengths of its runs, of zeros and ones in turn, from the top of each column to its end.

    Shape: counts (r,) of int64.
    Raises: DataError if the runs are negative or do not fill the image.
    """

    height: int
    width: int
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.counts) and self.counts.min() < 0:
            raise DataError(f"runs of a mask are 0 or longer; got {self.counts.min()}")
        if (pixels := int(self.counts.sum())) != self.height * self.width:
            raise DataError(
                f"a mask of {self.width} x {self.height} pixels has runs of {self.height * self.width:,} in all; "
                f"got {pixels:,}"
            )

    @property
    def area(self) -> int:
        """The number of ones."""
        return int(self.counts[1::2].sum())

    def runs(self) -> "Rle":
        """The mask itself."""
        return self

    def content(self) -> bytes:
        """Bytes that are those of no other mask of this size."""
        return self.counts.astype("<i8").tobytes()

    def decoded(self) -> NDArray[np.uint8]:
        """The pixels.

        Shape: (height, width) of 0 and 1.
        """
        values = np.arange(len(self.counts), dtype=np.uint8) % 2
        return np.ascontiguousarray(np.repeat(values, self.counts).reshape(self.width, self.height).T)

    def compressed(self) -> str:
        """The runs in COCO's letters: differences to the run before last in groups of 5 bits, lowest first, from "0".

        Source: COCO API, maskApi.c, rleToString.
        """
        letters: list[str] = []
        counts = self.counts.tolist()
        for k, count in enumerate(counts):
            rest, more = count - (counts[k - 2] if k > 2 else 0), True
            while more:
                group, rest = rest & 31, rest >> 5
                more = rest != (-1 if group & 16 else 0)
                letters.append(chr(48 + (group | 32 if more else group)))
        return "".join(letters)

    def segmentation(self) -> dict[str, object]:
        """The mask as annotations of COCO have it: its size, height first, and its compressed runs."""
        return {"size": [self.height, self.width], "counts": self.compressed()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """A mask as the union of polygons, drawn when it is wanted; corners are (x, y) in pixels.

    Shape: each polygon (p, 2) of float64.
    Raises: DataError if a corner is not a number, or so far outside that no photograph has it.
    """

    height: int
    width: int
    corners: tuple[NDArray[np.float64], ...]

    def __post_init__(self) -> None:
        for polygon in self.corners:
            if not np.isfinite(polygon).all() or np.abs(polygon).max(initial=0) > _FAR:
                raise DataError("corners of polygons are finite numbers near their image")

    @property
    def area(self) -> int:
        """The number of ones."""
        return self.runs().area

    def runs(self) -> Rle:
        """Its runs."""
        return of_polygons(self.corners, self.height, self.width)

    def decoded(self) -> NDArray[np.uint8]:
        """The pixels, as `Rle.decoded`."""
        return self.runs().decoded()

    def content(self) -> bytes:
        """Bytes that are those of no other polygons of this size."""
        return b"".join(polygon.astype("<f8").tobytes() + b"\0" for polygon in self.corners)


Mask = Rle | Polygons


def encoded(mask: NDArray[np.uint8]) -> Rle:
    """The runs of a mask.

    Shape: mask (h, w), where all but 0 counts as 1.
    """
    height, width = mask.shape
    column = (mask != 0).T.reshape(-1)
    changes = np.flatnonzero(np.diff(column)) + 1
    starts = np.concatenate([[0], changes] if not (len(column) and column[0]) else [[0], [0], changes])
    return Rle(height=height, width=width, counts=np.diff(np.append(starts, len(column))).astype(np.int64))


def decompressed(text: str, height: int, width: int) -> Rle:
    """The mask that `Rle.compressed` wrote.

    Raises: DataError for letters that are not runs of such a mask.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or shift > 60:
            raise DataError(f"a compressed mask has letters from 0 to o; got {letter!r}")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            value -= (1 << shift) if group & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise DataError("a compressed mask ends within a run")
    if any(not 0 <= count <= height * width for count in counts):
        raise DataError(f"a run of a compressed mask lies outside 0 to {height * width:,}")
    return Rle(height=height, width=width, counts=np.array(counts, np.int64))


def of_polygons(polygons: Sequence[NDArray[np.float64]], height: int, width: int) -> Rle:
    """The union of polygons, each of corners (x, y) in pixels, as COCO's own code draws them.

    Shape: each polygon (p, 2).
    Source: COCO API, maskApi.c, rleFrPoly.
    """
    if len(polygons) == 1:
        return _of_polygon(polygons[0], height, width)
    union = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        union |= _of_polygon(polygon, height, width).decoded()
    return encoded(union)


def _of_polygon(corners: NDArray[np.float64], height: int, width: int) -> Rle:
    """The pixels inside a polygon: each column changes where the outline, rounded to the finer grid, crosses it."""
    outline = np.trunc(_FINER * corners + 0.5).astype(np.int64)
    ends = np.roll(outline, -1, axis=0)
    x, y = np.concatenate([_line(start, end) for start, end in zip(outline, ends, strict=True)]).T
    moved = np.flatnonzero(x[1:] != x[:-1]) + 1
    column = np.where(x[moved] < x[moved - 1], x[moved], x[moved] - 1)
    top = np.minimum(y[moved], y[moved - 1])
    inside = (2 * column + 1 - _FINER) % (2 * _FINER) == 0  # a column of pixels has its centre there
    column, top = (2 * column[inside] + 1 - _FINER) // (2 * _FINER), top[inside]
    seen = (column >= 0) & (column < width)
    row = -((_FINER - 2 * top[seen] - 1) // (2 * _FINER))  # rounded up
    places = np.sort(column[seen] * height + np.clip(row, 0, height))
    once, times = np.unique(places, return_counts=True)
    changes = once[times % 2 == 1]
    changes = changes[changes < height * width]
    counts = np.diff(np.concatenate([[0], changes, [height * width]]))
    return Rle(height=height, width=width, counts=counts.astype(np.int64))


def _line(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The points of the finer grid from start to end, one for each step along the longer side.

    Shape: (2,), (2,) -> (steps + 1, 2).
    """
    along = int(abs(end[0] - start[0]) < abs(end[1] - start[1]))
    low, high = (start, end) if start[along] <= end[along] else (end, start)
    steps = np.arange(int(high[along] - low[along]) + 1)
    slope = (high[1 - along] - low[1 - along]) / max(len(steps) - 1, 1)
    points = np.empty((len(steps), 2), np.int64)
    points[:, along] = low[along] + steps
    points[:, 1 - along] = np.trunc(low[1 - along] + slope * steps + 0.5)
    return points if low is start else points[::-1]
