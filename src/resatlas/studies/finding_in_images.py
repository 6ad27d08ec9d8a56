"""The objects in single images, as a run finds them; boxes, masks and scores drawn on the picture."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.data.annotated import resolve_annotated
from resatlas.data.catalog import OBJECTS, separated
from resatlas.data.listing import ENDINGS, printable
from resatlas.errors import DataError, FolderError, UsageError
from resatlas.evaluation.protocol import resolve_for_objects, view_for_objects
from resatlas.recipes.detection import Detect, Resized
from resatlas.runs.record import Epoch
from resatlas.runs.store import check_writable
from resatlas.studies.finders import Finder, finder
from resatlas.studies.marking import Mark, colour_of, covered, mark
from resatlas.studies.predicting import image_paths
from resatlas.training.threads import computing, threads_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from resatlas.data.masks import Rle
    from resatlas.evaluation.detections import ImageDetections
    from resatlas.evaluation.finding import ObjectView

_OTHER_SIZE = 2
"""The factor between the shorter sides of an image and of those of the training from which on a note is added."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object in an image: its class, its score from 0 to 1, its box x0, y0, x1, y1 in pixels, and perhaps its mask.

    Of classes of pixels, which have no box, the score is the share of the pixels.
    """

    label: str
    score: float
    box: tuple[float, float, float, float] | None = None
    mask: "Rle | None" = None


@dataclass(frozen=True, kw_only=True)
class InImage:
    """The objects of one image, the highest score first, and the file with their boxes; or why there are none.

    A note says if the image has another size than those of the training.
    """

    image: str
    objects: tuple[Object, ...] = ()
    drawn: str = ""
    note: str = ""
    error: str = ""


def find_in_images(
    run: str | Path,
    images: Iterable[str | Path],
    *,
    top: int = 5,
    score: float | None = None,
    of: Epoch = "last",
    draw: Path | None = None,
    protocol: str | None = None,
) -> list[InImage]:
    """The `top` objects of each image with at least `score`, or the reason why an image cannot be read.

    `images` are files, or folders of images; copies with boxes and masks are written to the folder `draw`. `protocol`
    is one of those of `resatlas evaluate`, by default the image as it is.
    Raises: FolderError, CheckpointError; UsageError; DataError if there is no image, or none that can be read.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1; got {top}")
    if score is not None and not 0 <= score <= 1:
        raise UsageError(f"--score must be from 0 to 1; got {score:g}")
    if draw is not None:
        check_writable(draw)
    subject = finder(run, of)
    view = _view(subject, protocol)
    paths = list(image_paths(map(Path, images)))
    if draw is not None and len({path.stem for path in paths}) < len(paths):
        raise UsageError("--draw names its pictures after the images, two of which have one name; draw them apart")
    with computing(threads_for(subject.plan, images=1)):
        found = [_in_image(subject, path, view, top=top, score=score or 0.0, draw=draw) for path in paths]
    if not found:
        raise DataError(f"no images: the folders have no file that ends in {', '.join(ENDINGS)}")
    if all(image.error for image in found):
        raise DataError(found[0].error + (f"; nor can {len(found) - 1:,} more" if len(found) > 1 else ""))
    return found


def _view(subject: Finder, protocol: str | None) -> "ObjectView":
    """The view of a protocol text. Mirrored objects keep their class, but in the data sets that say otherwise.

    Raises: UsageError, UnknownName.
    """
    known = separated(subject.data)[0] in OBJECTS
    [own] = resolve_for_objects([] if protocol is None else [protocol])
    mirror = resolve_annotated(subject.data).mirror if known else "allowed"
    return view_for_objects(own, subject.task, data=subject.data, mirror=mirror)


def _in_image(subject: Finder, file: Path, view: "ObjectView", *, top: int, score: float, draw: Path | None) -> InImage:
    import torch

    from resatlas.data.annotated_batches import network_pixels
    from resatlas.data.photograph import decoded
    from resatlas.evaluation.finding import looked_at, objects_in, pixel_logits
    from resatlas.exporting.preprocessing import in_channels

    try:
        pixels = decoded(file)
    except DataError as error:
        return InImage(image=printable(file), error=str(error))
    own = in_channels(torch.from_numpy(pixels), subject.plan.image.channels)
    size, task, classes = own.shape[-2:], subject.task, None
    with torch.no_grad():
        [outputs] = looked_at(subject.module, network_pixels(own.permute(1, 2, 0), subject.normaliser)[None], view)
        if isinstance(task, Detect):
            objects = _objects(subject, objects_in(str(file), view, outputs, task.detections, size=size), score)
        else:
            objects, classes = _shares(subject, pixel_logits(view, outputs, size=size))
    result = InImage(image=printable(file), objects=objects[:top], note=_size_note(subject, *size))
    if draw is None:
        return result
    target = draw / f"{file.stem}.png"
    _draw(pixels, result.objects, classes, target)
    return replace(result, drawn=printable(target))


def _size_note(subject: Finder, height: int, width: int) -> str:
    """What follows from a size that is far from that of the training; "" for a detector that resizes its images."""
    usual, task = subject.plan.image, subject.task
    shorter = min(usual.height, usual.width)
    if isinstance(task, Detect) and isinstance(task.sides, Resized):
        return ""
    if shorter <= _OTHER_SIZE * min(height, width) <= _OTHER_SIZE**2 * shorter:
        return ""
    return (
        f"it has {width} x {height} pixels, images of the training {usual.width} x {usual.height}, and objects are "
        f"looked for at the sizes that they had there; if they are other here, resize it to a shorter side of {shorter}"
    )


def _objects(subject: Finder, found: "ImageDetections", score: float) -> tuple[Object, ...]:
    masks = found.masks or (None,) * len(found)
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.corners.tolist(), masks, strict=True)
    return tuple(
        Object(label=subject.classes[label - 1], score=sure, box=(x0, y0, x1, y1), mask=mask)
        for label, sure, (x0, y0, x1, y1), mask in rows
        if sure >= score
    )


def _shares(subject: Finder, logits: "Tensor") -> tuple[tuple[Object, ...], "NDArray[np.int64]"]:
    """The share of the pixels of each class, the largest first, and the class of each pixel."""
    classes = logits.argmax(dim=0).cpu()
    shares = classes.flatten().bincount(minlength=len(subject.classes)).double() / classes.numel()
    order = shares.argsort(descending=True, stable=True).tolist()
    objects = tuple(Object(label=subject.classes[k], score=float(shares[k])) for k in order if shares[k])
    return objects, classes.numpy()


def _draw(
    pixels: "NDArray[np.uint8]", objects: tuple[Object, ...], classes: "NDArray[np.int64] | None", target: Path
) -> None:
    """Write the picture with its boxes and masks, or half covered by the colours of its classes.

    Raises: FolderError if it cannot be written.
    """
    import numpy as np
    from PIL import Image

    picture = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    names = {label: k for k, label in enumerate(sorted({one.label for one in objects}))}
    surest_on_top = objects[::-1]
    if classes is None:
        classes = np.zeros(picture.shape[:2], np.int64)
        for one in surest_on_top:
            if one.mask is not None:
                classes[one.mask.decoded() == 1] = names[one.label] + 1
    image = Image.fromarray(covered(picture, classes))
    mark(
        image,
        (
            Mark(one.box, colour_of(names[one.label]), f"{one.label} {one.score:.2f}")
            for one in surest_on_top
            if one.box is not None
        ),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target)
    except OSError as error:
        raise FolderError(f"{target} cannot be written: {(error.strerror or str(error)).lower()}") from None
