"""Detectors: one network with torchvision's region proposals, heads for boxes and masks, and pyramid."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import assert_never

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.levels import Level, plan_levels
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.tasks import Design
from resatlas.errors import DataError, DesignError, UsageError
from resatlas.nets import network as networks
from resatlas.nets.backbone import check_frozen, check_no_classifier, drawn_from, frozen_modules
from resatlas.nets.network import Network
from resatlas.nets.regions import LastMaps, LastStage, RegionPool
from resatlas.nets.streams import run_unit, side_by_side
from resatlas.recipes.detection import C4, Detect, Fpn, Given, Masks, Resized

Target = Mapping[str, Tensor]
"""The objects of an image, as in torchvision: boxes (n, 4) in float32, x1 y1 x2 y2 in pixels, and labels (n,) in int64
from 1 on; with masks (n, h, w) in uint8, and ignore (n,) in bool, for crowds, which are left out in training."""

Found = dict[str, Tensor]
"""What is found in an image: boxes (n, 4), labels (n,) and scores (n,), the highest first; and masks (n, 1, h, w)."""

TRUNK = "trunk"
"""The name of the maps that C4 reads."""

_USUAL = 224 / 800
"""The side of the boxes that a level of half the coarsest stride is for, as a share of the image's shorter side.
Source: FPN (arXiv:1612.03144), equation 1, at the shorter side of 800 pixels of its section 5."""

_REGRESSION = (10.0, 10.0, 5.0, 5.0)
"""What the shifts of the centre and of the logarithm of the sides are multiplied by. Source: Fast R-CNN's code."""


class Detector(nn.Module):
    """images -> the losses of a batch in training, else what is found in each image: Faster R-CNN, and Mask R-CNN.

    `network` has the paths and weights that it has as a classifier; `rpn`, `roi_heads` and `fpn` are those of
    torchvision. With `Fpn`, every level is read; with `C4`, the proposals are those of the map before the last stage,
    which then runs on each region, with the head up to its classifier.

    Shape: a list of (channels, h, w), or (n, channels, h, w).
    Raises: UsageError if the network has a classifier; DesignError if it has no level or stage for this head.
    Source: Faster R-CNN (arXiv:1506.01497), FPN (arXiv:1612.03144), Mask R-CNN (arXiv:1703.06870).
    """

    def __init__(self, network: Network, task: Detect, *, classes: int) -> None:
        super().__init__()
        check_no_classifier(network, "a detector")
        if classes < 1:
            raise UsageError(f"a detector has at least 1 class of objects, the ground not counted; got {classes}")
        self.task = task
        self.classes = classes
        self.network = network
        self.shorter = _shorter(network.plan, task)
        self.fpn: FeaturePyramidNetwork | None = None
        levels = plan_levels(network.plan)
        match task.head:
            case C4():
                self.levels = _trunk(levels)
                channels, names = self.levels[0].channels, [TRUNK]
                sizes = (tuple(float(share * self.shorter) for share in task.head.anchors),)
            case Fpn(channels=channels, finest=finest, anchor=anchor):
                self.levels = _pyramid(levels, finest)
                self.fpn = FeaturePyramidNetwork(
                    [level.channels for level in self.levels], channels, extra_blocks=LastLevelMaxPool()
                )
                names = [str(level.stage) for level in self.levels]
                strides = [*(level.stride for level in self.levels), 2 * self.levels[-1].stride]
                sizes = tuple((float(anchor * self.shorter) * stride / strides[-1],) for stride in strides)
            case _:
                assert_never(task.head)
        self.strides = dict(zip(names, (level.stride for level in self.levels), strict=True))
        self.rpn = _proposals(task, sizes, channels)
        self.roi_heads = _heads(self, channels)
        shorter, longest = (1, 1) if isinstance(task.sides, Given) else (task.sides.shorter, task.sides.longest)
        count = network.plan.image.channels
        self.transform = GeneralizedRCNNTransform(
            shorter, longest, [0.0] * count, [1.0] * count, size_divisible=levels[-1].stride
        )
        for module in frozen_modules(network, task.frozen):
            module.requires_grad_(requires_grad=False)
        self.train()

    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Target] | None = None
    ) -> dict[str, Tensor] | list[Found]:
        """The losses by name in training; in evaluation the boxes found in each image, in its own pixels.

        Raises: UsageError without targets in training; DataError for a box without width or height.
        """
        if self.training and targets is None:
            raise UsageError("a detector in training needs a target for each image; call eval() to detect")
        wanted = [_without_crowds(target) for target in targets or ()] if self.training else None
        for number, target in enumerate(wanted or ()):
            _check_boxes(target["boxes"], number)
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        batch, wanted = self.prepared(list(images), wanted)
        maps = self.maps(batch.tensors)
        if not self.training:
            return self.found(maps, batch, sizes)
        proposals, losses = self.rpn(batch, maps, wanted)
        _, more = self.roi_heads(maps, proposals, batch.image_sizes, wanted)
        return {**losses, **more}

    def found(self, maps: dict[str, Tensor], batch: ImageList, sizes: list[tuple[int, int]]) -> list[Found]:
        """What is found in the maps of a prepared batch, in the pixels of images of these sizes."""
        proposals, _ = self.rpn(batch, maps)
        found, _ = self.roi_heads(maps, proposals, batch.image_sizes)
        return self.transform.postprocess(found, batch.image_sizes, sizes)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """The maps that proposals and regions come from, by name: the levels of the pyramid, or the trunk's."""
        if self.fpn is not None:
            features = self.network.features(images)
            return self.fpn(OrderedDict((str(level.stage), features[f"stages.{level.stage}"]) for level in self.levels))
        streams = self.network.begin(images)
        for stage in list(self.network.stages.children())[:-1]:
            streams = run_unit(stage, streams)
        return {TRUNK: side_by_side(streams)}

    def train(self, mode: bool = True) -> "Detector":
        """Training mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in frozen_modules(self.network, self.task.frozen):
            module.eval()
        return self

    def prepared(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[ImageList, list[dict[str, Tensor]] | None]:
        """The images as one batch, padded by zeros to the coarsest stride, and resized if the task says so."""
        if isinstance(self.task.sides, Resized):
            return self.transform(images, targets)
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        return ImageList(self.transform.batch_images(images, self.transform.size_divisible), sizes), targets


def detector(
    design: str | Design | Blueprint | Plan | Network,
    task: Detect | None = None,
    *,
    classes: int,
    image: Shape | None = None,
    seed: int | None = None,
) -> Detector:
    """A detector of `classes` kinds of objects on the network of a design, or on a network, which may be trained.

    `image` is the usual size of the images, which anchors refer to. The network has the weights of `build` with this
    seed, and the other layers are drawn from a seed derived from it; without a seed, all from torch's generator.

        network = resatlas.build("resnet-50", weights="torchvision/resnet50@V2", classes=0, image=Shape(3, 600, 800))
        resatlas.detector(network, Detect(head=C4(), frozen=Frozen()), classes=20)

    Raises: as `Detector` and `build`; UsageError if norms of an untrained network would be frozen.
    """
    task = task or Detect()
    network = design if isinstance(design, Network) else networks.build(design, image=image, classes=0, seed=seed)
    check_frozen(network, task.frozen)
    with drawn_from(seed, "detector"):
        return Detector(network, task, classes=classes)


def _shorter(plan: Plan, task: Detect) -> int:
    match task.sides:
        case Given():
            return min(plan.image.height, plan.image.width)
        case Resized(shorter=shorter):
            return shorter
        case _:
            assert_never(task.sides)


def _trunk(levels: Sequence[Level]) -> list[Level]:
    if len(levels) < 2:
        raise DesignError("C4 needs a network of at least 2 stages, since its last one runs on regions; got 1")
    return [levels[-2]]


def _pyramid(levels: Sequence[Level], finest: int) -> list[Level]:
    chosen = [level for level in levels if level.stride >= finest]
    if not chosen:
        strides = ", ".join(str(level.stride) for level in levels)
        raise DesignError(f"no level has a stride of at least {finest}; this network has {strides}")
    return chosen


def _proposals(task: Detect, sizes: tuple[tuple[float, ...], ...], channels: int) -> RegionProposalNetwork:
    own = task.proposals
    anchors = AnchorGenerator(sizes, (task.ratios,) * len(sizes))
    return RegionProposalNetwork(
        anchors,
        RPNHead(channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=own.above,
        bg_iou_thresh=own.below,
        batch_size_per_image=own.sampled,
        positive_fraction=float(own.positive),
        pre_nms_top_n=dict(zip(("training", "testing"), own.before, strict=True)),
        post_nms_top_n=dict(zip(("training", "testing"), own.after, strict=True)),
        nms_thresh=own.nms,
    )


def _heads(owner: Detector, channels: int) -> RoIHeads:
    task, network, classes = owner.task, owner.network, owner.classes + 1  # class 0 is the ground
    usual = _USUAL * owner.shorter
    match task.head:
        case C4(pooled=pooled):
            box_head, features = LastStage(network), network.plan.head[-1].output.channels
            mask_parts = None if task.masks is None else _last_masks(network, task.masks, classes)
            mask_size = pooled
        case Fpn(pooled=pooled, hidden=features):
            box_head = TwoMLPHead(channels * pooled**2, features)
            mask_parts = None if task.masks is None else _pyramid_masks(channels, task.masks, classes)
            mask_size = pooled if task.masks is None else task.masks.pooled
        case _:
            assert_never(task.head)
    heads = RoIHeads(
        RegionPool(owner.strides, size=pooled, usual=usual),
        box_head,
        FastRCNNPredictor(features, classes),
        fg_iou_thresh=task.regions.above,
        bg_iou_thresh=task.regions.above,
        batch_size_per_image=task.regions.sampled,
        positive_fraction=float(task.regions.positive),
        bbox_reg_weights=_REGRESSION,
        score_thresh=task.detections.score,
        nms_thresh=task.detections.nms,
        detections_per_img=task.detections.most,
    )
    if mask_parts is not None:
        heads.mask_roi_pool = RegionPool(owner.strides, size=mask_size, usual=usual)
        heads.mask_head, heads.mask_predictor = mask_parts
    return heads


def _pyramid_masks(channels: int, masks: Masks, classes: int) -> tuple[nn.Module, nn.Module]:
    layers = MaskRCNNHeads(channels, (masks.width,) * masks.layers, 1)
    return layers, MaskRCNNPredictor(masks.width, masks.width, classes)


def _last_masks(network: Network, masks: Masks, classes: int) -> tuple[nn.Module, nn.Module]:
    channels = network.plan.head[0].input.channels * network.plan.heads
    return LastMaps(network), MaskRCNNPredictor(channels, masks.width, classes)


def _without_crowds(target: Target) -> dict[str, Tensor]:
    """The objects that are trained on; a crowd is no example of one object."""
    kept = {key: value for key, value in target.items() if key != "ignore"}
    if "ignore" not in target:
        return kept
    return {
        key: value[~target["ignore"]] if key in ("boxes", "labels", "masks") else value for key, value in kept.items()
    }


def _check_boxes(boxes: Tensor, number: int) -> None:
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1)
    if bool(flat.any()):
        box = ", ".join(f"{x:g}" for x in boxes[flat][0].tolist())
        raise DataError(f"image {number} of the batch has the box {box}; x1 < x2 and y1 < y2 are needed")
