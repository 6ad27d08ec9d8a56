"""The tape of a detector or segmenter: its weights are those of the module, its peak is that of torch's allocator."""

from dataclasses import replace
from fractions import Fraction
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.ops import Norm, Shape
from resatlas.arch.plan import Plan, layers
from resatlas.designs.catalog import plan
from resatlas.errors import DesignError
from resatlas.nets.detector import Detector, detector
from resatlas.nets.peak import peak, peak_without_gradients
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.nets.segmenter import Segmenter, segmenter
from resatlas.nets.tape import WIDE
from resatlas.nets.task_tape import head_norms, task_tape
from resatlas.recipes.detection import C4, DeepLab, Detect, Fcn, Fpn, Frozen, Masks, Proposals, Regions, Segment
from tests.nets.allocator import allocated

FEW = Detect(
    proposals=Proposals(sampled=64, before=(400, 200), after=(150, 60)),
    regions=Regions(sampled=32, positive=Fraction(1, 4)),
)
TASKS = {
    "c4": replace(FEW, head=C4(pooled=6, anchors=(Fraction(1, 8), Fraction(1, 4)))),
    "c4 with masks": replace(FEW, head=C4(pooled=6, anchors=(Fraction(1, 4),)), masks=Masks(width=32)),
    "fpn": replace(FEW, head=Fpn(channels=32, hidden=128)),
    "fpn with masks": replace(FEW, head=Fpn(channels=32, hidden=128), masks=Masks(width=32, layers=2)),
    "fcn": Segment(head=Fcn(), stride=4),
    "deeplab": Segment(head=DeepLab(rates=(2, 4)), stride=4),
}
DESIGNS = ("resnet:depth=14,base=16", "preact-resnet:depth=14,base=16", "dmrnet:depth=8,base=16", "resnet-18:base=16")
CLASSES, OBJECTS, IMAGES = 5, 6, 2
SIDES = (96, 64)
SCENES = SceneSizes(batch=SIDES, alone=SIDES, classes=CLASSES, objects=OBJECTS)


def whole(design: str, task: Detect | Segment) -> Detector | Segmenter:
    """The module of a task on a network."""
    image = Shape(3, *SIDES)
    if isinstance(task, Detect):
        return detector(design, task, classes=CLASSES, image=image, seed=0)
    return segmenter(design, task, classes=CLASSES, image=image, seed=0)


def network_of(design: str) -> Plan:
    """The plan of a network without classifier."""
    return plan(design, image=Shape(3, *SIDES), classes=0)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("design", DESIGNS)
def test_it_has_the_weights_of_the_module(design: str, task: str) -> None:
    """Layers that are used for several levels, or twice, count once; the norms of heads are known, too."""
    module = whole(design, TASKS[task])
    network = network_of(design)
    own = task_tape(network, TASKS[task], SCENES, images=1)
    assert own.weights == sum(weight.nbytes for weight in module.parameters())
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    inner = [layer for layer in module.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert sum(head_norms(network, TASKS[task])) == sum(n.num_features for n in norms) - sum(
        n.num_features for n in inner
    )


def scenes(*, masks: bool) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Two images with as many objects as there are at most."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, *SIDES, generator=draw)
    targets: list[dict[str, Tensor]] = []
    for _ in range(IMAGES):
        corners = torch.rand(OBJECTS, 2, generator=draw) * torch.tensor([SIDES[1] - 33.0, SIDES[0] - 33.0])
        boxes = torch.cat([corners, corners + 16 + 16 * torch.rand(OBJECTS, 2, generator=draw)], dim=1)
        target = {"boxes": boxes, "labels": torch.randint(1, CLASSES, (OBJECTS,), generator=draw)}
        if masks:
            target["masks"] = torch.ones(OBJECTS, *SIDES, dtype=torch.uint8)
        targets.append(target)
    return images, targets


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("design", DESIGNS)
def test_the_peak_of_a_training_pass_is_that_of_the_allocator(design: str, task: str) -> None:
    """From 15 % below to 25 % above: as many regions and masks are counted as a task samples at most."""
    own = TASKS[task]
    module = whole(design, own).to(memory_format=torch.channels_last).train()
    images, targets = scenes(masks=isinstance(own, Detect) and own.masks is not None)
    answers = targets if isinstance(own, Detect) else torch.randint(CLASSES, (IMAGES, *SIDES))

    def passes() -> None:
        torch.manual_seed(0)
        torch.stack(list(module(images, answers).values())).sum().backward()

    most = peak(task_tape(network_of(design), own, SCENES, images=IMAGES))
    assert 0.85 < most.total / allocated(module, passes) < 1.25


@pytest.mark.parametrize("task", TASKS)
def test_the_peak_of_a_test_is_that_of_the_allocator(task: str) -> None:
    """From 40 % below to 45 % above: as many masks are counted as a test keeps, and each has the size of an image."""
    own = TASKS[task]
    for design in DESIGNS:
        module = whole(design, own).to(memory_format=torch.channels_last).eval()
        images, _ = scenes(masks=False)
        tested = peak_without_gradients(task_tape(network_of(design), own, SCENES, images=IMAGES, tested=True))
        assert 0.6 < tested / allocated(module, torch.no_grad()(partial(module, images))) < 1.45, design


def test_frozen_parts_have_no_gradients() -> None:
    """Neither the scales of norms, nor, in a frozen stage, any weight, and such a stage stores nothing."""
    network = network_of("resnet-18:base=16")
    tapes = {
        frozen: task_tape(network, replace(TASKS["c4"], frozen=frozen), SCENES, images=2)
        for frozen in (None, Frozen(), Frozen(stages=1))
    }
    free, norms, stages = tapes.values()
    scales = sum(layer.output.channels for _, layer in layers(network) if isinstance(layer.op, Norm))
    assert free.weights - norms.weights == 2 * WIDE * scales
    module = whole("resnet-18:base=16", TASKS["c4"])
    inner = [module.network.stem, module.network.stages[0]]
    frozen = sum(w.nbytes for part in inner for m in part.modules() if isinstance(m, nn.Conv2d) for w in m.parameters())
    assert norms.weights - stages.weights == frozen
    assert not any(operation.stored for operation in stages.stem)
    assert peak(stages).maps < 0.9 * peak(norms).maps


def test_narrow_maps_need_less() -> None:
    """Regions are pooled in float32, whatever the precision."""
    sizes = [peak(task_tape(network_of(DESIGNS[0]), TASKS["c4"], SCENES, images=2, width=width)) for width in (4, 2)]
    assert 0.5 < sizes[1].maps / sizes[0].maps < 0.7


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (replace(FEW, head=Fpn(finest=64)), "no level has a stride of at least 64"),
        (TASKS["c4"], "C4 needs a network of at least 2 stages"),
        (Segment(stride=1), "dilation cannot reduce to 1"),
    ],
)
def test_a_head_that_does_not_fit(task: Detect | Segment, words: str) -> None:
    """In the words of the module itself."""
    network = network_of("resnet-18:base=4")
    if isinstance(task, Detect) and isinstance(task.head, C4):
        network = replace(network, stages=network.stages[:1])
    with pytest.raises(DesignError, match=words):
        task_tape(network, task, SCENES, images=1)
