"""Candidates of a box refinement: what a detector finds in its proposals, and again in the boxes of the first pass."""

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops.boxes import clip_boxes_to_image, remove_small_boxes

from resatlas.nets.detector import Detector, Found

_SMALLEST = 1e-2
"""Sides below which a box is left out. Source: torchvision's heads."""


@torch.no_grad()
def candidates(detector: Detector, images: Tensor) -> list[Found]:
    """The boxes of every class and region with the least score or more, not suppressed, in the pixels of each image.

    Regions are the proposals, and then the box of each proposal for its best class.

    Shape: (n, c, h, w).
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    batch, _ = detector.prepared(list(images), None)
    maps = detector.maps(batch.tensors)
    regions, _ = detector.rpn(batch, maps, None)
    found: list[list[Found]] = [[] for _ in sizes]
    for _ in range(2):
        scores, boxes = _pass(detector.roi_heads, maps, regions, batch.image_sizes)
        for own, score, box in zip(found, scores, boxes, strict=True):
            own.append(_those_from(detector.task.detections.score, score, box))
        regions = [box[torch.arange(len(box)), score.argmax(dim=1)] for score, box in zip(scores, boxes, strict=True)]
    both = [{name: torch.cat([one[name] for one in own]) for name in own[0]} for own in found]
    return detector.transform.postprocess(both, batch.image_sizes, sizes)


def _pass(
    heads: RoIHeads, maps: dict[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]]
) -> tuple[list[Tensor], list[Tensor]]:
    """Scores (r, k) and boxes (r, k, 4) of the classes other than the ground, for the regions of each image."""
    logits, shifts = heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, regions, sizes)))
    counts = [len(own) for own in regions]
    scores = logits.softmax(dim=-1)[:, 1:].split(counts)
    boxes = heads.box_coder.decode(shifts, regions)[:, 1:].split(counts)
    return list(scores), [clip_boxes_to_image(own, size) for own, size in zip(boxes, sizes, strict=True)]


def _those_from(least: float, scores: Tensor, boxes: Tensor) -> Found:
    """The candidates with a score above the least, as torchvision takes them, and with an area."""
    flat, labels = boxes.reshape(-1, 4), torch.arange(1, scores.shape[1] + 1, device=scores.device)
    own = {"boxes": flat, "labels": labels.expand_as(scores).flatten(), "scores": scores.flatten()}
    sure = torch.where(own["scores"] > least)[0]
    kept = sure[remove_small_boxes(flat[sure], min_size=_SMALLEST)]
    return {name: tensor[kept] for name, tensor in own.items()}
