"""Masks by COCO's own code, the reference of ours."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

_coco: Any = mask


def polygons_to_letters(polygons: list[NDArray[np.float64]], height: int, width: int) -> str:
    """The union of polygons, compressed."""
    return _coco.merge(_coco.frPyObjects([one.ravel().tolist() for one in polygons], height, width))["counts"].decode()


def letters_to_pixels(letters: str, height: int, width: int) -> NDArray[np.uint8]:
    """The pixels of a compressed mask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its arrays are those of NumPy 1
        return np.array(_coco.decode({"size": [height, width], "counts": letters.encode()}))


def pixels_to_letters(pixels: NDArray[np.uint8]) -> str:
    """The compressed mask of pixels."""
    return _coco.encode(np.asfortranarray(pixels))["counts"].decode()
