"""ImageNet-1K in its usual layout: train and val, each with a folder for each of 1,000 classes."""

from functools import partial
from importlib.resources import files
from pathlib import Path

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, Parts
from resatlas.data.folder import check_size, class_folders
from resatlas.data.folder import read as read_folder
from resatlas.data.layouts import Layout
from resatlas.data.listing import is_directory, printable
from resatlas.data.official import folders
from resatlas.errors import DataError

_LAYOUT: Layout = {"train": "train", "test": "val"}  # its folder test, if it exists, has no labels
IMAGES = {"train": 1_281_167, "val": 50_000}
"""Source: arXiv:1409.0575, table 2, ILSVRC2012 to 2014."""


def imagenet(size: int = 224) -> DataSet:
    """1,281,167 photographs to train on; the published 50,000 for validation are tested on, since all papers do.

    Classes are WordNet ids, in their order.

    Raises: UsageError if the size is outside 8…1024.
    Source: arXiv:1409.0575 (O. Russakovsky et al.), the classification task of 2012.
    """
    check_size(size)
    return DataSet(
        name="imagenet",
        image=Shape(3, size, size),
        classes=tuple(files("resatlas.data").joinpath("imagenet.txt").read_text(encoding="ascii").split()),
        mirror="allowed",
        note="tested on the 50,000 published validation images, as in all papers",
        read=partial(read, size),
    )


def read(size: int) -> Parts:
    """Both parts, listed and not opened.

    Raises: DataError if a folder is missing, or holds other classes or another number of images than were published.
    """
    root = located()
    classes = imagenet().classes
    if strange := set(class_folders(root / "train")).symmetric_difference(classes):
        raise DataError(
            f"{printable(root / 'train')} should have the 1,000 classes of ImageNet, n01440764 to n15075141; "
            f"{printable(min(strange))} is missing or none of them (any other classes: --data {printable(root)}/)"
        )
    parts = read_folder(root, _LAYOUT, classes=classes, size=size)
    for name, part in (("train", parts.train), ("val", parts.test)):
        if len(part) != IMAGES[name]:
            raise DataError(
                f"{printable(root / name)} should have the {IMAGES[name]:,} images of ImageNet; it has {len(part):,} "
                f"(a part of them: --data {printable(root)}/)"
            )
    return parts


def located() -> Path:
    """The first folder that contains ImageNet's train.

    Raises: DataError with how to get ImageNet.
    """
    looked = folders("imagenet")
    for folder in looked:
        if is_directory(folder / "train"):
            return folder
    raise DataError(
        f"ImageNet is not in {' or '.join(map(printable, looked))}; request it at image-net.org, and put "
        f"train/n01440764/*.JPEG and val/n01440764/*.JPEG, 1,000 classes, into {printable(looked[0])} "
        f"(RESATLAS_DATA names another folder)"
    )
