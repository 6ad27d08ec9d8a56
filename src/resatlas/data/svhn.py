"""Street View House Numbers, format 2 (cropped digits), from the MATLAB files as they were published."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.official import Checksum, Official, Source, check, located
from resatlas.errors import DataError, UsageError
from resatlas.values.reading import opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_IMAGE = Shape(3, 32, 32)
SITE = "https://ufldl.stanford.edu/housenumbers/"


@dataclass(frozen=True, kw_only=True)
class MatFile:
    """A published file and the number of its images.

    X has the pixels by row, column, colour and image; y the labels 1…10, where 10 is the digit 0.
    """

    official: Official
    images: int


def svhn(extra: int = 1) -> DataSet:
    """604,388 + 26,032 digits of house numbers in colour, 32x32 pixels; 73,257 + 26,032 without the extra ones.

    Raises: UsageError if extra is neither 0 nor 1.
    Source: Y. Netzer and others, "Reading Digits in Natural Images with Unsupervised Feature Learning" (2011); papers
        that report SVHN train on both training files.
    """
    if extra not in (0, 1):
        raise UsageError(
            f"extra of svhn is 1 (train and extra, as papers use it) or 0 (train alone); {extra} is neither"
        )
    trained = "train and extra" if extra else "train alone, where papers also use extra"
    return DataSet(
        name="svhn",
        image=_IMAGE,
        classes=tuple("0123456789"),
        mirror="forbidden",
        note=f"trained on {trained}; the test images are the published 26,032",
        read=partial(read, extra=extra),
    )


def source(*, extra: int) -> Source:
    """The files that are read: train, extra unless it is left out, test."""
    files = tuple(file.official for file in chosen(extra))
    return Source(name="svhn" if extra else "svhn:extra=0", title="SVHN", files=files)


def chosen(extra: int) -> tuple[MatFile, ...]:
    """The files of the training part, then that of the test part."""
    return (TRAIN, EXTRA, TEST) if extra else (TRAIN, TEST)


def read(*, extra: int) -> Parts:
    """Both parts, verified; positions count the files of a part one after another.

    Raises: DataError if a file is missing, damaged or another one.
    """
    files = chosen(extra)
    paths = located(source(extra=extra))
    for path, file in zip(paths, files, strict=True):
        check(path, file.official)
    return Parts(train=part(paths[:-1], files[:-1]), test=part(paths[-1:], files[-1:]))


def part(paths: Sequence[Path], files: Sequence[MatFile]) -> ImageSet:
    """The images of these files; each array of a file is let go before the next is read.

    Raises: DataError if a file does not hold what was published.
    """
    import numpy as np

    n = sum(file.images for file in files)
    images, labels = np.empty((n, *_IMAGE), np.uint8), np.empty(n, np.int64)
    begin = 0
    for path, file in zip(paths, files, strict=True):
        here = slice(begin, begin := begin + file.images)
        pixels, digits = arrays(path, n=file.images)
        images[here] = pixels.transpose(3, 2, 0, 1)
        labels[here] = digits % 10
    return ImageSet(images=images, labels=labels, ids=np.arange(n))


def arrays(path: Path, *, n: int) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """X and y of a file that was checked to be the published one.

    Shape: (h, w, c, n), (n,).
    Raises: DataError if they are not of that shape, or a label is outside 1…10.
    """
    from scipy.io import loadmat

    with opened(path) as file:
        variables = loadmat(file, variable_names=("X", "y"))
    for name, shape in (("X", (_IMAGE.height, _IMAGE.width, _IMAGE.channels, n)), ("y", (n, 1))):
        if name not in variables or variables[name].dtype != "uint8" or variables[name].shape != shape:
            raise DataError(f"{path} should have {name}, {'x'.join(map(str, shape))} unsigned bytes, and has not")
    pixels, digits = variables["X"], variables["y"][:, 0]
    if digits.min() < 1 or digits.max() > 10:
        raise DataError(f"{path} should have labels from 1 to 10; they go from {digits.min()} to {digits.max()}")
    return pixels, digits


TRAIN = MatFile(
    official=Official(
        name="train_32x32.mat",
        site=SITE,
        bytes=182_040_794,
        checksum=Checksum(algorithm="md5", digest="e26dedcc434d2e4c54c9b2d4a06d8373"),
    ),
    images=73_257,
)
"""Source of the counts: the authors' page, ufldl.stanford.edu/housenumbers; of the md5: torchvision's svhn.py; of the
sizes: as that server gives them.
"""

EXTRA = MatFile(
    official=Official(
        name="extra_32x32.mat",
        site=SITE,
        bytes=1_329_278_602,
        checksum=Checksum(algorithm="md5", digest="a93ce644f1a588dc4d68dda5feec44a7"),
    ),
    images=531_131,
)
"""Source: as TRAIN."""

TEST = MatFile(
    official=Official(
        name="test_32x32.mat",
        site=SITE,
        bytes=64_275_384,
        checksum=Checksum(algorithm="md5", digest="eb5a983be6a315427106f1b164d9cef3"),
    ),
    images=26_032,
)
"""Source: as TRAIN."""
