"""Segmenters: dilation, gradients, weights that load, losses of labelled pixels."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

import resatlas
from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.errors import DesignError, UsageError
from resatlas.nets.network import build, set_stochastic_depth
from resatlas.nets.segmenter import segmenter
from resatlas.nets.unit import Unit
from resatlas.recipes.detection import DeepLab, Fcn, Frozen, Segment
from resatlas.recipes.task_cost import multiply_adds

IMAGE = Shape(3, 24, 20)
PLANS = (
    "resnet:depth=8,base=4",
    "preact-resnet-11-bottleneck:base=4",
    "pyramidnet:depth=8,alpha=7,base=3",
    "dmrnet:depth=8,base=4",
    "dmrnet-8-identity-separate",
)


def images() -> torch.Tensor:
    """Two images."""
    return torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(1))


def pixels() -> torch.Tensor:
    """Their classes, and a corner without labels."""
    classes = torch.randint(0, 3, (2, *IMAGE[1:]), generator=torch.Generator().manual_seed(2))
    classes[:, :4, :4] = 255
    return classes


@pytest.mark.parametrize("head", [Fcn(), DeepLab(rates=(1, 2))], ids=["fcn", "deeplab"])
@pytest.mark.parametrize("design", PLANS)
def test_every_parameter_has_a_gradient(design: str, head: Fcn | DeepLab) -> None:
    """And every pixel has one logit per class, at the stride of the task."""
    net = segmenter(design, Segment(head=head, stride=2), classes=3, image=IMAGE, seed=0)
    assert [level.stride for level in resatlas.levels(net.network.plan)] == [1, 2, 2]
    named = net(images(), pixels())
    assert isinstance(named, dict)
    named["loss_pixels"].backward()
    assert [path for path, weight in net.named_parameters() if weight.grad is None] == []
    logits = net.eval()(images())
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 3, *IMAGE[1:])


def test_dilation_keeps_how_a_network_trains() -> None:
    """Stochastic depth and the maps that are kept for the backward pass."""
    network = build("resnet:depth=8,base=4", image=IMAGE, classes=0, seed=0)
    set_stochastic_depth(network, Fraction(1, 2))
    network.kept = "units"
    own = segmenter(network, Segment(stride=2), classes=3).network
    assert own.plan != network.plan
    assert own.kept == network.kept
    rates = [[unit.drop_rate for unit in net.modules() if isinstance(unit, Unit)] for net in (network, own)]
    assert rates[0] == rates[1] == [1 / 6, 1 / 3, 1 / 2]
    assert multiply_adds(network.plan, Segment(stride=2)) == cost(own).multiply_adds > cost(network).multiply_adds


def test_the_loss_is_that_of_labelled_pixels() -> None:
    """It is torch's weighted cross entropy without the unlabelled ones, and 0 where none is labelled."""
    net = segmenter("resnet:depth=8,base=4", Segment(weights=(0.1, 1, 2)), classes=3, image=IMAGE, seed=0).eval()
    logits, lost = net(images()), net(images(), list(pixels()))
    assert isinstance(logits, torch.Tensor)
    assert isinstance(lost, dict)
    expected = F.cross_entropy(logits, pixels(), torch.tensor([0.1, 1, 2]), ignore_index=255)
    torch.testing.assert_close(lost["loss_pixels"], expected)
    nothing = net(images(), torch.full_like(pixels(), 255))
    assert isinstance(nothing, dict)
    assert nothing["loss_pixels"] == 0


def test_a_trained_network_is_dilated_with_its_weights() -> None:
    """Every second pixel of the last map is that of the network, and both share their weights."""
    network = build("pyramidnet:depth=8,alpha=7,base=3", image=IMAGE, classes=0, seed=0)
    network(images())
    net = segmenter(network, Segment(stride=2), classes=3)
    assert net.network.plan != network.plan
    own = {id(weight) for weight in network.parameters()}
    assert {id(weight) for weight in net.network.parameters()} == own
    strided, dense = (each.eval().features(images())["stages.2"] for each in (network, net.network))
    torch.testing.assert_close(dense[:, :, ::2, ::2], strided)


def test_saved_weights_load() -> None:
    """A segmenter with another seed gives the same logits with them."""
    first, second = (segmenter("resnet:depth=8,base=4", classes=3, image=IMAGE, seed=s).eval() for s in (0, 1))
    assert not _logits(first).equal(_logits(second))
    second.load_state_dict(first.state_dict())
    assert _logits(first).equal(_logits(second))


def _logits(net: torch.nn.Module) -> torch.Tensor:
    return net(images())


@pytest.mark.parametrize(
    ("design", "task", "classes", "said"),
    [
        ("resnet-18", Segment(stride=2), 3, "already has a stride of 4, which dilation cannot reduce to 2"),
        ("resnet-20", Segment(), 1, "at least 2 classes"),
        ("resnet-20", Segment(weights=(1, 1)), 3, "got 3 classes and 2 weights"),
        ("resnet-20", Segment(frozen=Frozen()), 3, "frozen norms need trained weights"),
    ],
)
def test_what_does_not_fit(design: str, task: Segment, classes: int, said: str) -> None:
    """The error says what is needed and what was given."""
    with pytest.raises((UsageError, DesignError), match=said):
        segmenter(design, task, classes=classes)
