"""A faster copy of a detector in evaluation mode: its network folded, channels-last, in float32 or bfloat16."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.arch.plan import Plan
from resatlas.inference.fused import Precision
from resatlas.inference.network import Inference, for_inference
from resatlas.nets.detector import TRUNK, Detector, Found
from resatlas.nets.regions import no_maps


class InferenceDetector(nn.Module):
    """images -> what a detector finds, without gradients.

    The network is that of `for_inference` in its precision, with C4 also its last stage on the regions, and a pyramid
    computes in the same; the layers of proposals, boxes and masks stay in float32, since boxes need its digits. It has
    copies of the weights.

    Shape: a list of (channels, h, w), or (n, channels, h, w).
    """

    def __init__(self, detector: Detector, *, precision: Precision) -> None:
        super().__init__()
        plan = detector.network.plan
        self.body = for_inference(detector.network, precision=precision)
        self.detector = deepcopy(detector).eval()
        self.detector.network = nn.Identity()  # type: ignore[assignment] - its folded copy takes its place
        self.detector.to(memory_format=torch.channels_last)
        if self.detector.fpn is not None:
            self.detector.fpn.to(self.body.target.dtype)
            return
        heads = self.detector.roi_heads
        heads.box_head = _LastStage(self.body, plan)
        if heads.mask_head is not None:
            heads.mask_head = _LastMaps(self.body, plan)

    def train(self, mode: bool = True) -> "InferenceDetector":  # noqa: ARG002 - as in nn.Module
        """Nothing: it stays in evaluation mode."""
        return self

    @torch.inference_mode()
    def forward(self, images: Sequence[Tensor] | Tensor) -> list[Found]:
        """The boxes found in each image, in its own pixels."""
        own = self.detector
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        batch, _ = own.prepared(list(images), None)
        return own.found(self._maps(batch.tensors), batch, sizes)

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        """The maps that proposals and regions come from, in float32."""
        own = self.detector
        if own.fpn is None:
            return {TRUNK: self.body.trunk(images).float()}
        features = self.body.features(images)
        named = OrderedDict((str(level.stage), features[f"stages.{level.stage}"]) for level in own.levels)
        return {name: maps.float() for name, maps in own.fpn(named).items()}


class _LastStage(nn.Module):
    """As `nets.regions.LastStage`, by the folded network, which is not a child: its weights have one name."""

    def __init__(self, body: Inference, plan: Plan) -> None:
        super().__init__()
        self._body = (body,)
        self._features = plan.head[-1].output.channels

    def forward(self, regions: Float[Tensor, "r c s s"]) -> Float[Tensor, "r d"]:
        """One row of features for each region."""
        [body] = self._body
        return body.last_stage(regions) if len(regions) else regions.new_zeros(0, self._features)


class _LastMaps(nn.Module):
    """As `nets.regions.LastMaps`, by the folded network."""

    def __init__(self, body: Inference, plan: Plan) -> None:
        super().__init__()
        self._body = (body,)
        self._plan = plan

    def forward(self, regions: Float[Tensor, "r c s s"]) -> Float[Tensor, "r d s2 s2"]:
        """The maps before the global pool."""
        [body] = self._body
        return body.last_maps(regions) if len(regions) else no_maps(self._plan, regions)


def for_detection(detector: Detector, *, precision: Precision = "fp32") -> InferenceDetector:
    """A faster copy of a detector for inference, with norms folded into convolutions wherever that is exact.

    In fp32 it finds what the detector finds in evaluation mode, up to rounding.
    Raises: DesignError as `for_inference`.
    """
    return InferenceDetector(detector, precision=precision)
