"""What a recipe learns of an image, beside its label, as text: one fact per line."""

from collections.abc import Iterator
from typing import assert_never

from resatlas.recipes.detection import C4, Classify, Detect, Fcn, Fpn, Frozen, Given, Resized, Segment, Task


def task_facts(task: Task) -> Iterator[tuple[str, str]]:
    """The facts of detection and segmentation; none of classification, whose test is told by its views."""
    match task:
        case Classify():
            return
        case Detect():
            yield from _detect(task)
        case Segment():
            head = "FCN" if isinstance(task.head, Fcn) else f"DeepLab at {_listed(task.head.rates)} pixels"
            yield "finds", f"the class of every pixel, by {head} on the last map, of a stride of at most {task.stride}"
            yield "", f"pixels of class {task.unlabelled} do not count"
            if task.weights:
                yield "", f"weights of the classes in the loss {_listed(task.weights)}"
            yield "frozen", frozen_text(task.frozen)
        case _:
            assert_never(task)


def noun(task: Task) -> str:
    """What is learnt, in words that follow "finds" or stand alone."""
    match task:
        case Classify():
            return "one label per image"
        case Detect(masks=None):
            return "boxes of objects"
        case Detect():
            return "boxes and masks of objects"
        case Segment():
            return "the class of every pixel"
        case _:
            assert_never(task)


def frozen_text(frozen: Frozen | None) -> str:
    """What of the network does not change."""
    if frozen is None:
        return "nothing"
    return "all norms" + (f", the stem and {frozen.stages} of the stages" if frozen.stages else "")


def _detect(task: Detect) -> Iterator[tuple[str, str]]:
    match task.head:
        case C4(pooled=pooled, anchors=anchors):
            sides = ", ".join(f"{float(100 * share):.3g}" for share in anchors)
            yield "finds", f"{noun(task)}, by regions of the map before the last stage (C4), pooled to {pooled} pixels"
        case Fpn(channels=channels, finest=finest, anchor=anchor, pooled=pooled, hidden=hidden):
            sides = f"{float(100 * anchor):.3g} on the coarsest level, half of it on each finer one,"
            yield (
                "finds",
                f"{noun(task)}, by a pyramid of {channels} channels from a stride of {finest} on, regions pooled to "
                f"{pooled} pixels, {hidden} hidden units",
            )
        case _:
            assert_never(task.head)
    ratios = _listed(task.ratios)
    yield "anchors", f"sides {sides} % of the image's shorter side, height / width {ratios}"
    match task.sides:
        case Given():
            yield "sizes", "images keep theirs"
        case Resized(shorter=shorter, longest=longest):
            yield "sizes", f"shorter side {shorter}, longer side at most {longest}"
        case _:
            assert_never(task.sides)
    own, regions, found = task.proposals, task.regions, task.detections
    before, after = own.before, own.after
    yield (
        "proposals",
        f"{own.sampled} anchors of an image, up to {own.positive} on objects, IoU from {own.above:g}, below "
        f"{own.below:g} ground; {before[0]:,} suppressed at {own.nms:g} to {after[0]:,}, in the test {before[1]:,} to "
        f"{after[1]:,}",
    )
    yield "regions", f"{regions.sampled} of an image, up to {regions.positive} on objects, IoU from {regions.above:g}"
    yield "found", f"scores from {found.score:g}, suppressed at {found.nms:g}, at most {found.most} an image"
    if task.masks:
        masks = task.masks
        yield "masks", f"regions of {masks.pooled} pixels, {masks.layers} layers of {masks.width} channels"
    yield "frozen", frozen_text(task.frozen)


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
