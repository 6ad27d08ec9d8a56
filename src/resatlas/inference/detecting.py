"""A faster copy of a detector in evaluation mode: its body folded, channels-last, in float32 or bfloat16."""

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from resatlas.errors import UsageError
from resatlas.inference.fused import Precision
from resatlas.inference.network import for_inference
from resatlas.nets.detector import Detector, Found
from resatlas.recipes.detection import Fpn


class InferenceDetector(nn.Module):
    """images -> what a detector with a feature pyramid finds, without gradients.

    The body is that of `for_inference` in its precision, and the pyramid computes in the same; proposals and heads stay
    in float32, since boxes need its digits. It has copies of the weights.

    Shape: a list of (channels, h, w), or (n, channels, h, w).
    """

    def __init__(self, detector: Detector, *, precision: Precision) -> None:
        super().__init__()
        self.body = for_inference(detector.network, precision=precision)
        self.detector = deepcopy(detector).eval()
        self.detector.network = nn.Identity()  # type: ignore[assignment] - its folded copy takes its place
        self.detector.to(memory_format=torch.channels_last)
        assert self.detector.fpn is not None  # noqa: S101 - checked by for_detection
        self.detector.fpn.to(self.body.target.dtype)

    def train(self, mode: bool = True) -> "InferenceDetector":  # noqa: ARG002 - as in nn.Module
        """Nothing: it stays in evaluation mode."""
        return self

    @torch.inference_mode()
    def forward(self, images: Sequence[Tensor] | Tensor) -> list[Found]:
        """The boxes found in each image, in its own pixels."""
        own = self.detector
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        batch, _ = own.prepared(list(images), None)
        features = self.body.features(batch.tensors)
        named = OrderedDict((str(level.stage), features[f"stages.{level.stage}"]) for level in own.levels)
        assert own.fpn is not None  # noqa: S101 - checked by for_detection
        return own.found({name: maps.float() for name, maps in own.fpn(named).items()}, batch, sizes)


def for_detection(detector: Detector, *, precision: Precision = "fp32") -> InferenceDetector:
    """A faster copy of a detector for inference, with norms folded into convolutions wherever that is exact.

    In fp32 it finds what the detector finds in evaluation mode, up to rounding.
    Raises: UsageError for C4, whose last stage runs on regions; DesignError as `for_inference`.
    """
    if not isinstance(detector.task.head, Fpn):
        raise UsageError("for_detection takes a detector with a feature pyramid (task.head=fpn); this one has C4")
    return InferenceDetector(detector, precision=precision)
