"""Foreign modules against the papers' networks: the same function, or where it parts and which mistake it is."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from torch import nn

from resatlas.arch.ops import Shape
from resatlas.designs.catalog import resolve
from resatlas.designs.mistakes import possible
from resatlas.errors import UsageError
from resatlas.nets.audit import audit
from resatlas.nets.network import build
from tests.nets import wrong_nets
from tests.oracles.peers import peer

RESNEXT = "resnext:depth=29,cardinality=2,width=16,base=16"

RIGHT: list[tuple[Callable[[], nn.Module], str]] = [
    (wrong_nets.resnet_20_b, "resnet-20-B"),
    (wrong_nets.resnet_20_sides, "resnet-20-A-sides"),
    (wrong_nets.wrn_right, "wrn-16-2"),
    (wrong_nets.resnext_right, RESNEXT),
    (wrong_nets.pyramid_right, "pyramidnet-20-a12"),
]


@pytest.mark.parametrize(("make", "name"), RIGHT, ids=[name for _, name in RIGHT])
def test_right_networks_are_the_same_function(make: Callable[[], nn.Module], name: str) -> None:
    """Other names, another order of execution and functions in place of modules change nothing."""
    verdict = audit(make(), resolve(name))
    assert verdict.same, verdict.first_difference
    assert verdict.paired == verdict.operations
    assert verdict.parameters == verdict.expected_parameters
    assert verdict.mistakes == verdict.remarks == ()


WRONG: list[tuple[Callable[[], nn.Module], str, str, str, str, tuple[str, ...]]] = [
    # module, design, and of the first difference: at, there, ours; the mistakes
    (
        wrong_nets.resnet_20_b,
        "resnet-20",
        "1.3.shortcut.0",
        "convolution 32x16x1x1, stride (2, 2), groups 1, reads stages.0.2",
        "stages.1.0.body.conv1, convolution 32x16x3x3",
        ("option B: projections in place of zeros",),
    ),
    (
        wrong_nets.resnet_20_sides,
        "resnet-20",
        "1.4.body.0",
        "reads 2x32x16x16 values that ours has nowhere",
        "reads stages.1.0",
        ("zeros on both sides",),
    ),
    (
        wrong_nets.preact_without_last_norm,
        "preact-resnet-20-B",
        "1.1.bn1",
        "values that ours has nowhere",
        "stages.0.1.first.norm",
        ("the first unit's shortcut reads the raw stem", "no norm and relu before the pool"),
    ),
    (
        wrong_nets.wrn_raw_projection,
        "wrn-16-2",
        "1.0.project",
        "reads stem.conv",
        "reads stages.0.0.first.relu",
        ("the projection reads the raw input, not the pre-activated one",),
    ),
    (
        wrong_nets.resnext_tied,
        RESNEXT,
        "0.0",
        "convolution 16x3x1x1",
        "stem.conv, convolution 16x3x3x3",
        ("a 1x1 stem", "outputs tied to the groups: 2·C·d in place of 4·planes"),
    ),
    (
        wrong_nets.resnext_first_grouped,
        RESNEXT,
        "1.0.body.0",
        "groups 2",
        "groups 1 in stages.0.0.body.conv1",
        ("the first 1x1 grouped too",),
    ),
    (
        wrong_nets.pyramid_floored,
        "pyramidnet-20-a12",
        "units.1.1",
        "convolution 18x17x3x3",
        "convolution 19x17x3x3",
        ("widths floored",),
    ),
    (
        wrong_nets.pyramid_stem_relu,
        "pyramidnet-20-a12",
        "units.0.0",
        "reads relu of stem.norm",
        "reads stem.norm",
        ("norm and relu after the stem",),
    ),
    (
        wrong_nets.pyramid_sum_relu,
        "pyramidnet-20-a12",
        "units.1.0",
        "reads relu of stages.0.0",
        "reads stages.0.0",
        ("a relu after the sum",),
    ),
]


@pytest.mark.parametrize(
    ("make", "name", "at", "there", "ours", "mistakes"), WRONG, ids=[f"{row[0].__name__}-{row[1]}" for row in WRONG]
)
def test_wrong_networks_are_told_where_and_why(
    make: Callable[[], nn.Module], name: str, at: str, there: str, ours: str, mistakes: tuple[str, ...]
) -> None:
    """The first difference is named on both sides, and the known mistakes that make ours the same function."""
    verdict = audit(make(), resolve(name))
    difference = verdict.first_difference
    assert not verdict.same
    assert difference is not None
    assert difference.at == at
    assert there in difference.foreign
    assert ours in difference.ours
    assert (verdict.mistakes, verdict.explained) == (mistakes, True)


@pytest.mark.parametrize(
    ("make", "at", "there"),
    [
        (wrong_nets.wrn_biased, "1.0.conv1 and 14 more", "a convolution with bias"),
        (wrong_nets.with_softmax, "the logits", "log-softmax of ours"),
        (wrong_nets.Scaled, "scale", "a parameter of shape (1,), which the logits depend on"),
        (wrong_nets.frozen, "the gradient of 0.weight", "none"),
        (wrong_nets.with_momentum, "1.0.bn1", "norm with eps 1e-05, momentum 0.9"),
    ],
)
def test_differences_beside_the_structure(make: Callable[[], nn.Module], at: str, there: str) -> None:
    """Biases, a softmax inside and another momentum are told by themselves; no mistake of structure explains them."""
    verdict = audit(make(), resolve("wrn-16-2"))
    assert verdict.first_difference is not None
    assert (verdict.first_difference.at, verdict.first_difference.foreign) == (at, there)
    assert not verdict.explained


def test_parameters_that_nothing_uses_are_remarked() -> None:
    """They do not change the function, only the count."""
    verdict = audit(wrong_nets.half_used(), resolve("wrn-16-2"))
    assert verdict.same
    assert verdict.parameters == verdict.expected_parameters + 7
    assert verdict.remarks == ("1 parameters are never used, forgotten.weight the first",)


@pytest.mark.parametrize("base", ["preact-resnet:depth=14,shortcut=B,base=4", "dmrnet:depth=8,base=4"])
def test_every_known_mistake_is_recognised(base: str) -> None:
    """Built as a foreign module, each wrong network differs from the right one and is explained by one mistake."""
    entry = replace(resolve(base), image=Shape(3, 16, 16))
    wrong = [each for _, each in possible(entry)]
    assert len(wrong) > 15
    for each in wrong[::4]:
        verdict = audit(build(each.plan(), seed=7), entry)
        assert not verdict.same
        assert verdict.explained
        assert len(verdict.mistakes) == 1


@pytest.mark.parametrize(
    "name",
    [
        "wide-resnet:depth=10,kernels=13,base=8",
        "resnext-11-4x16d-form-a",
        "dmrnet-8-k3",
        "dmrnet-8-separate",
        "dilnet-8",
    ],
)
def test_operations_alike_are_told_apart(name: str) -> None:
    """Where several operations read the same and fit the same, the pairing still ends well."""
    assert audit(build(name, seed=5), resolve(name)).same


@pytest.mark.parametrize(
    ("source", "peer_name", "name"),
    [
        ("torchvision", "resnet18", "resnet-18"),
        ("torchvision", "resnet50", "resnet-50-v1.5"),
        ("timm", "resnet34", "resnet-34"),
        ("pytorchcv", "resnet20_cifar10", "resnet-20-B"),
        ("pytorchcv", "preresnet20_cifar10", "preact-resnet-20-B-projected"),
        ("pytorchcv", "pyramidnet110_a48_cifar10", "pyramidnet-110-a48"),
    ],
)
def test_peers_are_the_same_function(source: str, peer_name: str, name: str) -> None:
    """Networks of three libraries, by nothing but what they compute."""
    verdict = audit(peer(source, peer_name, classes=10), resolve(name))
    assert verdict.same, verdict.first_difference


def test_the_stride_of_torchvision_is_seen() -> None:
    """Its ResNet-50 is not the paper's: the stride stands on the 3x3."""
    verdict = audit(peer("torchvision", "resnet50", classes=10), resolve("resnet-50"))
    assert verdict.first_difference is not None
    assert verdict.first_difference.at == "layer2.0.conv1"
    assert verdict.mistakes == ("the stride on convolution 2 of the unit",)


def test_a_module_that_runs_on_no_image_is_refused() -> None:
    """In words, with what it said."""
    with pytest.raises(UsageError, match="does not run on 2 images of 3x32x32 pixels: RuntimeError"):
        audit(nn.Linear(3, 4), resolve("resnet-20"))
    with pytest.raises(UsageError, match="one row an image"):
        audit(nn.Conv2d(3, 4, 3), resolve("resnet-20"))
