"""Detectors and segmenters as graphs: the same numbers without decisions in Python that depend on what is found."""

import math
from collections.abc import Mapping
from typing import assert_never

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torchvision.ops import nms

from resatlas.data.normalisation import Affine, normalised
from resatlas.exporting.targets import InputKind
from resatlas.nets.detector import Detector
from resatlas.nets.segmenter import Segmenter
from resatlas.recipes.detection import Given, Resized, Sides

_SMALLEST_PROPOSAL = 1e-3
_SMALLEST_OBJECT = 1e-2
"""Sides of boxes, in pixels, below which they are left out. Source: torchvision, rpn.py and roi_heads.py."""


class FoundGraph(nn.Module):
    """images, as `kind` says -> what a detector or a segmenter gives for them; one image at a time for a detector.

    Shape: (n, c, h, w) of uint8 for pixels, of float otherwise -> (boxes, labels, scores) and masks, or (classes).
    """

    def __init__(self, module: Detector | Segmenter, normaliser: Affine, kind: InputKind) -> None:
        super().__init__()
        self.found = DetectorGraph(module) if isinstance(module, Detector) else module
        self.kind = kind
        self.register_buffer("mean", normaliser.mean, persistent=False)
        self.register_buffer("std", normaliser.std, persistent=False)

    def forward(
        self, images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"]
    ) -> tuple[Tensor, ...] | Float[Tensor, "n k h w"]:
        """Boxes, labels, scores and, if the detector has them, masks; or one logit per class and pixel."""
        if self.kind == "normalised":
            return self.found(images)
        own = Affine(mean=self.get_buffer("mean"), std=self.get_buffer("std"))
        return self.found(normalised(images.to(torch.float32) / 255, own))


class DetectorGraph(nn.Module):
    """A normalised image -> boxes, labels, scores and masks of its objects, as `Detector` gives them.

    Suppression leaves as many boxes as there are: proposals are filled up to their largest number by boxes whose
    scores are 0, and only the last step of each part has a size that the image decides. A detector that resizes its
    images does so here too, for images of the one size with which the graph is traced.

    Shape: (1, c, h, w) -> (k, 4), (k,), (k,) and (k, 1, h, w).
    Differs: torchvision suppresses the boxes of all classes at once, by shifting those of each class, up to 1000 boxes,
        and else class by class; here always by shifting.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Float[Tensor, "1 c h w"]) -> tuple[Tensor, ...]:
        """The objects, the highest score first."""
        given = images.shape[-2:]
        images = _as_the_detector_resizes(images, self.detector.task.sides)
        height, width = images.shape[-2:]
        coarsest = self.detector.transform.size_divisible
        padded = F.pad(images, (0, -width % coarsest, 0, -height % coarsest))
        maps = self.detector.maps(padded)
        limits = torch.tensor([width, height, width, height], dtype=images.dtype)
        proposals, real = self._proposals(maps, padded, limits)
        boxes, labels, scores = self._objects(maps, proposals, real, limits)
        back = None
        if isinstance(self.detector.task.sides, Resized):
            back = boxes.new_tensor([given[1] / width, given[0] / height] * 2)
        own = boxes if back is None else boxes * back
        if self.detector.task.masks is None:
            return own, labels, scores
        masks, filled = self._masks(maps, boxes, labels)
        pasted = _pasted(masks, filled if back is None else filled * back, *given)
        return own, labels, scores, pasted[: boxes.shape[0], None]

    def _proposals(
        self, maps: Mapping[str, Tensor], padded: Tensor, limits: Tensor
    ) -> tuple[Float[Tensor, "p 4"], Tensor]:
        """The proposals, filled up to their largest number, and whether each is one."""
        rpn = self.detector.rpn
        rules = self.detector.task.proposals
        before, after = rules.before[1], rules.after[1]
        kept_boxes: list[Tensor] = []
        kept_scores: list[Tensor] = []
        for own, shifts, cell in zip(*rpn.head(list(maps.values())), rpn.anchor_generator.cell_anchors, strict=True):
            rows, columns = own.shape[-2:]
            anchors = _anchors(cell, rows, columns, padded.shape[-2] // rows, padded.shape[-1] // columns)
            deltas = shifts.reshape(len(cell), 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)
            filled = torch.cat([own[0].permute(1, 2, 0).flatten(), own.new_full((before,), -torch.inf)])
            best, places = filled.topk(before)
            places = places.clamp(max=anchors.shape[0] - 1)
            decoded = rpn.box_coder.decode_single(deltas[places], anchors[places])
            boxes = torch.minimum(decoded.clamp(min=0), limits)
            [large] = torch.where((_sides(boxes).amin(dim=1) >= _SMALLEST_PROPOSAL) & (best > -torch.inf))
            boxes, scores = boxes[large], best[large].sigmoid()
            survivors = nms(boxes, scores, rules.nms)
            kept_boxes.append(boxes[survivors])
            kept_scores.append(scores[survivors])
        fill = torch.cat([limits.new_zeros(2), limits.new_ones(2)]).expand(after, 4)
        scores, places = torch.cat([*kept_scores, -limits.new_ones(after)]).topk(after)
        return torch.cat([*kept_boxes, fill])[places], scores >= 0

    def _objects(
        self, maps: Mapping[str, Tensor], proposals: Float[Tensor, "p 4"], real: Tensor, limits: Tensor
    ) -> tuple[Float[Tensor, "k 4"], Int64[Tensor, " k"], Float[Tensor, " k"]]:
        heads, rules = self.detector.roi_heads, self.detector.task.detections
        logits, shifts = heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, [proposals], [])))
        decoded = heads.box_coder.decode_single(shifts, proposals)
        boxes = torch.minimum(decoded.reshape(-1, 4).clamp(min=0), limits)
        shares = (logits.softmax(dim=-1) * real[:, None]).flatten()
        count = logits.shape[1]
        labels = torch.arange(len(shares)) % count
        counts = (shares > rules.score) & (labels > 0) & (_sides(boxes).amin(dim=1) >= _SMALLEST_OBJECT)
        [places] = torch.where(counts)
        boxes, labels, scores = boxes[places], labels[places], shares[places]
        largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).amax(dim=0)
        shifted = boxes + (labels.to(boxes) * (largest + 1))[:, None]
        best = nms(shifted, scores, rules.nms)[: rules.most]
        return boxes[best], labels[best], scores[best]

    def _masks(
        self, maps: Mapping[str, Tensor], boxes: Float[Tensor, "k 4"], labels: Int64[Tensor, " k"]
    ) -> tuple[Float[Tensor, "m s s"], Float[Tensor, "m 4"]]:
        """The mask of each box, of its own class, and the boxes, filled up to the largest number of objects."""
        heads, most = self.detector.roi_heads, self.detector.task.detections.most
        filled = torch.cat([boxes, boxes.new_ones(most, 4)])[:most]
        own = torch.cat([labels, labels.new_ones(most)])[:most]
        pool, head, predictor = heads.mask_roi_pool, heads.mask_head, heads.mask_predictor
        assert pool is not None and head is not None and predictor is not None  # noqa: S101, PT018 - as the task says
        logits = predictor(head(pool(maps, [filled], [])))
        return logits.sigmoid()[torch.arange(most), own], filled


def _as_the_detector_resizes(images: Float[Tensor, "1 c h w"], sides: Sides) -> Float[Tensor, "1 c h2 w2"]:
    """The images at the size to which a detector resizes them; the numbers are of the image that is traced.

    Source: torchvision, transform.py, _resize_image_and_masks, whose scale is a quotient in float32.
    """
    match sides:
        case Given():
            return images
        case Resized(shorter=shorter, longest=longest):
            height, width = images.shape[-2:]
            scale = min(
                np.float32(shorter) / np.float32(min(height, width)),
                np.float32(longest) / np.float32(max(height, width)),
            )
            size = [math.floor(height * float(scale)), math.floor(width * float(scale))]
            return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        case _:
            assert_never(sides)


def _anchors(cell: Tensor, rows: int, columns: int, down: int, across: int) -> Float[Tensor, "n 4"]:
    """The anchors of a level, row by row."""
    y, x = torch.arange(rows) * down, torch.arange(columns) * across
    y, x = y[:, None].expand(rows, columns), x[None].expand(rows, columns)
    return (torch.stack([x, y, x, y], dim=-1).to(cell)[:, :, None] + cell).reshape(-1, 4)


def _sides(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 2"]:
    return boxes[:, 2:] - boxes[:, :2]


def _pasted(masks: Float[Tensor, "k s s"], boxes: Float[Tensor, "k 4"], height: int, width: int) -> Tensor:
    """Masks of boxes in the image: enlarged bilinearly to the whole pixels of their boxes, 0 elsewhere.

    A mask gets a margin of 1 on each side first, and its box grows in proportion.

    Shape: (k, height, width).
    Source: torchvision, roi_heads.py, paste_masks_in_image; as two products, one for rows and one for columns.
    """
    side = masks.shape[-1] + 2
    centre, half = (boxes[:, 2:] + boxes[:, :2]) * 0.5, _sides(boxes) * 0.5 * (side / (side - 2))
    first, last = (centre - half).to(torch.int64), (centre + half).to(torch.int64)
    across = _weights(first[:, 0], last[:, 0], width, side, masks)
    down = _weights(first[:, 1], last[:, 1], height, side, masks)
    return down @ F.pad(masks, (1, 1, 1, 1)) @ across.transpose(1, 2)


def _weights(first: Tensor, last: Tensor, pixels: int, side: int, like: Tensor) -> Float[Tensor, "k p s"]:
    """How much each of `side` values counts at each pixel of an axis; nothing beyond first and last."""
    places = torch.arange(pixels)
    count = (last - first + 1).clamp(min=1)[:, None].to(like)
    source = ((places - first[:, None]).to(like) + 0.5) * (side / count) - 0.5
    source = source.clamp(min=0, max=side - 1)[..., None]
    inside = (places >= first[:, None]) & (places <= last[:, None])
    return (1 - (source - torch.arange(side).to(like)).abs()).clamp(min=0) * inside[..., None]
