"""Measures of detections: COCO's average precision, VOC's two, and ImageNet's localisation error."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resatlas.data.boxes import AnnotatedImages, Id, names_of
from resatlas.errors import DataError, UsageError
from resatlas.evaluation.detections import Detections, ImageDetections

Figure = float | None
"""A figure in percent; None where nothing is there to be measured, such as AP of large objects without any."""

NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""COCO's twelve numbers: AP over IoU 0.5 to 0.95, at 0.5, at 0.75, by size; AR with 1, 10 and 100 boxes, by size."""

MEASURE = "100 - AP"
"""What `error_percent` of a detector is; errors of another measure are not compared with it."""

Of = Literal["boxes", "masks"]
Interpolation = Literal["11 points", "area"]

OVERLAP = 0.5
"""The IoU from which a box is right. Source: VOC 2007 and 2012 development kits; ILSVRC 2012 development kit."""

LOCATED = 5  # classes of an image that count. Source: ILSVRC 2012, task 2


def detection(truth: AnnotatedImages, found: Detections, *, of: Of = "boxes") -> Iterator[tuple[str, Figure]]:
    """COCO's twelve numbers in percent, `error_percent` (100 - AP), the number of images, and AP of each category.

    Raises: UsageError if faster-coco-eval is not installed; DataError if images or categories are not the same, or
        masks are missing.
    """
    twelve, by_category = average_precision(truth, found, of=of)
    for name, value in zip(NAMES, twelve, strict=True):
        yield name, _percent(value)
    yield "error_percent", None if twelve[0] is None else 100 - 100 * twelve[0]
    yield "images", float(len(truth))
    for name, value in zip(names_of(truth.categories), by_category, strict=True):
        yield f"ap: {name}", _percent(value)


def _percent(share: Figure) -> Figure:
    return None if share is None else 100 * share


def average_precision(
    truth: AnnotatedImages, found: Detections, *, of: Of = "boxes"
) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """(COCO's twelve numbers, AP of each category), from 0 to 1; None where there is nothing to be found.

    Images, categories and annotations are numbered from 1 for the library, whatever their ids: an annotation with the
    id 0 would count as not found. Difficult objects of VOC count as crowds do.

    Raises: as `detection`.
    Source: COCO's cocoeval.py, by faster-coco-eval, which computes the same.
    """
    evaluation = _evaluated(truth, found, of)
    evaluation.summarize()
    precision: NDArray[np.float64] = np.asarray(evaluation.eval["precision"])  # (IoU, recall, category, size, boxes)
    by_category = (precision[:, :, k, 0, -1] for k in range(len(truth.categories)))
    return (
        tuple(None if value < 0 else value for value in np.asarray(evaluation.stats, np.float64)[:12].tolist()),
        tuple(None if (values < 0).all() else float(values[values >= 0].mean()) for values in by_category),
    )


def precisions(truth: AnnotatedImages, found: Detections, *, at: Sequence[float]) -> NDArray[np.float64]:
    """The precision of each category at COCO's 101 recalls, 0, 0.01, … 1, for each IoU of `at`; -1 without an object.

    Means over the recalls are APs at these IoUs.

    Shape: (IoUs, categories, 101).
    Raises: as `detection`; UsageError if an IoU is not one of COCO's.
    """
    evaluation = _evaluated(truth, found, "boxes")
    known = [round(float(value), 2) for value in evaluation.params.iouThrs]
    if others := [value for value in at if value not in known]:
        raise UsageError(f"COCO's IoUs are 0.5, 0.55, … 0.95; got {others[0]:g}")
    values = np.asarray(evaluation.eval["precision"], np.float64)[[known.index(value) for value in at]]
    return values[..., 0, -1].transpose(0, 2, 1)  # all sizes, 100 boxes an image


def _evaluated(truth: AnnotatedImages, found: Detections, of: Of) -> Any:  # noqa: ANN401 - the library has no types
    """The library's evaluation, accumulated."""
    check_same_images(truth, found)
    try:
        from faster_coco_eval.core import COCO, COCOeval_faster
    except ImportError:
        raise UsageError("average precision needs faster-coco-eval: pip install 'resatlas[detect]'") from None
    real: Any = COCO()
    real.dataset = {**_lists(truth), "annotations": list(_real(truth, of))}
    real.createIndex()
    ours: Any = COCO()
    ours.dataset = {**_lists(truth), "annotations": list(_found(truth, found, of))}
    ours.createIndex()
    evaluation: Any = COCOeval_faster(real, ours, "bbox" if of == "boxes" else "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def check_same_images(truth: AnnotatedImages, found: Detections) -> None:
    """Check that detections are of these images, each once, and of these categories.

    Raises: DataError.
    """
    if found.categories != truth.categories:
        raise DataError("the detections have other categories than the data; evaluate them on the data of their run")
    ids = {image.image for image in found.images}
    if missing := [image for image in truth.ids if image not in ids]:
        raise DataError(f"{len(missing):,} images have no entry in the detections, such as {missing[0]!r}")
    if len(ids) > len(truth):
        extra = next(image for image in ids if image not in set(truth.ids))
        raise DataError(f"the detections have {len(ids) - len(truth):,} images that the data lack, such as {extra!r}")


def _lists(truth: AnnotatedImages) -> dict[str, list[dict[str, object]]]:
    sizes = truth.sizes.tolist()
    return {
        "images": [{"id": k, "height": height, "width": width} for k, (height, width) in enumerate(sizes, start=1)],
        "categories": [{"id": k, "name": one.name} for k, one in enumerate(truth.categories, start=1)],
    }


def _real(truth: AnnotatedImages, of: Of) -> Iterator[dict[str, object]]:
    objects = truth.objects
    if of == "masks" and not truth.has_masks:
        raise DataError("AP of masks needs data with masks; these have boxes alone")
    images = np.repeat(np.arange(1, len(truth) + 1), np.diff(objects.starts)).tolist()
    for k, image in enumerate(images):
        x0, y0, x1, y1 = objects.boxes[k].tolist()
        row: dict[str, object] = {
            "id": k + 1,
            "image_id": image,
            "category_id": int(objects.labels[k]),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": float(objects.areas[k]),
            "iscrowd": int(objects.ignore[k]),
        }
        if of == "masks":
            runs = objects.masks[k].runs()
            row["segmentation"] = {"size": [runs.height, runs.width], "counts": runs.compressed()}
        yield row


def _found(truth: AnnotatedImages, found: Detections, of: Of) -> Iterator[dict[str, object]]:
    number = 0
    for k, image in enumerate(_in_order(truth.ids, found), start=1):
        if of == "masks" and len(image) and not image.masks:
            raise DataError(f"AP of masks needs detections with masks; those of image {image.image!r} are boxes alone")
        for j, (box, label, score) in enumerate(
            zip(image.boxes.tolist(), image.labels.tolist(), image.scores.tolist(), strict=True)
        ):
            number += 1
            row: dict[str, object] = {
                "id": number,
                "image_id": k,
                "category_id": label,
                "bbox": box,
                "score": score,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            if of == "masks":
                mask = image.masks[j]
                row |= {
                    "segmentation": {"size": [mask.height, mask.width], "counts": mask.compressed()},
                    "area": float(mask.area),
                }
            yield row


def _in_order(ids: Sequence[Id], found: Detections) -> Iterator[ImageDetections]:
    """The detections of each image, in this order: of equal scores, the first one counts first."""
    by_image = {image.image: image for image in found.images}
    return (by_image[image] for image in ids)


def voc(truth: AnnotatedImages, found: Detections, interpolation: Interpolation) -> Iterator[tuple[str, Figure]]:
    """VOC's mean AP in percent, named by its interpolation, then AP of each class; IoU 0.5.

    `voc_ap_11_points` is that of VOC 2007, `voc_ap_area` that from 2010 on: the same detections give other figures.

    Raises: DataError if images or categories are not the same.
    """
    check_same_images(truth, found)
    name = f"voc_ap_{interpolation.replace(' ', '_')}"
    figures = [_voc_of(truth, found, label, interpolation) for label in range(1, len(truth.categories) + 1)]
    present = [figure for figure in figures if figure is not None]
    yield name, 100 * float(np.mean(present)) if present else None
    for label, figure in zip(names_of(truth.categories), figures, strict=True):
        yield f"{name}: {label}", _percent(figure)


def _voc_of(truth: AnnotatedImages, found: Detections, label: int, interpolation: Interpolation) -> Figure:
    """AP of one class; None if it has no object that is not difficult.

    Source: VOC 2012 development kit, VOCevaldet.m. A detection belongs to the object that it overlaps most; if that is
    taken it is wrong, if that is difficult it does not count.
    """
    scores: list[float] = []
    right: list[int] = []  # 1 right, -1 wrong, 0 does not count
    objects = 0
    for k, image in enumerate(_in_order(truth.ids, found)):
        places = np.arange(len(truth.objects.ids))[truth.objects.of(k)]
        own = places[truth.objects.labels[places] == label]
        difficult, taken = truth.objects.ignore[own], np.zeros(len(own), np.bool_)
        objects += int((~difficult).sum())
        picked = np.flatnonzero(image.labels == label)
        picked = picked[np.argsort(-image.scores[picked], kind="stable")]
        overlaps = overlap(image.corners[picked], truth.objects.boxes[own])
        for row, score in zip(overlaps, image.scores[picked].tolist(), strict=True):
            best = int(row.argmax()) if len(row) else -1
            scores.append(score)
            if best < 0 or row[best] < OVERLAP:
                right.append(-1)
            elif difficult[best]:
                right.append(0)
            else:
                right.append(-1 if taken[best] else 1)
                taken[best] = True
    if objects == 0:
        return None
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    verdicts = np.array(right, np.int64)[order]
    hits, misses = np.cumsum(verdicts == 1), np.cumsum(verdicts == -1)
    recall, precision = hits / objects, hits / np.maximum(hits + misses, 1)
    return _eleven(recall, precision) if interpolation == "11 points" else _area(recall, precision)


def _eleven(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The mean over r = 0, 0.1, … 1 of the highest precision at a recall of r or more. Source: VOC 2007, VOCap.m."""
    return float(np.mean([precision[recall >= k / 10].max(initial=0) for k in range(11)]))


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The area under the highest precision at a recall or any higher one. Source: VOC 2012, VOCap.m."""
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * highest).sum())


def one_class_an_image(truth: AnnotatedImages) -> bool:
    """Whether every image has objects, all of one class, as those of ImageNet's localisation."""
    objects = truth.objects
    return all(len(set(objects.labels[objects.of(k)].tolist())) == 1 for k in range(len(truth)))


def localisation(truth: AnnotatedImages, found: Detections) -> Iterator[tuple[str, Figure]]:
    """ImageNet's localisation error in percent, with the five classes of the highest scores and with the first.

    Of each class its box of the highest score counts. An image is right if one of these classes is its own, and the box
    overlaps one of its objects with an IoU of 0.5 or more.

    Raises: DataError if images or categories are not the same, or an image has no object.
    Source: ILSVRC 2012, task 2.
    """
    check_same_images(truth, found)
    wrong = np.zeros((len(truth), 2), np.bool_)
    for k, image in enumerate(_in_order(truth.ids, found)):
        real = truth.objects.of(k)
        if real.start == real.stop:
            raise DataError(f"localisation needs an object in every image; {truth.ids[k]!r} has none")
        order = np.argsort(-image.scores, kind="stable")
        _, first = np.unique(image.labels[order], return_index=True)
        picked = order[np.sort(first)[:LOCATED]]
        close = overlap(image.corners[picked], truth.objects.boxes[real]) >= OVERLAP
        hit = (close & (image.labels[picked][:, None] == truth.objects.labels[real])).any(axis=1)
        wrong[k] = not hit[:1].any(), not hit.any()
    yield "localisation_top1_error_percent", 100 * float(wrong[:, 0].mean())
    yield "localisation_top5_error_percent", 100 * float(wrong[:, 1].mean())
    yield "images", float(len(truth))


def overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The intersection over union of each of n boxes with each of m others, all x0, y0, x1, y1.

    Shape: (n, 4), (m, 4) -> (n, m).
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, other_areas = ((sides[:, 2:] - sides[:, :2]).prod(axis=1) for sides in (boxes, others))
    union = areas[:, None] + other_areas[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
