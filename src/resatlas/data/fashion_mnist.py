"""Fashion-MNIST, from the four files as they were published."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.idx import IdxFile, read_idx
from resatlas.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
PADDING = 2  # pixels a side: 28 + 2·2 = 32, the side that the papers' CIFAR nets take
PACKAGED = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package dataset-fashion-mnist puts it


def fashion_mnist() -> DataSet:
    """60,000 + 10,000 grey images of clothing, padded with zeros from 28x28 to 32x32 pixels.

    Source: arXiv:1708.07747 (H. Xiao, K. Rasul, R. Vollgraf); the classes are the authors' README's.
    """
    side = 28 + 2 * PADDING
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
    folder = found()
    train_images, train_labels, test_images, test_labels = (read_idx(folder / file.name, file) for file in FILES)
    return Parts(train=part(train_images, train_labels), test=part(test_images, test_labels))


def found() -> Path:
    """The first folder that holds the files: $RESATLAS_DATA, fashion-mnist below it, the Debian package's.

    Raises: DataError if no folder holds all four.
    """
    own = os.environ.get("RESATLAS_DATA")
    folders = ((Path(own), Path(own, "fashion-mnist")) if own else ()) + (PACKAGED,)
    for folder in folders:
        missing = [file.name for file in FILES if not (folder / file.name).is_file()]
        if not missing:
            return folder
        if len(missing) < len(FILES):
            raise DataError(f"{folder} holds Fashion-MNIST without {', '.join(missing)}; {REMEDY}")
    raise DataError(f"Fashion-MNIST is not in {' or '.join(map(str, folders))}; {REMEDY}")


def part(images: "NDArray[np.uint8]", labels: "NDArray[np.uint8]") -> ImageSet:
    """The part of these images, padded with zeros on every side.

    Shape: (n, h, w), (n,) -> (n, 1, h + 2·PADDING, w + 2·PADDING), (n,).
    """
    import numpy as np

    side = (PADDING, PADDING)
    return ImageSet(
        images=np.pad(images, ((0, 0), side, side))[:, None],
        labels=labels.astype(np.int64),
        ids=np.arange(len(labels)),
    )


REMEDY = (
    'get it with "apt-get install dataset-fashion-mnist", or set RESATLAS_DATA to a folder with the four .gz files '
    "of github.com/zalandoresearch/fashion-mnist"
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
