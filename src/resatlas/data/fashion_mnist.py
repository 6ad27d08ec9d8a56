"""Fashion-MNIST, from the four files as they were published."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.idx import IdxFile, read_idx
from resatlas.data.official import Checksum, Official, Source, located

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_PADDING = 2  # pixels a side: 28 + 2·2 = 32, the side that the papers' CIFAR nets take
PACKAGED = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package dataset-fashion-mnist puts it
SITE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"


def fashion_mnist() -> DataSet:
    """60,000 + 10,000 grey images of clothing, padded with zeros from 28x28 to 32x32 pixels.

    Source: arXiv:1708.07747 (H. Xiao, K. Rasul, R. Vollgraf); the classes are the authors' README's.
    """
    side = 28 + 2 * _PADDING
    return DataSet(
        name="fashion-mnist",
        image=Shape(1, side, side),
        classes=CLASSES,
        mirror="allowed",
        note="28x28 pixels, padded with zeros to 32x32; the test images are the published 10,000",
        read=read,
    )


def read() -> Parts:
    """Both parts, verified.

    Raises: DataError if a file is missing, damaged or another one.
    """
    paths = located(source())
    train_images, train_labels, test_images, test_labels = map(read_idx, paths, FILES)
    return Parts(train=part(train_images, train_labels), test=part(test_images, test_labels))


def source() -> Source:
    """The four files; what counts is their content, since Debian packs them anew."""
    return Source(
        name="fashion-mnist",
        title="Fashion-MNIST",
        files=tuple(map(official, FILES, _GZIPPED)),
        package=(PACKAGED, "apt-get install dataset-fashion-mnist"),
    )


def official(file: IdxFile, size: int) -> Official:
    """A file that has `size` bytes as the authors packed it."""
    content = len(file.header) + math.prod(file.axes)
    checksum = Checksum(algorithm="sha256", digest=file.sha256, content=content)
    return Official(name=file.name, site=SITE, bytes=size, checksum=checksum)


def part(images: "NDArray[np.uint8]", labels: "NDArray[np.uint8]") -> ImageSet:
    """The part of these images, padded with zeros on every side.

    Shape: (n, h, w), (n,) -> (n, 1, h + 2·PADDING, w + 2·PADDING), (n,).
    """
    import numpy as np

    side = (_PADDING, _PADDING)
    return ImageSet(
        images=np.pad(images, ((0, 0), side, side))[:, None],
        labels=labels.astype(np.int64),
        ids=np.arange(len(labels)),
    )


FILES = (
    IdxFile(
        name="train-images-idx3-ubyte.gz",
        axes=(60_000, 28, 28),
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        name="train-labels-idx1-ubyte.gz",
        axes=(60_000,),
        sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        name="t10k-images-idx3-ubyte.gz",
        axes=(10_000, 28, 28),
        sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        name="t10k-labels-idx1-ubyte.gz",
        axes=(10_000,),
        sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

_GZIPPED = (26_421_880, 29_515, 4_422_102, 5_148)
"""Bytes of the four files as the authors packed them.

Source: their repository, github.com/zalandoresearch/fashion-mnist, folder data/fashion.
"""
