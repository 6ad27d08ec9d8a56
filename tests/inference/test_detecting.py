"""The faster copy of a detector finds what the detector finds."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.inference.detecting import for_detection
from resatlas.inference.fused import Precision
from resatlas.inference.network import for_inference
from resatlas.nets.detector import Detector, detector
from resatlas.nets.network import build
from resatlas.recipes.detection import C4, Detect, Fpn, Frozen, Masks

PYRAMID = Detect(head=Fpn(channels=8, hidden=16, pooled=3), frozen=Frozen(stages=1))
REGIONS = Detect(head=C4(pooled=4))
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
@pytest.mark.parametrize(
    ("design", "task"),
    [
        ("resnet:depth=8,base=4", PYRAMID),
        *((design, REGIONS) for design in DESIGNS),
        (DESIGNS[-1], replace(REGIONS, masks=Masks(pooled=4, layers=1, width=4))),
    ],
)
def test_the_faster_copy_finds_the_same(design: str, task: Detect, precision: Precision) -> None:
    """In float32 boxes, scores and masks up to rounding; in bfloat16 as many objects, with nearly their scores."""
    torch.manual_seed(0)
    own = Detector(build(design, image=Shape(3, 32, 32), classes=0, seed=0), task, classes=3).eval()
    images = [torch.rand(3, 32, 32), torch.rand(3, 40, 28)]
    with torch.no_grad():
        expected = own(images)
    faster = for_detection(own, precision=precision).eval()
    for found in (faster(images), deepcopy(faster)(images)):
        for theirs, ours in zip(expected, found, strict=True):
            assert len(theirs["boxes"]) > 0
            if precision == "bf16":
                assert abs(len(ours["boxes"]) - len(theirs["boxes"])) <= 0.1 * len(theirs["boxes"])
                torch.testing.assert_close(ours["scores"][:5], theirs["scores"][:5], rtol=0.05, atol=0.05)
                continue
            for name, tolerance in {"scores": 1e-3, "boxes": 1e-2, "masks": 1e-2}.items():
                if name in theirs:
                    torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=tolerance)


def test_no_region_has_no_object() -> None:
    """Regions of C4, and their masks, have shapes also where nothing is proposed."""
    task = replace(REGIONS, masks=Masks(pooled=4, layers=1, width=4))
    own = detector("dmrnet:depth=8", task, classes=3, image=Shape(3, 32, 32), seed=0).eval()
    heads = for_detection(own).detector.roi_heads
    nothing = torch.zeros(0, own.levels[0].channels, 4, 4)
    assert heads.mask_head is not None
    assert own.roi_heads.mask_head is not None
    for ours, theirs in ((heads.box_head, own.roi_heads.box_head), (heads.mask_head, own.roi_heads.mask_head)):
        with torch.no_grad():
            assert ours(nothing).shape == theirs(nothing).shape
