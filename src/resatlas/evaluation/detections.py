"""The objects that a detector found in images, and the file that holds them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resatlas.data.boxes import Category, Id
from resatlas.data.json_elements import read_lists
from resatlas.data.listing import printable
from resatlas.data.masks import Rle, decompressed, encoded
from resatlas.errors import DataError, unknown
from resatlas.runs.files import write_text

SCHEMA = 1

_KEYS = ("schema", "categories", "images")

_MASK_FROM = 0.5
"""The probability from which a pixel belongs to an object. Source: Mask R-CNN paper (arXiv:1703.06870), section 3.1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDetections:
    """The objects found in one image, whose id is the user's; boxes are x, y, width, height, as COCO writes them.

    Boxes are kept as they are written and evaluated, so that a file gives exactly the AP of the run that wrote it.

    Shape: boxes (n, 4) of float64; labels (n,) of int64, from 1; scores (n,) of float64; no masks or n.
    Raises: DataError if these do not belong together, or a number is not finite.
    """

    image: Id
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: tuple[Rle, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.labels.shape != (n,) or len(self.masks) not in (0, n):
            raise DataError(f"{n} detections of image {self.image!r} have as many boxes, labels and masks, or no masks")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise DataError(f"boxes and scores of image {self.image!r} are finite numbers; got NaN or infinity")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def corners(self) -> NDArray[np.float64]:
        """The boxes as x0, y0, x1, y1.

        Shape: (n, 4).
        """
        return np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], axis=1)

    def take(self, places: NDArray[np.int64]) -> "ImageDetections":
        """The detections at these places, in their order."""
        return ImageDetections(
            image=self.image,
            boxes=self.boxes[places],
            labels=self.labels[places],
            scores=self.scores[places],
            masks=tuple(self.masks[k] for k in places.tolist()) if self.masks else (),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """The objects found in the images of a part, with the user's categories; images without any are there too.

    Raises: DataError if an image is there twice, or a label has no category.
    """

    categories: tuple[Category, ...]
    images: tuple[ImageDetections, ...]

    def __post_init__(self) -> None:
        twice = [image for image, count in Counter(image.image for image in self.images).items() if count > 1]
        if twice:
            raise DataError(f"each image has its detections once; {twice[0]!r} has them twice")
        for image in self.images:
            if len(image) and not 1 <= image.labels.min() <= image.labels.max() <= len(self.categories):
                raise DataError(f"labels of image {image.image!r} lie outside 1 to {len(self.categories)}")


def of_output(image: Id, output: Mapping[str, Tensor]) -> ImageDetections:
    """The detections of a torchvision detector for one image: boxes, labels, scores and perhaps masks.

    Shape: boxes (n, 4) of x0, y0, x1, y1; masks (n, 1, h, w) of probabilities.
    """
    corners = output["boxes"].detach().cpu().double().numpy()
    masks: tuple[Rle, ...] = ()
    if "masks" in output:
        pixels = (output["masks"].detach().cpu() >= _MASK_FROM)[:, 0].to(dtype=output["labels"].dtype).numpy()
        masks = tuple(encoded(mask.astype(np.uint8)) for mask in pixels)
    return ImageDetections(
        image=image,
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).reshape(-1, 4),
        labels=output["labels"].detach().cpu().numpy().astype(np.int64),
        scores=output["scores"].detach().cpu().double().numpy(),
        masks=masks,
    )


def merged(shares: Sequence[Detections], images: Sequence[Id]) -> Detections:
    """The detections of all processes, in the order of the images, each of which has to be there exactly once.

    Samplers that pad the last batch show some images twice, which changes AP: that is refused here.

    Raises: DataError with an image that is missing, there twice, or not of the part; or if categories differ.
    """
    if len({share.categories for share in shares}) != 1:
        raise DataError("the processes have other categories; give all of them the same data")
    by_image: dict[Id, ImageDetections] = {}
    for share in shares:
        for image in share.images:
            if image.image in by_image:
                raise DataError(f"two processes have detections of image {image.image!r}; deal out each image once")
            by_image[image.image] = image
    missing = [image for image in images if image not in by_image]
    if missing:
        raise DataError(f"no process has detections of {len(missing):,} images, such as {missing[0]!r}")
    if extra := by_image.keys() - set(images):
        raise DataError(f"detections of {len(extra):,} images are not of this part, such as {next(iter(extra))!r}")
    return Detections(categories=shares[0].categories, images=tuple(by_image[image] for image in images))


def write_detections(file: Path, detections: Detections) -> None:
    """Replace the file by the detections: the user's ids and names, boxes as x, y, width, height, one image a line.

    Numbers are written so that the same ones are read.

    Raises: as `runs.files.write_text`.
    """
    import json

    categories = json.dumps([category._asdict() for category in detections.categories])
    lines = (
        json.dumps({"id": image.image, "objects": list(_objects(image, detections.categories))})
        for image in detections.images
    )
    images = ",\n".join(lines)
    text = f'{{"schema": {SCHEMA},\n"categories": {categories},\n"images": [\n{images}\n]}}\n'
    write_text(file, text, within=file.parent)


def _objects(image: ImageDetections, categories: Sequence[Category]) -> Iterator[dict[str, object]]:
    for k, (box, label, score) in enumerate(
        zip(image.boxes.tolist(), image.labels.tolist(), image.scores.tolist(), strict=True)
    ):
        row: dict[str, object] = {"category_id": categories[label - 1].id, "bbox": box, "score": score}
        if image.masks:
            row["segmentation"] = image.masks[k].segmentation()
        yield row


def read_detections(file: Path) -> Detections:
    """The detections that `write_detections` wrote.

    Raises: DataError, with the file and the place, for another schema, an unknown key or category, or a value of
        another kind.
    """
    categories: list[object] = []
    images: list[object] = []
    keys = read_lists(file, {"categories": categories.append, "images": images.append})
    try:
        for key in (*_KEYS, *keys):
            if key not in _KEYS:
                raise DataError(unknown("key", printable(key), _KEYS))
            if key not in keys:
                raise DataError(f"{key} is missing")
        if keys["schema"] != SCHEMA:
            raise DataError(f"its schema is {printable(repr(keys['schema']))[:40]}, this version reads {SCHEMA}")
        known = tuple(_category(row) for row in categories)
        labels = {category.id: k for k, category in enumerate(known, start=1)}
        return Detections(categories=known, images=tuple(_image(row, labels) for row in images))
    except DataError as error:
        raise DataError(f"{printable(file)} does not hold detections: {error}") from None


def _category(row: object) -> Category:
    values = _values(row, "a category", ("id", "name"))
    return Category(_id(values["id"], "a category"), str(values["name"]))


def _image(row: object, labels: Mapping[Id, int]) -> ImageDetections:
    values = _values(row, "an image", ("id", "objects"))
    own = _id(values["id"], "an image")
    where = f"image {own!r}"
    if not isinstance(values["objects"], list):
        raise DataError(f"the objects of {where} are a list")
    found = [_object(one, where, labels) for one in cast("list[object]", values["objects"])]
    masks = [mask for _, _, _, mask in found if mask is not None]
    return ImageDetections(
        image=own,
        boxes=np.array([box for box, _, _, _ in found], np.float64).reshape(-1, 4),
        labels=np.array([label for _, label, _, _ in found], np.int64),
        scores=np.array([score for _, _, score, _ in found], np.float64),
        masks=tuple(masks),
    )


def _object(row: object, where: str, labels: Mapping[Id, int]) -> tuple[list[float], int, float, Rle | None]:
    values = _values(row, f"an object of {where}", ("category_id", "bbox", "score"), ("segmentation",))
    category, box = _id(values["category_id"], where), values["bbox"]
    if category not in labels:
        raise DataError(f"an object of {where} has the category {category!r}, which is not among the categories")
    numbers = cast("list[object]", [*box, values["score"]] if isinstance(box, list) else [])
    if len(numbers) != 5 or not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):  # type: ignore[arg-type]
        raise DataError(f"an object of {where} needs a bbox of four finite numbers and a score")
    *sides, score = (float(cast("float", number)) for number in numbers)
    mask = None
    if "segmentation" in values:
        runs = _values(values["segmentation"], f"a mask of {where}", ("size", "counts"))
        size, counts = runs["size"], runs["counts"]
        if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
            raise DataError(f"a mask of {where} has a size of height and width")
        height, width = cast("list[int]", size)
        mask = decompressed(str(counts), height, width)
    return sides, labels[category], score, mask


def _values(row: object, what: str, needed: Sequence[str], possible: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{what} is a table with {', '.join(needed)}")
    values = cast("dict[str, Any]", row)
    for key in (*needed, *values):
        if key not in values:
            raise DataError(f"{what} lacks {key}")
        if key not in (*needed, *possible):
            raise DataError(f"{what}: {unknown('key', printable(key), (*needed, *possible))}")
    return values


def _id(value: object, what: str) -> Id:
    if type(value) is int or isinstance(value, str):
        return cast("Id", value)
    raise DataError(f"{what} has an id that is a whole number or a text")
