"""How detectors and segmenters are trained: ours for results in minutes, and those of papers and of torchvision.

`detect-quick`, `detect-quick-fpn` and `segment-quick` are for `scenes`, from random weights; docs/log.md has what they
reach. Those of the papers start from weights of ImageNet, as with --init-from torchvision/resnet50@V1, since their
norms are frozen. What the papers train in turns, proposals and regions of two networks, is trained at once here.
"""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from resatlas.recipes.constants import FB_IMAGENET
from resatlas.recipes.detection import (
    C4,
    Detect,
    Detections,
    Fcn,
    Fpn,
    Frozen,
    Proposals,
    Regions,
    Resized,
    Segment,
)
from resatlas.recipes.images import Flip, Standardise
from resatlas.recipes.recipe import Decay, Recipe, Sgd, everywhere
from resatlas.recipes.schedule import OneCycle, Steps, WarmUp

_OURS = "ours; no paper uses it"

_DETECT_QUICK_TASK = Detect(
    head=C4(pooled=6, anchors=(Fraction(1, 8), Fraction(1, 4), Fraction(3, 8))),
    proposals=Proposals(sampled=128, before=(400, 200), after=(200, 60)),
    regions=Regions(sampled=32),
)

_DETECT_QUICK = Recipe(
    name="detect-quick",
    source=_OURS,
    data="scenes",
    images=800,
    epochs=3,
    batch=4,
    optimizer=Sgd(),
    clip=10.0,
    schedule=OneCycle(peak=0.02, rise=Fraction(1, 4)),
    decay=Decay(conv=1e-4, linear=1e-4),
    steps=(Standardise(),),
    task=_DETECT_QUICK_TASK,
)

_DETECT_QUICK_FPN = replace(
    _DETECT_QUICK,
    name="detect-quick-fpn",
    epochs=6,
    task=replace(_DETECT_QUICK_TASK, head=Fpn(channels=64, hidden=128, finest=4, pooled=6)),
)

_SEGMENT_QUICK = Recipe(
    name="segment-quick",
    source=_OURS,
    data="scenes",
    images=800,
    epochs=12,
    batch=4,
    optimizer=Sgd(),
    clip=10.0,
    schedule=OneCycle(peak=0.1, rise=Fraction(1, 4)),
    decay=Decay(conv=1e-4, linear=1e-4),
    steps=(Standardise(),),
    task=Segment(head=Fcn(), stride=4, weights=(0.1, *(1.0,) * 10)),  # nine of ten pixels are ground
)

_C4 = Detect(
    head=C4(),
    sides=Resized(shorter=600, longest=1000),
    proposals=Proposals(before=(12_000, 6000), after=(2000, 300)),
    regions=Regions(sampled=128),
    detections=Detections(nms=0.3),
    frozen=Frozen(),
)

_RESNET_COCO = Recipe(
    name="frcnn-c4",
    source="ResNet paper (arXiv:1512.03385), appendix A; Faster R-CNN (arXiv:1506.01497), section 3, and its code",
    data="coco",
    images=80_000,
    epochs=64,
    iterations=320_000,  # 240,000 at 0.001 and 80,000 at 0.0001
    batch=16,
    optimizer=Sgd(form="caffe"),
    schedule=Steps(peak=Fraction(1, 1000), drops=(Fraction(3, 4),)),
    decay=Decay(conv=5e-4, linear=5e-4),
    steps=(FB_IMAGENET, Flip()),
    task=_C4,
    reported="AP 27.2 and AP50 48.4 of resnet-101 on 40,000 validation images",
    unsettled=(
        "batch: 8 images for the proposals and 16 for the regions there, 16 for both here, which are trained at once",
        "momentum, decay, anchors, samples, suppression and the longer side: those of Faster R-CNN and its code",
        "peak: 0.001, where Faster R-CNN's paper has 0.003 on COCO",
        "stages that do not change: none; the statistics of norms are those of the weights, not computed anew",
    ),
)

_RESNET_VOC = replace(
    _RESNET_COCO,
    name="frcnn-c4-voc",
    data="voc, 2007 and 2012",
    images=16_551,
    epochs=5,
    iterations=80_000,  # 60,000 at 0.001 and 20,000 at 0.0001
    batch=1,
    task=replace(
        _C4,
        head=C4(anchors=(Fraction(128, 600), Fraction(256, 600), Fraction(512, 600))),
    ),
    reported="mean AP 76.4 of resnet-101 on the test images of VOC 2007, by 11 points",
    unsettled=(
        "length, batch and rate: those of Faster R-CNN on VOC 2007, section 3.1.3, since none is named",
        *_RESNET_COCO.unsettled[1:2],
        *_RESNET_COCO.unsettled[3:],
    ),
)

_RESNEXT_COCO = replace(
    _RESNET_COCO,
    name="resnext-coco",
    source="ResNeXt paper (arXiv:1611.05431), appendix B",
    images=115_000,
    epochs=13,
    iterations=180_000,  # 120,000 at the peak and 60,000 at a tenth of it
    batch=8,
    optimizer=Sgd(form="plain"),
    schedule=Steps(peak=Fraction(5, 1000), drops=(Fraction(2, 3),)),
    decay=everywhere(1e-4),
    task=replace(_C4, regions=Regions(sampled=64)),
    reported="AP 27.5 and AP50 49.7 of resnext-50-32x4d on 5,000 validation images",
    unsettled=(
        "rate and batch: those of the regions, 0.005 and 8; proposals have a network of their own there, 0.02 and 16",
        "norms, sides, anchors, suppression and proposals: those of frcnn-c4, which the paper follows",
    ),
)

_TORCHVISION_FPN = Recipe(
    name="torchvision-fpn",
    source="torchvision, references/detection/train.py and README.md, fasterrcnn_resnet50_fpn",
    data="coco",
    images=118_287,
    epochs=26,
    batch=16,
    optimizer=Sgd(form="plain"),
    schedule=Steps(
        peak=Fraction(2, 100),
        drops=(Fraction(16, 26), Fraction(22, 26)),
        warm_up=WarmUp(rate=Fraction(1, 100), share=Fraction(1000, 26 * 7392)),
    ),
    decay=everywhere(1e-4),
    steps=(FB_IMAGENET, Flip()),
    task=Detect(head=Fpn(finest=4), sides=Resized(shorter=800, longest=1333), frozen=Frozen(stages=1)),
    reported="AP 37.0 of resnet-50 on the 5,000 validation images of 2017",
    unsettled=(
        "warm-up: half the peak for 1,000 iterations; a line from a thousandth of it there",
        "images without objects: trained on here; left out there, where 117,266 remain",
        "batches: of any images; there of two shapes, upright and not",
    ),
)

NAMED: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _DETECT_QUICK,
        _DETECT_QUICK_FPN,
        _SEGMENT_QUICK,
        _RESNET_COCO,
        _RESNET_VOC,
        _RESNEXT_COCO,
        _TORCHVISION_FPN,
    )
}
