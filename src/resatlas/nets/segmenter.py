"""Semantic segmentation: one network with a head of torchvision that gives every pixel a class."""

from collections.abc import Sequence
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.dilation import with_stride
from resatlas.arch.levels import plan_levels
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError
from resatlas.nets import network as networks
from resatlas.nets.backbone import check_frozen, check_no_classifier, drawn_from, frozen_modules
from resatlas.nets.network import Network
from resatlas.nets.unit import Unit
from resatlas.recipes.detection import DeepLab, Fcn, Segment
from resatlas.recipes.task_check import check_pixel_classes


class Segmenter(nn.Module):
    """images -> one logit per class and pixel; or the loss of a batch, if the classes of its pixels are given.

    `network` has the paths and weights that it has as a classifier; the strides of its last stages are replaced by
    dilation, so that its last map has at most the stride of the task. `head` reads that map, after the norm and the
    relu with which the network's own head may begin, and the logits are enlarged bilinearly.

    Shape: (n, channels, h, w) -> (n, classes, h, w).
    Raises: UsageError if the network has a classifier, or the task has weights for other classes; DesignError if no
        stage has a stride that is small enough.
    Source: FCN (arXiv:1411.4038); DeepLab v3 (arXiv:1706.05587).
    """

    def __init__(self, network: Network, task: Segment, *, classes: int) -> None:
        super().__init__()
        check_no_classifier(network, "a segmenter")
        check_pixel_classes(task, classes)
        self.task = task
        self.classes = classes
        self.network = _with_plan(network, with_stride(network.plan, task.stride))
        channels = plan_levels(network.plan)[-1].channels
        match task.head:
            case Fcn():
                if channels < 4:
                    raise DesignError(f"an FCN head needs at least 4 channels; the last level has {channels}")
                self.head: nn.Module = FCNHead(channels, classes)
            case DeepLab(rates=rates):
                self.head = DeepLabHead(channels, classes, rates)
            case _:
                assert_never(task.head)
        for module in frozen_modules(self.network, task.frozen):
            module.requires_grad_(requires_grad=False)
        self.train()

    def forward(
        self, images: Float[Tensor, "n c h w"], pixels: Tensor | Sequence[Tensor] | None = None
    ) -> Float[Tensor, "n k h w"] | dict[str, Tensor]:
        """The logits, or {"loss_pixels": …} for the classes of the pixels, (n, h, w) in int64.

        The loss is the mean cross entropy over the labelled pixels of the batch, each with the weight of its class; 0
        if none is labelled.
        """
        features = self.network.features(images)
        maps = self.head(features[f"stages.{len(self.network.stages) - 1}"])
        logits = F.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=False)
        if pixels is None:
            return logits
        truth = pixels if isinstance(pixels, Tensor) else torch.stack(list(pixels))
        weights = logits.new_tensor(self.task.weights) if self.task.weights else logits.new_ones(self.classes)
        summed = F.cross_entropy(logits, truth, weights, ignore_index=self.task.unlabelled, reduction="sum")
        labelled = truth[truth != self.task.unlabelled]
        return {"loss_pixels": summed / weights[labelled].sum().clamp(min=1e-12)}

    def train(self, mode: bool = True) -> "Segmenter":
        """Training mode; frozen modules stay in evaluation mode."""
        super().train(mode)
        for module in frozen_modules(self.network, self.task.frozen):
            module.eval()
        return self


def segmenter(
    design: str | Design | Blueprint | Plan | Network,
    task: Segment | None = None,
    *,
    classes: int,
    image: Shape | None = None,
    seed: int | None = None,
) -> Segmenter:
    """A segmenter of `classes` kinds of pixels on the network of a design, or on a network, which may be trained.

    The network has the weights of `build` with this seed, and its head is drawn from a seed derived from it; without a
    seed, both from torch's generator. A given network shares its weights with the segmenter.

    Raises: as `Segmenter` and `build`; UsageError if norms of an untrained network would be frozen.
    """
    task = task or Segment()
    network = design if isinstance(design, Network) else networks.build(design, image=image, classes=0, seed=seed)
    check_frozen(network, task.frozen)
    with drawn_from(seed, "segmenter"):
        return Segmenter(network, task, classes=classes)


def _with_plan(network: Network, plan: Plan) -> Network:
    """A network of another plan that shares the weights, and trains in the same way."""
    if plan == network.plan:
        return network
    with torch.device("meta"):
        other = Network(plan)
    other.load_state_dict(network.state_dict(keep_vars=True), assign=True)
    other.preparation = network.preparation
    rates = {path: unit.drop_rate for path, unit in network.named_modules() if isinstance(unit, Unit)}
    for path, unit in other.named_modules():
        if isinstance(unit, Unit):
            unit.drop_rate = rates[path]
    other.kept = network.kept
    return other.train(network.training)
