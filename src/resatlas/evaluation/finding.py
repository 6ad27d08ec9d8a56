"""What a detector or a segmenter finds in the images of a part, and its measures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple, assert_never

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from resatlas.data.annotated_batches import class_map, grounded, read_alone
from resatlas.data.boxes import AnnotatedImages, Id, by_size
from resatlas.data.pipeline import Pipeline
from resatlas.evaluation.box_merging import mirrored_back, refined, scaled_back, united
from resatlas.evaluation.class_masks import masks_of
from resatlas.evaluation.detection import MEASURE, detection, localisation, one_class_an_image, voc
from resatlas.evaluation.detections import Detections, ImageDetections, merged, of_output
from resatlas.evaluation.logits import OnImages, Processes, no_progress
from resatlas.evaluation.segmentation import confusion, segmentation
from resatlas.nets.detector import Detector
from resatlas.nets.refining import candidates
from resatlas.recipes.detection import Classify, Detect, Refined, Segment, Task
from resatlas.recipes.detection import Detections as DetectionRules
from resatlas.recipes.images import Centre, Flips, MultiScale, pixels
from resatlas.values.pulse import PULSE

_WHOLE = Centre()

MEASURE_OF_PIXELS = "100 - mean IoU"
"""What `error_percent` of a segmenter is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmented:
    """The pixels of each real class, by rows, that were given each class, and the mask of each class in every image."""

    matrix: NDArray[np.int64]
    masks: Detections


Found = Detections | Segmented
"""The objects of the images, or the classes of their pixels."""

ObjectView = Centre | Flips | MultiScale | Refined
"""How objects are looked for: in the image, also in its mirror image, at several scales, or twice, the second time
around the boxes of the first."""

Figures = Iterator[tuple[str, float | None]]


def measure_of(task: Task) -> str:
    """What `error_percent` of a task is; "" for the share of images with another label."""
    match task:
        case Classify():
            return ""
        case Detect():
            return MEASURE
        case Segment():
            return MEASURE_OF_PIXELS


def detections_of(found: Found) -> Detections:
    """What detections.json holds: the objects, or the masks of the classes of pixels."""
    return found if isinstance(found, Detections) else found.masks


def find(
    module: nn.Module,
    part: AnnotatedImages,
    pipeline: Pipeline,
    task: Detect | Segment,
    *,
    batch: int,
    processes: Processes,
    view: ObjectView = _WHOLE,
    on_images: OnImages = no_progress,
) -> Found:
    """What the module finds in every image of a part, each once; the images are split among the processes.

    Images of one size alone go together, so that the batch does not change what is seen of an image. The boxes of
    several copies of an image are suppressed together, and the softmax of their pixels is averaged.
    Differs: the ResNet paper (arXiv:1512.03385), appendix B, merges the features of two scales by maxout;
        here every scale finds boxes of its own.
    """
    begin, end = (k * len(part) // processes.size for k in (processes.rank, processes.rank + 1))
    own = part.take(np.arange(begin, end))
    outputs = outputs_of(module, own, pipeline, batch=batch, view=view, on_images=on_images)
    match task:
        case Detect(detections=rules):
            found = [
                (k, objects_in(own.ids[k], view, copies, rules, size=tuple(own.sizes[k].tolist())))
                for k, copies in outputs
            ]
            return _gathered(part, found, processes)
        case Segment():
            total = np.zeros((len(part.categories) + 1,) * 2, np.int64)
            found = []
            for k, copies in outputs:
                real = class_map(grounded(own.sample(k)).target, task.unlabelled).numpy()
                predicted = pixel_logits(view, copies, size=real.shape).argmax(dim=0).cpu().numpy()
                total += confusion(real, predicted, len(total), unlabelled=task.unlabelled)
                found.append((k, masks_of(own.ids[k], predicted)))
            return Segmented(matrix=np.sum(processes.gathered(total), axis=0), masks=_gathered(part, found, processes))


def _gathered(part: AnnotatedImages, found: Sequence[tuple[int, ImageDetections]], processes: Processes) -> Detections:
    """The detections of all processes, of this one by the places of its images."""
    images = tuple(image for _, image in sorted(found, key=_place))
    return merged(processes.gathered(Detections(categories=part.categories, images=images)), part.ids)


class Copy(NamedTuple):
    """A copy of an image that is looked at: its scale, and whether it is mirrored."""

    scale: Fraction
    mirrored: bool


def copies_of(view: ObjectView) -> tuple[Copy, ...]:
    """The copies of a view; the first is the image as it is, but of `MultiScale`."""
    whole = Fraction(1)
    match view:
        case Centre() | Refined():
            return (Copy(whole, mirrored=False),)
        case Flips():
            return (Copy(whole, mirrored=False), Copy(whole, mirrored=True))
        case MultiScale(shorter=scales, flips=flips):
            sides = (False, True) if flips == "with" else (False,)
            return tuple(Copy(scale, mirrored) for scale in scales for mirrored in sides)
        case _:
            assert_never(view)


def shown(images: Tensor, copy: Copy) -> Tensor:
    """The images as one of the copies, scaled bilinearly.

    Shape: (n, c, h, w) -> (n, c, round(scale·h), round(scale·w)).
    """
    sides = tuple(pixels(copy.scale, side) for side in images.shape[-2:])
    own = images if copy.scale == 1 else F.interpolate(images, size=sides, mode="bilinear", align_corners=False)
    return own.flip(-1) if copy.mirrored else own


def looked_at(module: nn.Module, images: Tensor, view: ObjectView) -> Iterator[tuple[Any, ...]]:
    """For each image the outputs of the module for its copies, in their order; of a refined view its candidates.

    Shape: images (n, c, h, w).
    """
    again = isinstance(view, Refined) and isinstance(module, Detector)
    found_by = partial(candidates, module) if again else module
    yield from zip(*[found_by(shown(images, copy)) for copy in copies_of(view)], strict=True)


def objects_in(
    image: Id, view: ObjectView, outputs: Sequence[Any], rules: DetectionRules, *, size: tuple[int, ...]
) -> ImageDetections:
    """The objects of an image of a size: those of its only copy, or those of all copies in its own pixels, united.

    The outputs are those of `looked_at`; `size` is its height and width.
    """
    if isinstance(view, Refined):
        return refined(of_output(image, outputs[0]), view, most=rules.most)
    height, width = size
    found: list[ImageDetections] = []
    for copy, output in zip(copies_of(view), outputs, strict=True):
        own = of_output(image, output)
        down, across = (pixels(copy.scale, side) for side in (height, width))
        if copy.mirrored:
            own = mirrored_back(own, width=across)
        found.append(own if copy.scale == 1 else scaled_back(own, across=across / width, down=down / height))
    return found[0] if len(found) == 1 else united(found, threshold=rules.nms, most=rules.most)


def pixel_logits(view: ObjectView, outputs: Sequence[Tensor], *, size: tuple[int, ...]) -> Tensor:
    """The logits of the pixels of an image of a size, or the mean softmax over its copies, at that size."""
    if isinstance(view, Centre):
        return outputs[0]
    copies = copies_of(view)
    means: list[Tensor] = []
    for copy, output in zip(copies, outputs, strict=True):
        own = (output.flip(-1) if copy.mirrored else output).softmax(0)
        same = own.shape[-2:] == torch.Size(size)
        means.append(own if same else F.interpolate(own[None], size=size, mode="bilinear", align_corners=False)[0])
    return torch.stack(means).mean(0)


def _place(found: tuple[int, ImageDetections]) -> int:
    return found[0]


@torch.no_grad()
def outputs_of(
    module: nn.Module,
    part: AnnotatedImages,
    pipeline: Pipeline,
    *,
    batch: int,
    view: ObjectView,
    on_images: OnImages = no_progress,
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(place of an image in the part, outputs of the module in evaluation mode), in batches of images of one size.

    The outputs are those of the copies of the view, in their order.
    """
    module.eval()
    device, done = next(module.parameters()).device, 0
    for places in by_size(part.sizes, batch=batch):
        images = torch.stack(list(read_alone(part, pipeline, places.tolist()))).to(device)
        yield from zip(places.tolist(), looked_at(module, images, view), strict=True)
        PULSE.beat()
        done += len(places)
        on_images(done, len(part))


def figures(truth: AnnotatedImages, found: Found, task: Detect | Segment) -> Figures:
    """The measures of what is found, by name, those of the whole before those of each class.

    Raises: as `detection` and `segmentation`.
    """
    if isinstance(found, Detections):
        yield from detection(truth, found)
        if truth.rules == "COCO and VOC":
            yield from voc(truth, found, "11 points")
            yield from voc(truth, found, "area")
        if one_class_an_image(truth):
            yield from ((name, value) for name, value in localisation(truth, found) if _is_ap(name))
        if isinstance(task, Detect) and task.masks:
            yield from ((f"mask_{name}", value) for name, value in detection(truth, found, of="masks") if _is_ap(name))
    else:
        measures = segmentation([found.matrix], truth.pixel_classes)
        yield from ((name, _images(truth, name, value)) for name, value in measures)


def _is_ap(name: str) -> bool:
    return name not in ("error_percent", "images")


def _images(truth: AnnotatedImages, name: str, value: float | None) -> float | None:
    """One matrix of all images counts as one image."""
    return float(len(truth)) if name == "images" else value


def in_all(values: Figures) -> dict[str, float]:
    """The measures of the whole that exist, without those of each class."""
    return {name: value for name, value in values if value is not None and ": " not in name}
