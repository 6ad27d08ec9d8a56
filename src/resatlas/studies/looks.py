"""Another look at the test images of a run that finds objects, from its detections.json and its data."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from resatlas.errors import ResatlasError
from resatlas.page.looks import MOST_CURVES, Curve, Look, Looks, Shown, Swatch, missing
from resatlas.recipes.detection import Classify, Detect, Segment, Task
from resatlas.runs.names import DETECTIONS
from resatlas.runs.record import RunRecord
from resatlas.studies.marking import colour_of
from resatlas.studies.mistake_pictures import IGNORED, REAL, RIGHT, WRONG, of_boxes, of_classes

if TYPE_CHECKING:
    from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, Id
    from resatlas.evaluation.detections import Detections
    from resatlas.evaluation.mistakes import Mistakes

MOST_SHOWN = 12
"""Images with their mistakes on a page."""

MOST_COLOURED = 13
"""Classes of pixels, the ground among them, up to which each has a colour of its own."""

OVERLAPS = (0.5, 0.75)
"""The IoUs of the curves."""


def looks() -> Looks:
    """A function that looks at the test images of a run; it reads each data set once, when a run needs it."""
    read = cache(_read)
    return lambda run: _look(run, read)


def _read(data: str, task: Task) -> "AnnotatedParts":
    from resatlas.data.annotated import resolve_annotated
    from resatlas.studies.tasks import masks_for

    return resolve_annotated(data, masks=masks_for(task)).read()


def _look(run: RunRecord, read: "Callable[[str, Task], AnnotatedParts]") -> Look | str:
    """What the run finds, or why it cannot be shown, in a sentence that names no folder."""
    task = run.experiment.recipe.task
    if isinstance(task, Classify):
        raise TypeError(f"{run.name} has learnt labels")
    file = run.folder / DETECTIONS
    if not file.is_file():
        return f"{missing(run)}: it has no {DETECTIONS}, which earlier versions did not write for classes of pixels."
    truth = _truth(run, task, read)
    if truth is None:
        return f"{missing(run)}: its data are not on this machine, or have changed since it was tested."
    from resatlas.evaluation.detections import read_detections

    try:
        found = read_detections(file)
        return _of_objects(truth, found) if isinstance(task, Detect) else _of_pixels(truth, found, task)
    except ResatlasError as error:
        return f"{missing(run)}: {str(error).replace(str(run.folder), run.name)}."


def _truth(run: RunRecord, task: Task, read: "Callable[[str, Task], AnnotatedParts]") -> "AnnotatedImages | None":
    """The test images of a run with their objects; None if they are not here, or not those that it has recorded.

    A page shows no image that a run folder names and has not recorded: it may be a private one of this machine.
    """
    from resatlas.studies.testing_found import classes_in, standing_of

    try:
        parts = read(run.experiment.data, task)
        standing, _ = standing_of(run, parts)
    except (ResatlasError, ImportError):
        return None
    return parts.test if standing == "own" and run.classes == classes_in(task, parts) else None


def _of_objects(truth: "AnnotatedImages", found: "Detections") -> Look:
    from resatlas.data.boxes import names_of, with_ground
    from resatlas.evaluation.mistakes import SURE, judged, worst

    labels = with_ground("no object", names_of(truth.categories))
    mistakes, counts = judged(truth, found)
    chosen = worst({image: own.total for image, own in mistakes.items()}, most=MOST_SHOWN)
    places = {image: k for k, image in enumerate(truth.ids)}
    by_image = {image.image: image for image in found.images}
    ignored = (Swatch(IGNORED, "object that does not count: a crowd, or difficult"),)
    return Look(
        of="objects",
        labels=(*labels[1:], labels[0]),
        counts={(labels[real], labels[given]): number for (real, given), number in counts.items()},
        curves=tuple(_curves(truth, found, labels[1:])),
        shown=tuple(
            Shown(str(image), _told(mistakes[image]), of_boxes(truth, places[image], by_image[image], labels))
            for image in chosen
        ),
        legend=(
            Swatch(RIGHT, "box that is right, with its score"),
            Swatch(WRONG, "false box, or of another class than its object"),
            Swatch(REAL, "object, with its class if it is missed or taken for another class"),
            *(ignored if truth.objects.ignore.any() else ()),
        ),
        rule=(
            "The images with most missed objects, false boxes and boxes of another class than their object; boxes with "
            f"a score from {SURE:g} on count, and are paired with objects from an IoU of 0.5 on."
        ),
        erring=sum(own.total > 0 for own in mistakes.values()),
        images=len(truth),
    )


def _told(mistakes: "Mistakes") -> str:
    words = {"missed": mistakes.missed, "false": mistakes.false, "of another class": mistakes.confused}
    return ", ".join(f"{number:,} {name}" for name, number in words.items() if number)


def _curves(truth: "AnnotatedImages", found: "Detections", names: tuple[str, ...]) -> Iterator[Curve]:
    """The means over the classes with an object at each IoU, then each class at the first, if there are few."""
    from resatlas.evaluation.detection import precisions

    values = precisions(truth, found, at=OVERLAPS)
    present = values[0, :, 0] >= 0
    if not present.any():
        return
    for overlap, at_overlap in zip(OVERLAPS, values, strict=True):
        yield Curve(overlap, tuple(at_overlap[present].mean(axis=0).tolist()))
    if present.sum() <= MOST_CURVES:
        for name, own, there in zip(names, values[0], present, strict=True):
            if there:
                yield Curve(OVERLAPS[0], tuple(own.tolist()), name)


def _of_pixels(truth: "AnnotatedImages", found: "Detections", task: Segment) -> Look:
    import numpy as np

    from resatlas.data.annotated_batches import real_classes
    from resatlas.evaluation.class_masks import classes_of
    from resatlas.evaluation.detection import check_same_images
    from resatlas.evaluation.mistakes import worst
    from resatlas.evaluation.segmentation import confusion

    check_same_images(truth, found)
    labels = truth.pixel_classes
    by_image = {image.image: image for image in found.images}
    places = {image: k for k, image in enumerate(truth.ids)}
    total = np.zeros((len(labels),) * 2, np.int64)
    wrong: dict[Id, float] = {}
    for image, k in places.items():
        height, width = truth.sizes[k].tolist()
        predicted = classes_of(by_image[image], height=height, width=width)
        real = real_classes(truth, k, task.unlabelled).numpy()
        own = confusion(real, predicted, len(labels), unlabelled=task.unlabelled)
        total += own
        wrong[image] = 1 - float(np.trace(own) / own.sum()) if own.any() else 0.0
    pairs = zip(*(axis.tolist() for axis in total.nonzero()), strict=True)
    return Look(
        of="pixels",
        labels=labels,
        counts={(labels[real], labels[given]): int(total[real, given]) for real, given in pairs},
        curves=(),
        shown=tuple(
            Shown(
                str(image),
                f"{100 * wrong[image]:.1f} % of its pixels wrong",
                of_classes(truth, places[image], by_image[image], task.unlabelled),
            )
            for image in worst(wrong, most=MOST_SHOWN)
        ),
        legend=tuple(Swatch(colour_of(k), name) for k, name in enumerate(labels[1:MOST_COLOURED])),
        rule=(
            "The images with the largest share of pixels of another class. From the left: the image, its true classes, "
            "the predicted ones."
        ),
        erring=sum(share > 0 for share in wrong.values()),
        images=len(truth),
    )
