"""Our networks against a second forward pass, written from the papers alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from resatlas.arch.ops import Shape
from resatlas.arch.streams import SKIPS
from resatlas.designs import catalog
from resatlas.nets.network import Network, build
from tests.oracles import straight_line

Oracle = Callable[..., Tensor]

CIFAR = Shape(3, 16, 16)
IMAGENET = Shape(3, 64, 64)

Case = tuple[str, Oracle, Shape | None, dict[str, Any]]
"""A design, its second forward pass, images smaller than the usual ones, and the knobs of that pass."""

RESNETS: list[Case] = [
    *(
        (
            f"resnet:depth=14,base=4,shortcut={option}",
            straight_line.resnet_cifar,
            CIFAR,
            {"depth": 14, "shortcut": option},
        )
        for option in ("A", "A-sides", "B", "C")
    ),
    ("resnet-20", straight_line.resnet_cifar, None, {"depth": 20, "shortcut": "A"}),
    ("plain-20:base=4", straight_line.resnet_cifar, CIFAR, {"depth": 20, "shortcut": "plain"}),
    *(
        (
            f"resnet:depth=20,unit=bottleneck,base=4,shortcut={option}",
            straight_line.resnet_cifar,
            CIFAR,
            {"depth": 20, "unit": "bottleneck", "shortcut": option},
        )
        for option in ("A", "B", "C")
    ),
    (
        "plain:depth=20,unit=bottleneck,base=4",
        straight_line.resnet_cifar,
        CIFAR,
        {"depth": 20, "unit": "bottleneck", "shortcut": "plain"},
    ),
    (
        "resnet:depth=18,setting=imagenet,shortcut=C,base=16",
        straight_line.resnet_imagenet,
        IMAGENET,
        {"blocks": (2, 2, 2, 2), "unit": "basic", "shortcut": "C", "stride_place": "3x3"},
    ),
    (
        "resnet:depth=50,setting=imagenet,base=16",
        straight_line.resnet_imagenet,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "shortcut": "B", "stride_place": "first"},
    ),
]

ORDERS = {
    "bn-after-add": "BN after add",
    "relu-before-add": "ReLU before add",
    "relu-only-preact": "ReLU-only pre-activation",
}

CHANGES: dict[str, straight_line.Sum] = {
    "scale-0.5-0.5": straight_line.scaled(0.5, 0.5),
    "scale-0.5-1": straight_line.scaled(0.5, 1),
    "exclusive-gate-b-1": straight_line.exclusive_gate,
    "shortcut-gate-b0": straight_line.shortcut_only_gate,
    "dropout-0.5": straight_line.dropped_shortcut(0.5),
}

ABLATIONS: list[Case] = [
    *(
        (
            f"resnet:depth=20,unit={unit},shortcut={option},base=4,order={ours}",
            straight_line.resnet_cifar,
            CIFAR,
            {"depth": 20, "unit": unit, "shortcut": option, "order": theirs},
        )
        for ours, theirs in ORDERS.items()
        for unit, option in (("basic", "A"), ("bottleneck", "B"))
    ),
    *(
        (
            f"resnet:depth=14,base=4,shortcut={option},modified={word}",
            straight_line.resnet_cifar,
            CIFAR,
            {"depth": 14, "shortcut": option, "add": add},
        )
        for word, add in CHANGES.items()
        for option in ("A", "B")
    ),
    (
        "resnet:depth=14,base=4,order=relu-only-preact,modified=exclusive-gate-b-1",
        straight_line.resnet_cifar,
        CIFAR,
        {
            "depth": 14,
            "shortcut": "A",
            "order": "ReLU-only pre-activation",
            "add": straight_line.exclusive_gate,
        },
    ),
    (
        "resnet:depth=14,unit=single,base=4",
        straight_line.resnet_cifar,
        CIFAR,
        {"depth": 14, "unit": "single", "shortcut": "A"},
    ),
]

PRE_ORDERS = {"pre-activation": "a", "no-first-relu": "b", "last-norm": "c", "pyramidal": "d"}

PREACTIVATED: list[Case] = [
    *(
        (
            f"preact-resnet:depth=20,unit={unit},shortcut={option},base=4,wiring={wiring}",
            straight_line.preact_cifar,
            CIFAR,
            {"depth": 20, "unit": unit, "shortcut": option, "wiring": wiring},
        )
        for wiring in ("paper", "fb", "projected")
        for unit, option in (("basic", "A"), ("basic", "B"), ("bottleneck", "B"))
    ),
    *(
        (
            f"preact-resnet:depth=20,unit={unit},base=4,order={ours}",
            straight_line.preact_cifar,
            CIFAR,
            {"depth": 20, "unit": unit, "shortcut": "A" if unit == "basic" else "B", "order": theirs},
        )
        for ours, theirs in PRE_ORDERS.items()
        for unit in ("basic", "bottleneck")
    ),
    (
        "preact-resnet:depth=14,unit=single,base=4",
        straight_line.preact_cifar,
        CIFAR,
        {"depth": 14, "unit": "single", "shortcut": "A"},
    ),
    *(
        (
            f"preact-resnet:depth={depth},setting=imagenet,base=16,wiring={wiring}",
            straight_line.preact_imagenet,
            IMAGENET,
            {"blocks": blocks, "unit": unit, "wiring": wiring},
        )
        for wiring in ("fb", "projected")
        for depth, blocks, unit in ((18, (2, 2, 2, 2), "basic"), (50, (3, 4, 6, 3), "bottleneck"))
    ),
]

WIDE: list[Case] = [
    ("wrn-16-1:base=4", straight_line.wide_resnet, CIFAR, {"depth": 16}),
    *(
        (
            f"wrn-16-2:base=4,kernels={kernels}",
            straight_line.wide_resnet,
            CIFAR,
            {"depth": 16, "kernels": tuple(map(int, kernels))},
        )
        for kernels in ("33", "313", "131", "13", "31", "311")
    ),
    *(
        (
            f"wrn-40-2:base=4,deepening={convs}",
            straight_line.wide_resnet,
            CIFAR,
            {"depth": 40, "kernels": (3,) * convs},
        )
        for convs in (1, 3, 4)
    ),
    ("wrn-16-2:base=4,dropout=0.3", straight_line.wide_resnet, CIFAR, {"depth": 16, "dropout": 0.3}),
    (
        "wrn-40-2:base=4,deepening=4,dropout=0.3",
        straight_line.wide_resnet,
        CIFAR,
        {"depth": 40, "kernels": (3,) * 4, "dropout": 0.3},
    ),
    (
        "wide-resnet:depth=18,setting=imagenet,widen=3/2,base=16",
        straight_line.resnet_imagenet,
        IMAGENET,
        {"blocks": (2, 2, 2, 2), "unit": "basic", "shortcut": "B", "stride_place": "first"},
    ),
    (
        "wide-resnet:depth=50,setting=imagenet,widen=2,base=16",
        straight_line.resnet_imagenet,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "shortcut": "B", "stride_place": "3x3"},
    ),
]

RESNEXTS: list[Case] = [
    *(
        (
            f"resnext:depth=20,cardinality=4,width=16,base=8,form={form},shortcut={option}",
            straight_line.resnext,
            CIFAR,
            {
                "blocks": (2, 2, 2),
                "groups": 4,
                "stem": "cifar",
                "form": form,
                "shortcut": "plain" if option == "absent" else option,
            },
        )
        for form in ("a", "b", "c")
        for option in ("B", "absent")
    ),
    (
        "resnext:depth=50,setting=imagenet,cardinality=8,width=16,base=16",
        straight_line.resnext,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "groups": 8, "stem": "imagenet"},
    ),
]

PYRAMIDS: list[Case] = [
    *(
        (
            f"pyramidnet:depth=20,alpha={alpha},growth={growth},unit={unit},base=4",
            straight_line.pyramidnet,
            CIFAR,
            {"blocks": (3, 3, 3) if unit == "basic" else (2, 2, 2), "unit": unit, "stem": "cifar"},
        )
        for growth, alpha in (("additive", 10), ("multiplicative", 4))
        for unit in ("basic", "bottleneck")
    ),
    *(
        (
            f"pyramidnet:depth=20,alpha=10,unit={unit},base=4,variant={variant}",
            straight_line.pyramidnet,
            CIFAR,
            {
                "blocks": (3, 3, 3) if unit == "basic" else (2, 2, 2),
                "unit": unit,
                "stem": "cifar",
                "order": variant,
            },
        )
        for variant in ("a", "b", "c")
        for unit in ("basic", "bottleneck")
    ),
    *(
        (
            f"pyramidnet:depth=20,alpha=10,base=4,variant={variant},shortcut={shortcut}",
            straight_line.pyramidnet,
            CIFAR,
            {"blocks": (3, 3, 3), "unit": "basic", "stem": "cifar", "order": variant, "shortcut": shortcut},
        )
        for shortcut in ("projection", "projection-strided")
        for variant in ("a", "d")
    ),
    (
        "pyramidnet:depth=18,alpha=20,setting=imagenet,base=8",
        straight_line.pyramidnet,
        IMAGENET,
        {"blocks": (2, 2, 2, 2), "unit": "basic", "stem": "imagenet"},
    ),
    (
        "pyramidnet:depth=20,alpha=10,base=4,variant=d",
        straight_line.pyramidnet,
        Shape(3, 18, 22),
        {"blocks": (3, 3, 3), "unit": "basic", "stem": "cifar"},
    ),
]

FUSED: list[Case] = [
    *(
        (
            f"dmrnet:depth=14,base=4,streams={streams},join={join},skip={skip}",
            straight_line.dmrnet,
            CIFAR,
            {"blocks": (2, 2, 2), "streams": streams, "join": join, "skip": skip},
        )
        for streams, skips in ((2, ("mean", "identity", "projector")), (3, SKIPS), (4, ("mean",)))
        for skip in skips
        for join in ("merge", "sum", "concat", "logits")
    ),
    *(
        (
            f"dmrnet:depth=14,base=4,streams=3,skip={skip},ends=separate",
            straight_line.dmrnet,
            CIFAR,
            {"blocks": (2, 2, 2), "streams": 3, "join": "logits", "skip": skip, "stems": "separate"},
        )
        for skip in SKIPS
    ),
    (
        "dmrnet:depth=44,version=v2,base=16",
        straight_line.dmrnet_imagenet,
        IMAGENET,
        {"blocks": (2, 2, 8, 2), "version": "v2"},
    ),
    (
        "dmrnet:depth=50,version=ijcai,base=16",
        straight_line.dmrnet_imagenet,
        IMAGENET,
        {"blocks": (1, 2, 11, 2), "version": "ijcai"},
    ),
    ("dilnet-14:base=4", straight_line.dilnet, CIFAR, {"blocks": (2, 2, 2)}),
    ("fuse3-14:base=4", straight_line.fused, CIFAR, {"depth": 14, "blocks": 3}),
    ("fuse6-20:base=4", straight_line.fused, CIFAR, {"depth": 20, "blocks": 6}),
]

TWEAKED: list[Case] = [
    (
        f"tweaked-resnet:depth={depth},tweak={tweak},base=8",
        straight_line.tweaked_resnet,
        IMAGENET,
        {"blocks": blocks, "unit": unit, "tweak": tweak},
    )
    for depth, blocks, unit, tweak in (
        (18, (2, 2, 2, 2), "basic", "d"),
        (50, (3, 4, 6, 3), "bottleneck", "c"),
        (50, (3, 4, 6, 3), "bottleneck", "d"),
    )
]

EXCITED: list[Case] = [
    (
        "se-resnet:depth=14,reduction=4,base=4",
        straight_line.se_resnet,
        CIFAR,
        {"blocks": (2, 2, 2), "unit": "basic", "stem": "cifar"},
    ),
    (
        "se-resnet:depth=50,setting=imagenet,reduction=4,base=4",
        straight_line.se_resnet,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "stem": "imagenet"},
    ),
    (
        "se-resnext:depth=20,cardinality=4,width=16,base=8,setting=cifar",
        straight_line.se_resnet,
        CIFAR,
        {"blocks": (2, 2, 2), "unit": "bottleneck", "stem": "cifar", "groups": 4, "stride_place": "3x3"},
    ),
]

REGNETS: list[Case] = [
    (
        f"regnet:depth=6,variant={variant},w0=8,wa=4,wm=2,group={group},base=8",
        straight_line.regnet,
        IMAGENET,
        {"blocks": (1, 3, 2), "group": group, "excited": variant == "y"},
    )
    for variant, group in (("x", 4), ("x", 16), ("y", 8))
]

SLICED: list[Case] = [
    (
        "res2net:depth=20,width=4,scale=4,setting=cifar,base=8",
        straight_line.res2net,
        CIFAR,
        {"blocks": (2, 2, 2), "stem": "cifar", "scale": 4},
    ),
    (
        "res2net:depth=50,width=3,scale=2,base=8",
        straight_line.res2net,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "stem": "imagenet", "scale": 2},
    ),
]

ATTENDED: list[Case] = [
    (
        "eca-resnet:depth=14,base=4,setting=cifar",
        straight_line.eca_resnet,
        CIFAR,
        {"blocks": (2, 2, 2), "unit": "basic", "stem": "cifar"},
    ),
    (
        "eca-resnet:depth=50,base=8",
        straight_line.eca_resnet,
        IMAGENET,
        {"blocks": (3, 4, 6, 3), "unit": "bottleneck", "stem": "imagenet"},
    ),
]

SHAKEN: list[Case] = [
    ("shake-shake:depth=14,width=16,base=4", straight_line.shake_shake, CIFAR, {"depth": 14}),
    ("shake-shake:depth=8,width=16,base=16", straight_line.shake_shake, CIFAR, {"depth": 8}),
]

CASES = [
    *SHAKEN,
    *ATTENDED,
    *SLICED,
    *REGNETS,
    *RESNETS,
    *ABLATIONS,
    *PREACTIVATED,
    *WIDE,
    *RESNEXTS,
    *PYRAMIDS,
    *FUSED,
    *TWEAKED,
    *EXCITED,
]


@pytest.mark.parametrize(("name", "oracle", "image", "knobs"), CASES, ids=[case[0] for case in CASES])
def test_outputs_and_gradients_equal_a_straight_line_pass(
    name: str, oracle: Oracle, image: Shape | None, knobs: dict[str, Any]
) -> None:
    """In training mode, float64, the same weights give the same logits and the same gradient of every weight."""
    network = _doubled(name, image)
    images = _images(network)
    torch.manual_seed(4)
    ours = network(images)
    cotangent = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(2))
    learnt = dict(network.named_parameters())
    gradients = dict(zip(learnt, torch.autograd.grad(ours, list(learnt.values()), cotangent), strict=True))
    weights = {path: tensor.detach().clone() for path, tensor in network.state_dict().items()}
    leaves = {path: weights[path].requires_grad_() for path in gradients}
    torch.manual_seed(4)
    theirs = oracle({**weights, **leaves}, images, mode="train", **knobs)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    expected = dict(zip(leaves, torch.autograd.grad(theirs, list(leaves.values()), cotangent), strict=True))
    for path, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[path], rtol=1e-7, atol=1e-9, msg=lambda text, at=path: f"{at}: {text}"
        )


@pytest.mark.parametrize(("name", "oracle", "image", "knobs"), CASES, ids=[case[0] for case in CASES])
def test_outputs_equal_in_evaluation_mode(
    name: str, oracle: Oracle, image: Shape | None, knobs: dict[str, Any]
) -> None:
    """With the statistics of an earlier batch and nothing dropped, the same weights give the same logits."""
    network = _doubled(name, image)
    images = _images(network)
    with torch.no_grad():
        network(images)
        theirs = oracle(network.state_dict(), images, mode="eval", **knobs)
        torch.testing.assert_close(network.eval()(images), theirs, rtol=1e-10, atol=1e-10)


def test_dropout_reads_what_the_second_convolution_would() -> None:
    """In a wide unit it drops relu(norm(conv1)), scales the rest by 1/(1 - rate), and conv2 takes nothing else."""
    network = _doubled("wrn-16-2:base=4,dropout=0.3", CIFAR)
    found = network.trace(_images(network))
    body = "stages.1.1.body"
    active, dropped = found[f"{body}.relu1"], found[f"{body}.dropout1"]
    kept = dropped != 0
    assert 0.6 < kept[active > 0].double().mean() < 0.8
    torch.testing.assert_close(dropped[kept], active[kept] / 0.7)
    assert not kept[active == 0].any()
    weight = network.get_parameter(f"{body}.conv2.weight")
    torch.testing.assert_close(found[f"{body}.conv2"], torch.nn.functional.conv2d(dropped, weight, padding=1))


def _doubled(name: str, image: Shape | None) -> Network:
    """The network with every scale, shift and bias away from its start, so that each of them matters."""
    network = build(catalog.plan(name, image=image, classes=10), seed=1).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
    return network


def _images(network: Network) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, *network.plan.image, dtype=torch.float64, generator=generator)
