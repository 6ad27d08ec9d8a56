"""Our networks against a second forward pass, written from the papers alone, and against torchvision."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from resatlas.arch.ops import Shape
from resatlas.designs import catalog
from resatlas.nets.network import Network, build
from tests.oracles import straight_line

Oracle = Callable[..., Tensor]

SMALL = Shape(3, 64, 64)

CASES: list[tuple[str, Oracle, Shape | None, dict[str, Any]]] = [
    ("resnet-20", straight_line.resnet_cifar, None, {"depth": 20, "unit": "basic", "shortcut": "A"}),
    ("resnet-20-B", straight_line.resnet_cifar, None, {"depth": 20, "unit": "basic", "shortcut": "B"}),
    ("resnet-14-C", straight_line.resnet_cifar, None, {"depth": 14, "unit": "basic", "shortcut": "C"}),
    ("plain-20", straight_line.resnet_cifar, None, {"depth": 20, "unit": "basic", "shortcut": "plain"}),
    ("resnet-29-bottleneck", straight_line.resnet_cifar, None, {"depth": 29, "unit": "bottleneck", "shortcut": "B"}),
    (
        "resnet:depth=18,setting=imagenet,shortcut=C,base=16",
        straight_line.resnet_imagenet,
        SMALL,
        {"blocks": (2, 2, 2, 2), "unit": "basic", "shortcut": "C", "stride_place": "3x3"},
    ),
    (
        "resnet:depth=50,setting=imagenet,base=16",
        straight_line.resnet_imagenet,
        SMALL,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "shortcut": "B", "stride_place": "first"},
    ),
    (
        "wide-resnet:depth=50,setting=imagenet,widen=2,base=16",
        straight_line.resnet_imagenet,
        SMALL,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "shortcut": "B", "stride_place": "3x3"},
    ),
    ("preact-resnet-20", straight_line.preact_cifar, None, {"depth": 20, "unit": "basic", "shortcut": "A"}),
    ("preact-resnet-20-B", straight_line.preact_cifar, None, {"depth": 20, "unit": "basic", "shortcut": "B"}),
    (
        "preact-resnet-29-bottleneck",
        straight_line.preact_cifar,
        None,
        {"depth": 29, "unit": "bottleneck", "shortcut": "B"},
    ),
    (
        "preact-resnet:depth=18,setting=imagenet,base=16",
        straight_line.preact_imagenet,
        SMALL,
        {"blocks": (2, 2, 2, 2), "unit": "basic"},
    ),
    (
        "preact-resnet:depth=50,setting=imagenet,base=16",
        straight_line.preact_imagenet,
        SMALL,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck"},
    ),
    ("wrn-16-2", straight_line.wide_resnet, None, {"depth": 16}),
    ("wrn-16-1", straight_line.wide_resnet, None, {"depth": 16}),
    ("wrn-22-2-B313", straight_line.wide_resnet, None, {"depth": 22, "kernels": (3, 1, 3)}),
    ("wrn-16-2-B131", straight_line.wide_resnet, None, {"depth": 16, "kernels": (1, 3, 1)}),
    ("wrn-40-2-l1", straight_line.wide_resnet, None, {"depth": 40, "kernels": (3,)}),
    ("resnext-29-8x14d", straight_line.resnext, None, {"blocks": (3, 3, 3), "groups": 8, "stem": "cifar"}),
    (
        "resnext:depth=50,setting=imagenet,cardinality=8,width=16,base=16",
        straight_line.resnext,
        SMALL,
        {"blocks": (3, 4, 6, 3), "groups": 8, "stem": "imagenet"},
    ),
    ("pyramidnet-20-a30", straight_line.pyramidnet, None, {"blocks": (3, 3, 3), "unit": "basic", "stem": "cifar"}),
    ("pyramidnet-20-m4", straight_line.pyramidnet, None, {"blocks": (3, 3, 3), "unit": "basic", "stem": "cifar"}),
    (
        "pyramidnet-29-bottleneck-a30",
        straight_line.pyramidnet,
        None,
        {"blocks": (3, 3, 3), "unit": "bottleneck", "stem": "cifar"},
    ),
    *(
        (
            f"dmrnet:depth=14,streams={streams},join={join}",
            straight_line.dmrnet,
            None,
            {"blocks": (2, 2, 2), "streams": streams, "join": join, "unit": "basic"},
        )
        for streams in (2, 3)
        for join in ("merge", "sum", "concat")
    ),
    (
        "dmrnet:depth=44,version=v2,base=16",
        straight_line.dmrnet_imagenet,
        SMALL,
        {"blocks": (2, 2, 8, 2), "version": "v2"},
    ),
    (
        "dmrnet:depth=50,version=ijcai,base=16",
        straight_line.dmrnet_imagenet,
        SMALL,
        {"blocks": (1, 2, 11, 2), "version": "ijcai"},
    ),
    ("dilnet-14", straight_line.dilnet, None, {"blocks": (2, 2, 2)}),
]


@pytest.mark.parametrize(("name", "oracle", "image", "knobs"), CASES, ids=[case[0] for case in CASES])
def test_outputs_and_gradients_equal_a_straight_line_pass(
    name: str, oracle: Oracle, image: Shape | None, knobs: dict[str, Any]
) -> None:
    """In training mode, float64, the same weights give the same logits and the same gradient of every weight."""
    network = _doubled(name, image)
    images = _images(network)
    ours = network(images)
    cotangent = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(2))
    gradients = dict(
        zip(
            dict(network.named_parameters()),
            torch.autograd.grad(ours, list(network.parameters()), cotangent),
            strict=True,
        )
    )
    weights = {path: tensor.detach().clone() for path, tensor in network.state_dict().items()}
    leaves = {path: weights[path].requires_grad_() for path in gradients}
    theirs = oracle({**weights, **leaves}, images, mode="train", **knobs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    expected = dict(zip(leaves, torch.autograd.grad(theirs, list(leaves.values()), cotangent), strict=True))
    for path, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[path], rtol=1e-7, atol=1e-9, msg=lambda text, at=path: f"{at}: {text}"
        )


@pytest.mark.parametrize("name", ["resnet-18-B", "resnet-50-v1.5", "resnext-50-32x4d", "wrn-50-2"])
def test_outputs_equal_torchvision(name: str) -> None:
    """With torchvision's weights under our paths, the same logits in evaluation mode and in training mode."""
    import torchvision.models as peers

    makers = {
        "resnet-18-B": peers.resnet18,
        "resnet-50-v1.5": peers.resnet50,
        "resnext-50-32x4d": peers.resnext50_32x4d,
        "wrn-50-2": peers.wide_resnet50_2,
    }
    network = _doubled(name, SMALL)
    with torch.device("meta"):
        peer = makers[name]()
    weights = network.state_dict()
    borrowed = {key: weights[_our_path(key)] for key in peer.state_dict()}
    assert len(borrowed) == len(weights)
    images = _images(network)
    for training in (True, False):
        network.train(training)
        peer.train(training)
        with torch.no_grad():
            torch.testing.assert_close(network(images), functional_call(peer, borrowed, images), rtol=1e-12, atol=1e-12)


def _our_path(key: str) -> str:
    """The key of torchvision as our path: layer2.0.downsample.0.weight -> stages.1.0.shortcut.conv.weight."""
    head, _, rest = key.partition(".")
    if head in ("conv1", "bn1"):
        return f"stem.{'conv' if head == 'conv1' else 'norm'}.{rest}"
    if head == "fc":
        return f"head.linear.{rest}"
    unit, name, rest = rest.split(".", 2)
    stage = int(head.removeprefix("layer")) - 1
    if name == "downsample":
        number, _, leaf = rest.partition(".")
        return f"stages.{stage}.{unit}.shortcut.{'conv' if number == '0' else 'norm'}.{leaf}"
    return f"stages.{stage}.{unit}.body.{name.replace('bn', 'norm')}.{rest}"


def _doubled(name: str, image: Shape | None) -> Network:
    plan = catalog.plan(name, image=image, classes=10 if image is None else 1000)
    return build(plan, seed=1).double()


def _images(network: Network) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, *network.plan.image, dtype=torch.float64, generator=generator)
