"""Images with objects: boxes, classes and masks, and the data sets that have them."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from resatlas.data.box_arrays import clipped, with_area
from resatlas.data.dataset import ImageFiles, Mirror
from resatlas.errors import DataError

if TYPE_CHECKING:  # describing a data set needs neither numpy nor torch
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from resatlas.data.masks import Mask
    from resatlas.data.segments import MaskFiles

Id = int | str
"""What a user's file calls an image or an annotation: a number in COCO, a name in VOC."""


Masks = Literal["boxes alone", "with masks"]
"""Whether the masks of objects are read."""


class Category(NamedTuple):
    """A class of objects as the user's file has it; label k, counted from 1, is the k-th category."""

    id: Id
    name: str


def names_of(categories: Sequence[Category]) -> tuple[str, ...]:
    """What results call the categories: by their names, with the ids of those that share a name with another one.

    Exports of annotation tools often have a category for all objects with the name of one of its kinds.
    """
    counts = Counter(category.name for category in categories)
    names = tuple(name if counts[name] == 1 else f"{name} (id {own!r})" for own, name in categories)
    return names if len(set(names)) == len(names) else tuple(f"{name} (id {own!r})" for own, name in categories)


def with_ground(ground: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of pixels: first the ground, which has another name than every category."""
    while ground in names:
        ground = f"{ground} (no category)"
    return (ground, *names)


class Sample(NamedTuple):
    """An image and its objects, in torchvision's terms.

    `target` has `boxes`, float32 (n, 4) of x0, y0, x1, y1 in pixels; `labels`, int64 (n,) from 1; `ignore`, bool (n,),
    true for crowds and for what VOC calls difficult; if wanted, `masks`, uint8 (n, h, w) of 0 and 1.

    Shape: image (h, w, c) of uint8.
    """

    image: "Tensor"
    target: "dict[str, Tensor]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """The objects of a part as its source states them, image after image: those of image k are `of(k)`.

    Boxes may leave their image or have no area: `clipped` gives what training uses. `areas` are those by which COCO
    calls an object small, medium or large. `masks` is empty if they are not wanted.

    Shape: boxes (m, 4) of float64, x0, y0, x1, y1; labels (m,) of int64, from 1; ignore (m,) of bool; areas (m,) of
        float64; starts (n + 1,) of int64.
    Raises: DataError if these do not belong together, or a number is not finite.
    """

    starts: "NDArray[np.int64]"
    boxes: "NDArray[np.float64]"
    labels: "NDArray[np.int64]"
    ignore: "NDArray[np.bool_]"
    areas: "NDArray[np.float64]"
    ids: tuple[Id, ...]
    masks: "tuple[Mask, ...]" = ()

    def __post_init__(self) -> None:
        import numpy as np

        m = len(self.ids)
        wanted = {"boxes": (m, 4), "labels": (m,), "ignore": (m,), "areas": (m,)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} of {m} objects have the shape {shape}; got {getattr(self, name).shape}")
        if self.starts[0] != 0 or self.starts[-1] != m or (np.diff(self.starts) < 0).any():
            raise DataError(f"the objects of the images are numbered from 0 to {m}, image after image")
        if not np.isfinite(self.boxes).all():
            raise DataError("boxes are finite numbers; got NaN or infinity")
        if m and self.labels.min() < 1:
            raise DataError(f"labels of objects count from 1, since 0 is the ground; got {self.labels.min()}")
        if self.masks and len(self.masks) != m:
            raise DataError(f"{m} objects have {m} masks or none; got {len(self.masks)}")

    def of(self, image: int) -> slice:
        """The places of the objects of an image."""
        return slice(int(self.starts[image]), int(self.starts[image + 1]))


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedImages:
    """The images of one part with their objects; `read(k)` gives the pixels of image k, (h, w, c) of uint8.

    `ids` are the user's ids of images, `names` their files below `root`, or texts for images in memory. `rules` are
    those by which detections are measured. With `pixels`, every pixel has a class instead of every object: there are
    no `objects`, and `ground` is the class of what belongs to no category.

    Shape: sizes (n, 2) of int64, height and width.
    Raises: DataError if these do not belong together.
    """

    categories: tuple[Category, ...]
    ids: tuple[Id, ...]
    names: tuple[str, ...]
    sizes: "NDArray[np.int64]"
    objects: Annotations
    read: "Callable[[int], NDArray[np.uint8]]" = field(repr=False)
    root: Path | None = None
    rules: Literal["COCO", "COCO and VOC"] = "COCO"
    pixels: "MaskFiles | None" = None
    ground: str = "ground"

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(self.names) != n or self.sizes.shape != (n, 2) or len(self.objects.starts) != n + 1:
            raise DataError(f"{n} images have as many names, sizes and groups of objects")
        if len(set(self.ids)) != n:
            raise DataError("each image of a part has an id of its own")
        if len(self.objects.labels) and self.objects.labels.max() > len(self.categories):
            raise DataError(
                f"labels of {len(self.categories)} categories end at {len(self.categories)}; "
                f"got {self.objects.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def sample(self, k: int) -> Sample:
        """Image k with the objects that training uses: cut to the image, those without area left out.

        Raises: DataError if the file cannot be read, or its size is not the annotated one.
        """
        import torch

        pixels = self.read(k)
        height, width = self.sizes[k].tolist()
        if pixels.shape[:2] != (height, width):
            raise DataError(
                f"{self.names[k]} has {pixels.shape[1]} x {pixels.shape[0]} pixels, its annotation says "
                f"{width} x {height}: correct width and height there"
            )
        return Sample(torch.from_numpy(pixels.copy()), self.target(k))

    def target(self, k: int) -> "dict[str, Tensor]":
        """The objects of image k alone, as `sample` has them; of classes of pixels each class is an object.

        Raises: DataError if a file of classes cannot be read.
        """
        import numpy as np
        import torch

        if self.pixels is not None:
            from resatlas.data.segments import regions

            return regions(self.pixels.read(k))
        places, (height, width) = self.objects.of(k), self.sizes[k].tolist()
        boxes = clipped(self.objects.boxes[places], height, width)
        whole = with_area(boxes)
        target = {
            "boxes": torch.from_numpy(boxes[whole].astype(np.float32)),
            "labels": torch.from_numpy(self.objects.labels[places][whole]),
            "ignore": torch.from_numpy(self.objects.ignore[places][whole]),
        }
        if self.has_masks:
            masks = [mask.decoded() for mask, used in zip(self.objects.masks[places], whole, strict=True) if used]
            target["masks"] = torch.from_numpy(np.stack(masks) if masks else np.zeros((0, height, width), np.uint8))
        return target

    def take(self, positions: "NDArray[np.int64]") -> "AnnotatedImages":
        """The images at these positions of the part, in their order."""
        import numpy as np

        chosen, own = positions.tolist(), self.objects
        places = np.concatenate([np.empty(0, np.int64), *(np.arange(len(own.ids))[own.of(k)] for k in chosen)])
        images = [image for image, k in enumerate(chosen) for _ in range(own.of(k).stop - own.of(k).start)]
        objects = Annotations(
            starts=grouped(images, len(chosen)),
            boxes=own.boxes[places],
            labels=own.labels[places],
            ignore=own.ignore[places],
            areas=own.areas[places],
            ids=tuple(own.ids[k] for k in places.tolist()),
            masks=tuple(own.masks[k] for k in places.tolist()) if own.masks else (),
        )
        return replace(
            self,
            ids=tuple(self.ids[k] for k in chosen),
            names=tuple(self.names[k] for k in chosen),
            sizes=self.sizes[positions],
            objects=objects,
            read=partial(_read_at, self.read, chosen),
            pixels=self.pixels and self.pixels.take(chosen),
        )

    def without_images(self) -> "AnnotatedImages":
        """A part of the same categories that has no images."""
        import numpy as np

        return self.take(np.zeros(0, np.int64))

    def without_masks(self) -> "AnnotatedImages":
        """The same images, their objects without masks, and their pixels without classes."""
        return replace(self, objects=replace(self.objects, masks=()), pixels=None)

    @property
    def has_masks(self) -> bool:
        """Whether every object has a mask."""
        return len(self.objects.masks) == len(self.objects.ids)

    @property
    def are_masked(self) -> bool:
        """Whether masks, of objects or in files, have been read."""
        return self.pixels is not None or bool(self.objects.masks)

    @property
    def pixel_classes(self) -> tuple[str, ...]:
        """The names of what a pixel can be."""
        return with_ground(self.ground, names_of(self.categories))

    @property
    def counts(self) -> bool:
        """Whether anything can be measured on the images: an object that counts, or classes of pixels."""
        return self.pixels is not None or not self.objects.ignore.all()

    def files(self) -> ImageFiles | None:
        """The images as files, for looks at their content; None if they are in memory."""
        import numpy as np

        if self.root is None:
            return None
        n = len(self)
        return ImageFiles(root=self.root, files=self.names, labels=np.zeros(n, np.int64), ids=np.arange(n), size=224)


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedParts:
    """The images for training and for the test, and for validation if the source has such a part.

    `notes` are surprises of the source that hinder nothing, each a sentence.
    """

    train: AnnotatedImages
    test: AnnotatedImages
    validation: AnnotatedImages | None = None
    notes: tuple[str, ...] = ()


def _read_at(read: "Callable[[int], NDArray[np.uint8]]", positions: Sequence[int], k: int) -> "NDArray[np.uint8]":
    return read(positions[k])


def held_back(train: AnnotatedImages, share: Fraction) -> tuple[AnnotatedImages, AnnotatedImages | None]:
    """(kept, held back): floor(share·n + 1/2) images held back for validation; the split does not depend on a seed."""
    import numpy as np

    held = math.floor(share * len(train) + Fraction(1, 2))
    if held == 0:
        return train, None
    places = np.random.default_rng(0).permutation(len(train))
    return train.take(np.sort(places[held:])), train.take(np.sort(places[:held]))


def usual_sides(images: AnnotatedImages) -> tuple[int, int]:
    """The median height and the median width of images."""
    import numpy as np

    height, width = np.median(images.sizes, axis=0).astype(np.int64).tolist()
    return height, width


@dataclass(frozen=True, kw_only=True)
class DetectionData:
    """The meaning of a DATA text with objects; `read` loads and checks the annotations, with masks or without.

    `mirror` tells whether a mirrored object keeps its class; `note` is a remark for reports; `masks` is what is read.
    `annotated` is what has a class; where pixels have one, `ground` is that of what belongs to no category.
    """

    name: str
    channels: int
    categories: tuple[Category, ...]
    mirror: Mirror
    note: str
    masks: Masks = "with masks"
    annotated: Literal["objects", "pixels"] = "objects"
    ground: str = "ground"
    read: Callable[[], AnnotatedParts] = field(compare=False, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its categories, each another."""
        return names_of(self.categories)

    @property
    def pixel_classes(self) -> tuple[str, ...]:
        """The names of what a pixel can be."""
        return with_ground(self.ground, self.classes)


def by_size(sizes: "NDArray[np.int64]", *, batch: int) -> "tuple[NDArray[np.int64], ...]":
    """Batches for a test: positions of at most `batch` images that all have one size.

    Images of other sizes in a batch are padded to a common one, which changes what a network sees of an image: so that
    AP does not depend on the batch, only equal sizes go together.

    Shape: sizes (n, 2); each batch (b,).
    """
    import numpy as np

    _, group = np.unique(sizes, axis=0, return_inverse=True)
    return tuple(
        places[start : start + batch]
        for k in range(int(group.max(initial=-1)) + 1)
        for places in [np.flatnonzero(group == k)]
        for start in range(0, len(places), batch)
    )


def grouped(images: Sequence[int], count: int) -> "NDArray[np.int64]":
    """The starts of each image's objects, given the image of each object in order.

    Shape: (m,) -> (count + 1,).
    """
    import numpy as np

    numbers = np.bincount(np.asarray(images, np.int64), minlength=count)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)]).astype(np.int64)
