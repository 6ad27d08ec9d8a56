"""Test images for a page: read from the data set of a run, where that is in memory and still the same."""

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
from resatlas.studies.single import read_parts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IN_FILES = ("imagenet",)
"""Of the data sets by name, those whose images are files: none is opened for a page."""


def pictures() -> Pictures:
    """Who gives the test images of runs as PNG; a data set is read at the first one asked for, and once."""
    read = cache(read_parts)
    return lambda run, images: _pictures(run, images, read)


def _pictures(run: RunRecord, images: Sequence[str], read: Callable[[DataSet], Parts]) -> Mapping[str, bytes] | str:
    """The images by their ids, or why there are none; no sentence names a folder."""
    name, _, _ = datasets.separated(run.experiment.data)
    if name not in datasets.NAMED or name in IN_FILES:
        return "No picture is shown: these images are files, and none is opened for a page."
    try:
        data = datasets.resolve(run.experiment.data)
        check_classes(run, data)
        parts = read(data)
        check_own(run.beginning, data, parts, roles=("test",), purpose="none is shown")
    except (ResatlasError, ImportError):
        return f"No picture is shown: {name} is not on this machine, or is no longer what the runs were tested on."
    if not isinstance(parts.test, ImageSet) or parts.test.shape.channels not in (1, 3):
        return f"No picture is shown: the images of {name} are no grey or coloured images in memory."
    places = {str(each): k for k, each in enumerate(parts.test.ids.tolist())}
    return {image: png(parts.test.images[places[image]]) for image in images if image in places}


def png(pixels: "NDArray[np.uint8]") -> bytes:
    """An image as a PNG file.

    Shape: (c, h, w), c = 1 for grey or 3 for colours.
    """
    from PIL import Image

    file = BytesIO()
    picture = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(picture).save(file, format="PNG", optimize=True)
    return file.getvalue()
