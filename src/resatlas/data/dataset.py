"""Data sets: the images of one part, all parts, and the facts known before they are read."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.arch.ops import Shape
from resatlas.errors import DataError

if TYPE_CHECKING:  # describing a data set needs no numpy
    import numpy as np
    from numpy.typing import NDArray

Mirror = Literal["allowed", "forbidden"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """The images of one part, resident in memory; `ids` are their positions in the source.

    Shape: images (n, c, h, w) of uint8; labels and ids (n,) of int64.
    Raises: DataError if the three arrays do not belong together.
    """

    images: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    ids: "NDArray[np.int64]"

    def __post_init__(self) -> None:
        check(self, {"images": ("uint8", 4), "labels": ("int64", 1), "ids": ("int64", 1)})

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> Shape:
        """The shape of each image."""
        return Shape(*self.images.shape[1:])

    def take(self, positions: "NDArray[np.int64] | slice") -> "ImageSet":
        """The images at these positions of the part, in their order."""
        return replace(self, images=self.images[positions], labels=self.labels[positions], ids=self.ids[positions])


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFiles:
    """The images of one part in files below `root`, opened one by one; `ids` are their positions in the source.

    `size` is the side of the squares that networks get; images can have any size.

    Shape: labels and ids (n,) of int64.
    Raises: DataError if files, labels and ids do not belong together, or the size is below 1.
    """

    root: Path
    files: tuple[str, ...]
    labels: "NDArray[np.int64]"
    ids: "NDArray[np.int64]"
    size: int

    def __post_init__(self) -> None:
        check(self, {"labels": ("int64", 1), "ids": ("int64", 1)})
        if self.size < 1:
            raise DataError(f"images need at least 1 pixel per side; got {self.size}")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> Shape:
        """The shape of each image for networks: red, green and blue."""
        return Shape(3, self.size, self.size)

    def path(self, k: int) -> Path:
        """The path of image k of the part."""
        return self.root / self.files[k]

    def take(self, positions: "NDArray[np.int64] | slice") -> "ImageFiles":
        """The images at these positions of the part, in their order."""
        import numpy as np

        files = tuple(self.files[k] for k in np.arange(len(self))[positions].tolist())
        return replace(self, files=files, labels=self.labels[positions], ids=self.ids[positions])


Part = ImageSet | ImageFiles


def check(part: Part, wanted: Mapping[str, tuple[str, int]]) -> None:
    """Check the types and axes of the arrays of a part, and that a part in memory has images.

    Raises: DataError.
    """
    n = len(part)
    if n == 0 and isinstance(part, ImageSet):
        raise DataError("a part of a data set has at least 1 image; got 0")
    for name, (kind, axes) in wanted.items():
        array = getattr(part, name)
        if array.dtype != kind or array.ndim != axes or len(array) != n:
            raise DataError(
                f"{name} of {n} images are {n} entries of {kind} on {axes} axes; "
                f"got {array.dtype} of shape {array.shape}"
            )
    if n and part.labels.min() < 0:
        raise DataError(f"labels count from 0; got {part.labels.min()}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The images for training, for the test, and for validation if the source has such a part.

    `train` has no images if the data set is for testing only. `notes` lists files of the source that are in no part,
    and other surprises.
    """

    train: Part
    test: Part
    validation: Part | None = None
    notes: tuple[str, ...] = ()


def fingerprint(parts: object) -> str:
    """The digest of names and sizes in runs of earlier versions, which have no fingerprint of each part.

    It is "" for images in memory, which the name of the data set determines. A missing file has size -1.
    """
    digest = hashlib.sha256()
    files = {role: part for role, part in vars(parts).items() if isinstance(part, ImageFiles)}
    for role, part in files.items():
        digest.update(f"{role}\0{len(part)}\0".encode())
        for name in part.files:
            digest.update(os.fsencode(name) + b"\0%d\0" % _size(part.root / name))
    return digest.hexdigest() if files else ""


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # ValueError: a null character in the name
        return -1


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The meaning of a DATA text; `read` loads and verifies the images.

    `mirror` tells whether a mirrored image keeps its class; `note` is a remark for reports. A data set for testing only
    has no training images.
    """

    name: str
    image: Shape
    classes: tuple[str, ...]
    mirror: Mirror
    note: str
    read: Callable[[], Parts] = field(compare=False, repr=False)
    serves: Literal["training", "testing"] = "training"

    @property
    def channels(self) -> int:
        """The channels of its images."""
        return self.image.channels

    def check_learnable(self) -> None:
        """Check that the data set has training images.

        Raises: DataError.
        """
        if self.serves == "testing":
            raise DataError(
                f"{self.name} has test images but no training images; training needs a folder train or only class "
                "folders; evaluate --data accepts it"
            )


def hold_back(train: Part, share: Fraction) -> tuple[Part, Part | None]:
    """(kept, held back): floor(share·n + 1/2) images held back for validation, the same share of every class.

    The split does not depend on the seed of a run. At least one image of every class is kept, so small classes give
    fewer images or none.
    """
    held = math.floor(share * len(train) + Fraction(1, 2))
    if held == 0:
        return train, None
    kept, validation = split(train.labels, held)
    return (train.take(kept), train.take(validation)) if len(validation) else (train, None)


def split(labels: "NDArray[np.int64]", count: int) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Positions of all but `count` images, and of `count` images: stratified, each in the order of the source.

    If a stratified split is impossible, since there are more classes than images on a side or a class has a single
    image, the numbers per class follow the largest remainder, and each class keeps an image.
    """
    import numpy as np
    from sklearn.model_selection import train_test_split

    sizes = np.unique_counts(labels).counts
    if min(count, len(labels) - count) < len(sizes) or sizes.min() < 2:
        taken = np.sort(np.concatenate([np.empty(0, np.int64), *_held_per_class(labels, count)]))
        return np.setdiff1d(np.arange(len(labels)), taken), taken
    rest, taken = train_test_split(np.arange(len(labels)), test_size=count, stratify=labels.tolist(), random_state=0)
    return np.sort(rest), np.sort(taken)


def _held_per_class(labels: "NDArray[np.int64]", count: int) -> "Iterator[NDArray[np.int64]]":
    """The positions from each class, about `count` in total: its share, rounded by the largest remainder."""
    import numpy as np

    places = [np.flatnonzero(labels == label) for label in np.unique(labels).tolist()]
    shares = [Fraction(count * len(positions), len(labels)) for positions in places]
    gives = [min(math.floor(share), len(positions) - 1) for share, positions in zip(shares, places, strict=True)]
    for k in sorted(range(len(places)), key=lambda k: (math.floor(shares[k]) - shares[k], k)):
        if sum(gives) < count and gives[k] < len(places[k]) - 1:
            gives[k] += 1
    draw = np.random.default_rng(0)
    for give, positions in zip(gives, places, strict=True):
        yield draw.permutation(positions)[:give]
