"""Test images for a page, from the data set of a run, if its images are in memory and unchanged."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.errors import ResatlasError
from resatlas.page.confusion import Pictures
from resatlas.runs.record import RunRecord
from resatlas.studies.checks import check_classes
from resatlas.studies.own_images import check_own
from resatlas.values.language import said

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_IN_FILES = ("imagenet",)
"""The named data sets whose images are files, which a page does not show."""


def pictures() -> Pictures:
    """A function that returns test images of a run as PNG; it reads each data set once, at the first call for it."""
    read = cache(_read)
    return lambda run, images: _pictures(run, images, read)


def _read(data: DataSet) -> Parts:
    return data.read()


def _pictures(run: RunRecord, images: Sequence[str], read: Callable[[DataSet], Parts]) -> Mapping[str, bytes] | str:
    """The images by their ids, or the reason why there are none, which names no folder."""
    name, _, _ = datasets.separated(run.experiment.data)
    if name not in datasets.NAMED or name in _IN_FILES:
        return said("No pictures: a page does not read image files.")
    try:
        data = datasets.resolve(run.experiment.data)
        check_classes(run, data)
        parts = read(data)
        check_own(run.beginning, data, parts, roles=("test",), purpose="none is shown")
    except (ResatlasError, ImportError):
        return said("No pictures: {data} is not on this machine, or has changed since the runs were tested.", data=name)
    if not isinstance(parts.test, ImageSet) or parts.test.shape.channels not in (1, 3):
        return said("No pictures: the images of {data} are neither greyscale nor RGB images in memory.", data=name)
    positions = {str(id_): k for k, id_ in enumerate(parts.test.ids.tolist())}
    return {image: png(parts.test.images[positions[image]]) for image in images if image in positions}


def png(pixels: "NDArray[np.uint8]") -> bytes:
    """An image as a PNG file.

    Shape: (c, h, w), c = 1 for greyscale or 3 for RGB.
    """
    from PIL import Image

    file = BytesIO()
    picture = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(picture).save(file, format="PNG", optimize=True)
    return file.getvalue()
