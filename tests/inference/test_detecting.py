"""The faster copy of a detector finds what the detector finds."""

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.inference.detecting import for_detection
from resatlas.inference.fused import Precision
from resatlas.inference.network import for_inference
from resatlas.nets.detector import Detector, detector
from resatlas.nets.network import build
from resatlas.recipes.detection import C4, Detect, Fpn, Frozen

TASK = Detect(head=Fpn(channels=8, hidden=16, pooled=3), frozen=Frozen(stages=1))
DESIGNS = ("resnet:depth=8,base=4", "preact-resnet:depth=8,base=4", "pyramidnet:depth=8,alpha=6", "dmrnet:depth=8")


@pytest.mark.parametrize("design", DESIGNS)
def test_features_are_those_of_the_network(design: str) -> None:
    """After every stage, in images of another size than the plan's, also where a unit adds in place."""
    network = build(design, image=Shape(3, 32, 32), classes=0, seed=0).eval()
    for path, buffer in network.named_buffers():
        if path.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 2)
    images = torch.rand(2, 3, 40, 32)
    expected = {path: maps for path, maps in network.features(images).items() if path.startswith("stages")}
    features = for_inference(network).features(images)
    assert features.keys() == expected.keys()
    for path, maps in expected.items():
        torch.testing.assert_close(features[path], maps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_faster_copy_finds_the_same(precision: Precision) -> None:
    """In float32 boxes and scores up to rounding; in bfloat16 as many objects, with nearly their scores."""
    torch.manual_seed(0)
    own = Detector(build("resnet:depth=8,base=4", image=Shape(3, 32, 32), classes=0, seed=0), TASK, classes=3).eval()
    images = [torch.rand(3, 32, 32), torch.rand(3, 40, 28)]
    with torch.no_grad():
        expected = own(images)
    found = for_detection(own, precision=precision).eval()(images)
    for theirs, ours in zip(expected, found, strict=True):
        assert len(ours["boxes"]) == len(theirs["boxes"]) > 0
        tolerance = 1e-3 if precision == "fp32" else 0.05
        torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=tolerance, atol=tolerance)
        if precision == "fp32":
            torch.testing.assert_close(ours["boxes"], theirs["boxes"], rtol=1e-3, atol=1e-2)


def test_regions_of_c4_are_refused() -> None:
    """In one line, which says what is taken."""
    own = detector("resnet:depth=8,base=4", Detect(head=C4(pooled=4)), classes=3, image=Shape(3, 32, 32), seed=0)
    with pytest.raises(UsageError, match=r"takes a detector with a feature pyramid \(task\.head=fpn\)"):
        for_detection(own)
