"""Our detectors against torchvision's, with the same weights."""

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import MultiScaleRoIAlign

from resatlas.arch.ops import Shape
from resatlas.nets.detector import detector
from resatlas.nets.network import build
from resatlas.recipes.detection import Detect, Detections, Fpn, Resized
from resatlas.weights.conversion import load_weights

SIDE = 100


def test_a_pyramid_on_resnet_50_finds_what_torchvisions_finds() -> None:
    """Boxes, labels, scores and losses of the architecture of fasterrcnn_resnet50_fpn agree to 1e-4."""
    torch.manual_seed(0)
    backbone = ResNet(Bottleneck, [3, 4, 6, 3], num_classes=5)
    network = build("resnet-50-v1.5", image=Shape(3, SIDE, SIDE), classes=5)
    for path, buffer in backbone.named_buffers():
        if path.endswith("running_mean"):
            nn.init.normal_(buffer, std=0.1)
        elif path.endswith("running_var"):
            nn.init.uniform_(buffer, 1, 2)
    load_weights(network, backbone.state_dict(), source="torchvision")
    network.reset_classifier(0)
    names = {f"layer{k}": str(k - 1) for k in range(1, 5)}
    theirs = FasterRCNN(
        BackboneWithFPN(backbone, names, [256, 512, 1024, 2048], 16),
        num_classes=4,
        min_size=SIDE,
        max_size=2 * SIDE,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(
            tuple((side * SIDE / 800,) for side in (32, 64, 128, 256, 512)), ((0.5, 1.0, 2.0),) * 5
        ),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=224 * SIDE // 800),
        box_score_thresh=0.0,
    )
    task = Detect(
        head=Fpn(channels=16),
        sides=Resized(shorter=SIDE, longest=2 * SIDE),
        detections=Detections(score=0.0),
    )
    ours = detector(network, task, classes=3)
    assert ours.fpn is not None
    ours.fpn.load_state_dict(theirs.get_submodule("backbone.fpn").state_dict())
    ours.rpn.load_state_dict(theirs.rpn.state_dict())
    ours.roi_heads.load_state_dict(theirs.roi_heads.state_dict())
    images = [torch.randn(3, 70, 100)]
    with torch.no_grad():
        [found], [expected] = ours.eval()(images), theirs.eval()(images)
    assert isinstance(found, dict)
    assert len(expected["boxes"]) == 100
    for key in ("boxes", "labels", "scores"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-4)
    targets = [{"boxes": torch.tensor([[10.0, 8, 60, 50], [30, 30, 95, 69]]), "labels": torch.tensor([1, 3])}]
    for module in (*ours.modules(), *theirs.modules()):
        module.training = not isinstance(module, nn.BatchNorm2d)
    torch.manual_seed(3)
    ours_lost = ours(images, targets)
    torch.manual_seed(3)
    theirs_lost = theirs(images, targets)
    assert isinstance(ours_lost, dict)
    assert ours_lost.keys() == theirs_lost.keys()
    for name, loss in ours_lost.items():
        torch.testing.assert_close(loss, theirs_lost[name], rtol=1e-4, atol=1e-4)
