"""CIFAR-10 and CIFAR-100, from the binary versions as they were published."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.official import Checksum, Member, Official, Source, located
from resatlas.errors import DataError
from resatlas.values.reading import content

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE = Shape(3, 32, 32)
PIXELS = 3 * 32 * 32  # bytes of an image: all red ones, all green ones, all blue ones, each row by row
SITE = "https://www.cs.toronto.edu/~kriz/"


@dataclass(frozen=True, kw_only=True)
class Cifar:
    """One of the two published sets: records of one or two labels and an image, equally many of every class.

    The last label of a record is the class; the one before it, if `superclasses` is not 0, a class of classes.
    `train_images` and `test_images` are those of each class.
    """

    name: str
    title: str
    archive: Official
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    words: str
    classes: tuple[str, ...]
    superclasses: int
    train_images: int
    test_images: int
    note: str

    @property
    def labels(self) -> int:
        """Bytes of a record before its image."""
        return 2 if self.superclasses else 1

    @property
    def source(self) -> Source:
        """The archive and the files to read: training files, test files, names of the classes."""
        sizes = {
            **dict.fromkeys(self.train, self.file_bytes(self.train, self.train_images)),
            **dict.fromkeys(self.test, self.file_bytes(self.test, self.test_images)),
            self.words: None,
        }
        members = tuple(Member(path=f"{self.folder}/{file}", bytes=size) for file, size in sizes.items())
        return Source(name=self.name, title=self.title, files=(self.archive,), members=members)

    def file_bytes(self, files: tuple[str, ...], images: int) -> int:
        """Bytes of each of the files, which share `images` images of every class evenly."""
        return images * len(self.classes) // len(files) * (self.labels + PIXELS)


def cifar_10() -> DataSet:
    """50,000 + 10,000 colour photographs of 10 kinds of animals and vehicles, 32x32 pixels."""
    return _described(CIFAR_10)


def cifar_100() -> DataSet:
    """50,000 + 10,000 colour photographs of 100 kinds of things, 32x32 pixels."""
    return _described(CIFAR_100)


def _described(published: Cifar) -> DataSet:
    """The data set of a published set, not read yet."""
    return DataSet(
        name=published.name,
        image=IMAGE,
        classes=published.classes,
        mirror="allowed",
        note=published.note,
        read=partial(read, published),
    )


def read(published: Cifar) -> Parts:
    """Both parts, verified.

    Raises: DataError if a file is missing, damaged or another one.
    """
    *files, words = located(published.source)
    _check_words(words, published.classes)
    count = len(published.train)
    train, test = (
        part(published, paths, images=images)
        for paths, images in ((files[:count], published.train_images), (files[count:], published.test_images))
    )
    return Parts(train=train, test=test)


def part(published: Cifar, paths: list[Path], *, images: int) -> ImageSet:
    """The images of these files in their order, `images` of every class.

    Raises: DataError if the labels are not those of such a part.
    """
    import numpy as np

    records = [_records_of(path, published.labels) for path in paths]
    labels = np.concatenate([record[:, : published.labels] for record in records])
    pixels = np.concatenate([record[:, published.labels :] for record in records])
    fault = wrong(published, labels, images=images)
    if fault:
        raise DataError(f"{paths[0].parent} is damaged: {fault}; remove it and fetch {published.name} again")
    return ImageSet(
        images=pixels.reshape(-1, *IMAGE),
        labels=labels[:, -1].astype(np.int64),
        ids=np.arange(len(labels)),
    )


def _records_of(path: Path, labels: int) -> "NDArray[np.uint8]":
    """The records of a file, whose size was checked.

    Shape: (n, labels + PIXELS).
    """
    import numpy as np

    return np.frombuffer(content(path), np.uint8).reshape(-1, labels + PIXELS)


def wrong(published: Cifar, labels: "NDArray[np.uint8]", *, images: int) -> str:
    """What is wrong with the labels of a part that has `images` images of every class, or ""."""
    import numpy as np

    classes = published.classes
    bounds = (published.superclasses, len(classes))[-published.labels :]
    outside = np.argwhere(labels >= bounds)
    if len(outside):
        row, column = outside[0]
        return f"image {row} has the label {labels[row, column]}, and labels are below {bounds[column]}"
    counts = np.bincount(labels[:, -1], minlength=len(classes))
    if (counts != images).any():
        odd = int(np.argmax(counts != images))
        return f'class "{classes[odd]}" has {counts[odd]:,} images, {images:,} were published'
    pairs = np.unique(labels, axis=0)
    if len(pairs) != len(classes):
        return "images of one class have different superclasses"
    return ""


def _check_words(path: Path, classes: tuple[str, ...]) -> None:
    """Refuses a file of class names that are not the published ones in their order.

    Raises: DataError.
    """
    words = content(path)[:10_000].decode("ascii", errors="replace").split()
    if tuple(words) != classes:
        raise DataError(
            f"{path} is damaged or another file: it should name {classes[0]}, {classes[1]} … {classes[-1]}, "
            f"{len(classes)} classes; it has {len(words)} words"
        )


CIFAR_10 = Cifar(
    name="cifar-10",
    title="CIFAR-10",
    archive=Official(
        name="cifar-10-binary.tar.gz",
        site=SITE,
        bytes=170_052_171,
        checksum=Checksum(algorithm="md5", digest="c32a1d4ab5d03f1284b67883e8d87530"),
    ),
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
    test=("test_batch.bin",),
    words="batches.meta.txt",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    superclasses=0,
    train_images=5000,
    test_images=1000,
    note="the test images are the published 10,000; about 3.3 % of them have a near-duplicate among the training "
    "images (arXiv:1902.00423)",
)
"""Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009); md5 and layout of the records
from the authors' page, www.cs.toronto.edu/~kriz/cifar.html; size of the archive as that server gives it.
"""

_FINE = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip
"""Source: fine_label_names.txt of cifar-100-binary.tar.gz."""

CIFAR_100 = Cifar(
    name="cifar-100",
    title="CIFAR-100",
    archive=Official(
        name="cifar-100-binary.tar.gz",
        site=SITE,
        bytes=168_513_733,
        checksum=Checksum(algorithm="md5", digest="03b5dce01913d631647c71ecec9e9cb8"),
    ),
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    words="fine_label_names.txt",
    classes=_FINE,
    superclasses=20,
    train_images=500,
    test_images=100,
    note="the test images are the published 10,000; about 10 % of them have a near-duplicate among the training "
    "images (arXiv:1902.00423)",
)
"""Source: as CIFAR_10."""
