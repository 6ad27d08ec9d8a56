"""Random objects and detections, and COCO's own evaluation of them."""

import contextlib
import io
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resatlas.data.boxes import AnnotatedImages, Annotations, Category
from resatlas.data.masks import Rle, encoded
from resatlas.evaluation.detections import Detections, ImageDetections

CATEGORIES = (Category(0, "cat"), Category(7, "dog"), Category(90, "owl"), Category(91, "none"))
"""With gaps and 0; of the last there are no objects."""

SIDE = 160


def mask(box: np.ndarray) -> Rle:
    """A box as a mask, with a notch."""
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    x0, y0, x1, y1 = np.round(box).astype(int).tolist()
    pixels[y0:y1, x0:x1] = 1
    pixels[y0 : y0 + 2, x0 : x0 + 2] = 0
    return encoded(pixels)


def scene(seed: int, *, images: int = 12) -> tuple[AnnotatedImages, Detections]:
    """Objects of three categories and all sizes, a tenth of them crowds, and detections near them and elsewhere.

    The first image has no object, the second none and no detection.
    """
    random = np.random.default_rng(seed)
    counts = [0, 0, *random.integers(1, 7, images - 2).tolist()]
    low = random.uniform(0, SIDE - 60, (sum(counts), 2))
    boxes = np.concatenate(
        [low, low + random.uniform(8, 60, low.shape) * random.choice([0.4, 1, 2], (len(low), 1))], axis=1
    )
    boxes = np.clip(boxes, 0, SIDE)
    labels = random.integers(1, 4, len(boxes))
    masks = tuple(map(mask, boxes))
    names = tuple("abcdefghijklmnopqrstuvwxyz"[:images])
    truth = AnnotatedImages(
        categories=CATEGORIES,
        ids=names,
        names=names,
        sizes=np.full((images, 2), SIDE),
        objects=Annotations(
            starts=np.concatenate([[0], np.cumsum(counts)]),
            boxes=boxes,
            labels=labels,
            ignore=random.uniform(size=len(boxes)) < 0.1,
            areas=np.array([float(one.area) for one in masks]),
            ids=tuple(range(len(boxes))),
            masks=masks,
        ),
        read=lambda _: np.zeros((SIDE, SIDE, 3), np.uint8),
    )
    found = tuple(_found(random, truth, k) for k in range(images))
    return truth, Detections(categories=CATEGORIES, images=found)


def _found(random: np.random.Generator, truth: AnnotatedImages, k: int) -> ImageDetections:
    objects = truth.objects.of(k)
    near = np.repeat(truth.objects.boxes[objects], 2, axis=0) if k != 1 else np.zeros((0, 4))
    near = near + random.normal(0, 4, near.shape)
    low = random.uniform(0, SIDE - 30, (0 if k == 1 else 3, 2))
    corners = np.clip(np.concatenate([near, np.concatenate([low, low + 20], axis=1)]), 0, SIDE)
    labels = np.concatenate([np.repeat(truth.objects.labels[objects], 2), random.integers(1, 5, len(low))])
    wrong = random.uniform(size=len(corners)) < 0.2
    labels = np.where(wrong[: len(labels)], random.integers(1, 5, len(labels)), labels)[: len(corners)]
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 2)
    return ImageDetections(
        image=truth.ids[k],
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        labels=labels.astype(np.int64),
        scores=np.round(random.uniform(size=len(corners)), 2),  # with ties
        masks=tuple(mask(np.clip(box, 0, SIDE)) for box in corners),
    )


def cocos_numbers(
    truth: AnnotatedImages, found: Detections, *, of: Literal["bbox", "segm"], first: int = 1
) -> list[float]:
    """The twelve numbers by COCO's own code, with annotations numbered from `first`; -1 where there is nothing."""
    images = np.repeat(np.arange(len(truth)), np.diff(truth.objects.starts)).tolist()
    heads = [{"id": k, "height": SIDE, "width": SIDE} for k in range(len(truth))]
    categories = [category._asdict() for category in truth.categories]
    real = [
        {
            "id": k + first,
            "image_id": image,
            "category_id": truth.categories[truth.objects.labels[k] - 1].id,
            "bbox": [*truth.objects.boxes[k, :2], *(truth.objects.boxes[k, 2:] - truth.objects.boxes[k, :2])],
            "area": truth.objects.areas[k],
            "iscrowd": int(truth.objects.ignore[k]),
            "segmentation": _letters(truth.objects.masks[k].runs()),
        }
        for k, image in enumerate(images)
    ]
    ours = [
        {
            "image_id": k,
            "category_id": truth.categories[label - 1].id,
            "score": score,
            **({"bbox": box} if of == "bbox" else {"segmentation": _letters(image.masks[j])}),
        }
        for k, image in enumerate(found.images)
        for j, (box, label, score) in enumerate(
            zip(image.boxes.tolist(), image.labels.tolist(), image.scores.tolist(), strict=True)
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs: Any = COCO()
        theirs.dataset = {"info": {"year": 2017}, "images": heads, "categories": categories, "annotations": real}
        theirs.createIndex()
        evaluation: Any = COCOeval(theirs, theirs.loadRes(ours), of)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def _letters(runs: Rle) -> dict[str, object]:
    return {"size": [runs.height, runs.width], "counts": runs.compressed().encode()}
