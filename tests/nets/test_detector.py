"""Detectors on every family of networks: gradients, masks, torchvision's results, saved weights, frozen norms."""

from copy import deepcopy
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

import resatlas
from resatlas.arch.ops import Shape
from resatlas.errors import DataError, DesignError, UsageError
from resatlas.nets.detector import Detector, detector
from resatlas.nets.network import Network, build
from resatlas.recipes.detection import C4, Detect, Fpn, Frozen, Given, Masks, Proposals, Regions, Resized
from resatlas.recipes.task_cost import multiply_adds

IMAGE = Shape(3, 32, 32)
PLANS = (
    "resnet:depth=8,base=4",
    "resnet:depth=11,base=4,unit=bottleneck",
    "resnet:depth=18,setting=imagenet,base=4",
    "plain:depth=8,base=4",
    "preact-resnet-8:base=4",
    "preact-resnet-11-bottleneck:base=4",
    "wrn-10-1:base=4",
    "resnext:depth=11,cardinality=2,base=16",
    "pyramidnet:depth=8,alpha=7,base=3",
    "dmrnet:depth=8,base=4",
    "dmrnet:depth=8,base=4,streams=3,join=concat",
    "dmrnet-50-ijcai:base=4",
)
HEADS = {"fpn": Fpn(channels=8, hidden=16), "c4": C4(pooled=4)}
FEW = {
    "proposals": Proposals(before=(60, 30), after=(20, 10), sampled=32),
    "regions": Regions(sampled=16, positive=Fraction(1, 2)),
}


def small(design: str, head: str, *, masks: Masks | None = None, frozen: Frozen | None = None) -> Detector:
    """A detector of 2 classes for small images."""
    task = Detect(head=HEADS[head], masks=masks, frozen=frozen, **FEW)
    return detector(design, task, classes=2, image=IMAGE, seed=0)


def scenes(*, masks: bool = False) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Two images: one with two objects, of which one is a crowd, and one with none."""
    images = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[2.0, 3, 14, 17], [10, 8, 30, 31]])
    first = {"boxes": boxes, "labels": torch.tensor([1, 2]), "ignore": torch.tensor([False, True])}
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    if masks:
        first["masks"] = torch.zeros(2, *IMAGE[1:], dtype=torch.uint8)
        first["masks"][0, 5:15, 4:12] = 1
        empty["masks"] = torch.zeros(0, *IMAGE[1:], dtype=torch.uint8)
    return images, [first, empty]


def losses(net: Detector, *, masks: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """The losses of the scenes."""
    torch.manual_seed(seed)
    outcome = net(*scenes(masks=masks))
    assert isinstance(outcome, dict)
    return outcome


@pytest.mark.parametrize(("design", "head"), [*((design, "c4") for design in PLANS), (PLANS[0], "fpn")])
def test_multiply_adds_are_those_of_the_convolutions_that_run(design: str, head: str) -> None:
    """Counted one by one: the last stage of C4 on every region."""
    net = small(design, head).eval()
    counts: list[int] = []

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        counts.append(layer.weight[0].numel() * output[0].numel() * len(output))

    for layer in net.network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    regions: list[int] = []

    def see(_pool: nn.Module, _: object, maps: Tensor) -> None:
        regions.append(len(maps))

    net.roi_heads.box_roi_pool.register_forward_hook(see)
    net(scenes()[0][:1])
    few = replace(net.task, proposals=replace(net.task.proposals, after=(1, *regions)))
    assert regions[0] > 1
    assert multiply_adds(net.network.plan, few) == sum(counts)


def test_masks_change_no_running_statistics() -> None:
    """C4 runs its last stage once more, on objects alone; a box is found by the statistics of all regions."""
    alone, both = small(PLANS[0], "c4"), small(PLANS[0], "c4", masks=Masks(width=8))
    for net in (alone, both):
        losses(net, masks=net is both)
    buffers = dict(both.network.named_buffers())
    assert [path for path, own in alone.network.named_buffers() if not own.equal(buffers[path])] == []
    assert {int(count) for path, count in buffers.items() if path.endswith("num_batches_tracked")} == {1}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("design", PLANS)
def test_every_parameter_has_a_gradient(design: str, head: str) -> None:
    """From the sum of the losses of two images, of which one has no objects; then the network detects."""
    net = small(design, head)
    named = losses(net)
    assert set(named) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    torch.stack(list(named.values())).sum().backward()
    without = [
        path for path, weight in net.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()
    ]
    assert without == []
    for found in net.eval()(scenes()[0]):
        assert set(found) == {"boxes", "labels", "scores"}
        assert len(found["boxes"]) <= 100


@pytest.mark.parametrize("head", HEADS)
def test_masks(head: str) -> None:
    """Their loss reaches their layers, and each box found has a mask of the size of its image."""
    net = small("preact-resnet-8:base=4", head, masks=Masks(pooled=6, layers=1, width=8))
    named = losses(net, masks=True)
    assert named["loss_mask"] > 0
    named["loss_mask"].backward()
    assert all(weight.grad is not None for path, weight in net.named_parameters() if "mask" in path)
    net.roi_heads.score_thresh = 0.0
    found = net.eval()(scenes()[0])[0]
    assert len(found["boxes"]) > 0
    assert found["masks"].shape == (len(found["boxes"]), 1, 32, 32)


@pytest.mark.parametrize("head", HEADS)
def test_images_without_objects_train(head: str) -> None:
    """A batch of only such images has finite losses and gradients, with masks, too, and leaves statistics finite."""
    net = small("resnet:depth=8,base=4", head, masks=Masks(pooled=6, layers=1, width=8))
    images, (_, empty) = scenes(masks=True)
    total = torch.stack(list(net(images, [empty, empty]).values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def test_a_crowd_is_no_example() -> None:
    """The losses are those of the same image without it."""
    net = small("resnet:depth=8,base=4", "fpn")
    images, [first, empty] = scenes()
    alone = {"boxes": first["boxes"][:1], "labels": first["labels"][:1]}
    torch.manual_seed(0)
    expected = net(images, [alone, empty])
    assert all(loss.equal(expected[name]) for name, loss in losses(net).items())


@pytest.mark.parametrize(
    "design", ["resnet:depth=8,base=4", "dmrnet-8-k3-swap-sum", "preact-resnet-8", "dmrnet-8-identity-separate"]
)
def test_the_parts_of_c4_are_the_network(design: str) -> None:
    """The last stage on the whole map of the trunk gives the features of the network, bit for bit."""
    net = small(design, "c4").eval()
    images, _ = scenes()
    [maps] = net.maps(images).values()
    assert net.roi_heads.box_head(maps).equal(net.network(images))


@pytest.mark.parametrize("head", HEADS)
def test_weights_of_a_classifier_load(head: str) -> None:
    """The network of a detector has the paths of the classifier, which has only its last layer beside them."""
    classifier = build("resnet:depth=8,base=4", image=IMAGE, classes=7, seed=5)
    net = small("resnet:depth=8,base=4", head)
    missing, unexpected = net.network.load_state_dict(classifier.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["head.linear.weight", "head.linear.bias"])
    assert all(key.split(".")[0] in ("network", "fpn", "rpn", "roi_heads") for key in net.state_dict())
    storages = [tensor.data_ptr() for key, tensor in net.state_dict().items() if tensor.numel() > 1]
    assert len(storages) == len(set(storages))  # no weight has two names


@pytest.mark.parametrize("head", HEADS)
def test_saved_weights_load(head: str) -> None:
    """A detector with another seed finds the same with them, and so does a copy, with weights of its own."""
    net = small("dmrnet:depth=8,base=4", head)
    other = detector("dmrnet:depth=8,base=4", net.task, classes=2, image=IMAGE, seed=1)
    other.load_state_dict(net.state_dict())
    copy = deepcopy(net)
    for twin in (other, copy):
        for name, loss in losses(twin).items():
            assert loss.equal(losses(deepcopy(net))[name])
    with torch.no_grad():
        for weight in copy.network.parameters():
            weight.zero_()
    assert any(not losses(copy)[name].equal(loss) for name, loss in losses(deepcopy(net)).items())


def test_a_seed_determines_the_heads() -> None:
    """All weights, independently of torch's generator, which does not change."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (small("resnet:depth=8,base=4", "fpn").state_dict() for _ in range(2))
    assert torch.get_rng_state().equal(before)
    assert all(tensor.equal(second[path]) for path, tensor in first.items())
    network = build("resnet:depth=8,base=4", image=IMAGE, classes=0, seed=0).state_dict()
    assert all(tensor.equal(first[f"network.{path}"]) for path, tensor in network.items())


def test_frozen_norms_keep_their_eps_and_statistics() -> None:
    """Frozen modules stay in evaluation mode without gradients; the norms are the network's own."""
    network = trained("pyramidnet:depth=8,alpha=7,base=3")
    net = detector(network, Detect(head=HEADS["fpn"], frozen=Frozen(stages=1), **FEW), classes=2, seed=0)
    before = {path: tensor.clone() for path, tensor in net.network.named_buffers()}
    torch.stack(list(losses(net).values())).sum().backward()
    assert all(tensor.equal(before[path]) for path, tensor in net.network.named_buffers())
    for path, weight in net.network.named_parameters():
        fixed = "norm" in path or path.startswith(("stem.", "stages.0."))
        assert (weight.grad is None) == fixed, path
    assert not any(module.training for module in net.network.modules() if isinstance(module, nn.BatchNorm2d))
    assert all(type(m) is nn.BatchNorm2d for m in net.network.modules() if "norm" in type(m).__name__.lower())
    assert net.rpn.training


def test_norms_of_a_new_network_cannot_be_frozen() -> None:
    """They would do nothing, and never learn to."""
    with pytest.raises(UsageError, match="frozen norms need trained weights, and this network is new"):
        small("resnet:depth=8,base=4", "fpn", frozen=Frozen())
    with pytest.raises(UsageError, match="at most 3, the stages of this network; got 4"):
        small("resnet:depth=8,base=4", "fpn", frozen=Frozen(stages=4))


def trained(design: str) -> Network:
    """A network whose norms have statistics of one batch."""
    network = build(design, image=IMAGE, classes=0, seed=0).train()
    with torch.no_grad():
        network(scenes()[0])
    return network


def test_anchors_come_from_the_image_and_the_plan() -> None:
    """At a shorter side of 800 those of a pyramid are torchvision's; in smaller images they are smaller."""
    plan = resatlas.plan("resnet:depth=18,setting=imagenet,base=4", image=Shape(3, 800, 1333), classes=0)
    usual = detector(plan, Detect(head=Fpn(channels=8)), classes=2)
    assert usual.rpn.anchor_generator.sizes == ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
    assert usual.roi_heads.box_roi_pool.usual == pytest.approx(224)
    assert usual.roi_heads.box_roi_pool.strides == {"0": 4, "1": 8, "2": 16, "3": 32}
    resized = detector("resnet-20", Detect(head=C4(), sides=Resized(shorter=600)), classes=2)
    assert resized.rpn.anchor_generator.sizes == ((64.0, 128.0, 256.0, 512.0),)
    small = detector("resnet-20", Detect(head=Fpn(channels=8)), classes=2, image=Shape(3, 100, 150))
    assert small.strides == {"1": 2, "2": 4}
    assert small.rpn.anchor_generator.sizes == ((16.0,), (32.0,), (64.0,))


def test_boxes_are_in_the_pixels_of_their_image() -> None:
    """Images of different sizes, resized or not, have boxes inside them."""
    for sides in (Given(), Resized(shorter=24, longest=64)):
        task = replace(Detect(head=HEADS["fpn"], **FEW), sides=sides)
        net = detector("resnet:depth=8,base=4", task, classes=2, seed=0).eval()
        net.roi_heads.score_thresh = 0.0
        images = [torch.randn(3, 20, 33), torch.randn(3, 41, 28)]
        for image, found in zip(images, net(images), strict=True):
            assert len(found["boxes"]) > 0
            assert found["boxes"].min() >= 0
            assert found["boxes"][:, 2].max() <= image.shape[2] + 1e-3
            assert found["boxes"][:, 3].max() <= image.shape[1] + 1e-3
            assert found["scores"].diff().max() <= 0


def test_a_regions_level_is_that_of_its_size() -> None:
    """The level mapping of torchvision, for strides that double."""
    from torchvision.ops.poolers import initLevelMapper

    pool = small("resnet:depth=18,setting=imagenet,base=4", "fpn").roi_heads.box_roi_pool
    sides = torch.linspace(0.5, 40, 60)
    boxes = torch.stack([torch.zeros(60), torch.zeros(60), sides, sides], dim=1)
    mapper = initLevelMapper(2, 5, canonical_scale=pool.usual, canonical_level=4)
    assert pool.levels(boxes).tolist() == mapper([boxes]).tolist()
    assert len(set(pool.levels(boxes).tolist())) == 4


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Detect(head=Fpn(finest=64)), "no level has a stride of at least 64; this network has 1, 2, 4"),
        (Detect(head=Fpn(), frozen=Frozen()), "frozen norms need trained weights"),
    ],
)
def test_a_head_that_does_not_fit(task: Detect, said: str) -> None:
    """The error says what there is."""
    with pytest.raises((DesignError, UsageError), match=said):
        detector("resnet:depth=8,base=4", task, classes=2)


def test_a_network_with_a_classifier_is_refused() -> None:
    """Its weights would never be trained; the error says what to do."""
    with pytest.raises(
        UsageError, match=r"this one has 10 classes; build it with classes=0, or call .*reset_classifier"
    ):
        detector(build("resnet:depth=8,base=4"), classes=2)


def test_training_needs_targets_with_boxes() -> None:
    """Missing targets and a box without width are refused."""
    net = small("resnet:depth=8,base=4", "fpn")
    images, (first, empty) = scenes()
    with pytest.raises(UsageError, match="needs a target for each image"):
        net(images)
    flat = {**empty, "boxes": torch.tensor([[3.0, 4, 3, 9]]), "labels": torch.tensor([1])}
    with pytest.raises(DataError, match="image 1 of the batch has the box 3, 4, 3, 9; x1 < x2 and y1 < y2 are needed"):
        net(images, [first, flat])
