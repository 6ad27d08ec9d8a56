"""Audits of foreign modules: the same function as the paper's network, or the first difference and the mistake."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from resatlas.arch.ops import Shape
from resatlas.audit.comparison import audit
from resatlas.designs.catalog import resolve
from resatlas.designs.mistakes import MISTAKES, Variant, possible
from resatlas.errors import UsageError
from resatlas.nets.network import build
from tests.audit import wrong_nets
from tests.oracles.peers import peer
from tests.promptness import at_once

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
    """Other names, another order of execution and functions instead of modules make no difference."""
    verdict = audit(make(), resolve(name))
    assert verdict.same, verdict.first_difference
    assert verdict.paired == verdict.operations
    assert verdict.parameters == verdict.expected_parameters
    assert verdict.mistakes == verdict.remarks == ()


WRONG: list[tuple[Callable[[], nn.Module], str, str, str, str, tuple[str, ...]]] = [
    # module, design, the first difference (at, foreign, ours), the mistakes
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
        "reads a 2x32x16x16 tensor that ours does not have",
        "reads stages.1.0",
        ("zeros on both sides",),
    ),
    (
        wrong_nets.preact_without_last_norm,
        "preact-resnet-20-B",
        "1.1.bn1",
        "tensor that ours does not have",
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
    (
        wrong_nets.resnet_20_without_middle_relus,
        "resnet-20-A-sides",
        "1.0.body.3",
        "reads stages.0.0.body.norm1",
        "reads stages.0.0.body.relu1",
        ("no relu between the convolutions",),
    ),
    (
        wrong_nets.resnet_20_without_last_relu,
        "resnet-20-A-sides",
        "5",
        "linear 10x64",
        "reads head.pool",
        ("no relu after the sum in stages.2.2",),
    ),
    (
        wrong_nets.resnet_20_without_one_shortcut,
        "resnet-20-A-sides",
        "1.5.body.0",
        "reads relu of stages.1.1.body.norm2",
        "reads stages.1.1",
        ("no shortcut in stages.1.1",),
    ),
    (
        wrong_nets.resnet_20_of_the_largest,
        "resnet-20-A-sides",
        "5",
        "linear 10x64",
        "reads head.pool",
        ("the largest value in place of the mean in the global pool",),
    ),
    (
        wrong_nets.wrn_shared,
        "wrn-16-2",
        "1.2.bn1",
        "tensor that ours does not have",
        "stages.1.0.first.norm",
        ("every shortcut reads the pre-activated tensor",),
    ),
    (
        wrong_nets.resnet_20_with_eps_everywhere,
        "resnet-20-A-sides",
        "0.1",
        "norm with eps 0.0001",
        "stem.norm, norm with eps 1e-05",
        ("eps 0.0001 instead of 1e-05: 0.1 and 18 more",),
    ),
    (
        wrong_nets.resnet_20_with_eps_in_the_last_stage,
        "resnet-20-A-sides",
        "0.1.6.body.1",
        "norm with eps 0.001",
        "stages.2.0.body.norm1, norm with eps 1e-05",
        ("eps 0.001 instead of 1e-05: 0.1.6.body.1 and 1 more",),
    ),
    (
        wrong_nets.wrn_biased,
        "wrn-16-2",
        "1.0.conv1",
        "groups 1, with a bias",
        "groups 1, without",
        ("a bias in a convolution: 1.0.conv1 and 14 more",),
    ),
    (
        wrong_nets.with_momentum,
        "wrn-16-2",
        "1.0.bn1",
        "norm with eps 1e-05, momentum 0.9",
        "norm with eps 1e-05, momentum 0.1",
        ("momentum 0.9 instead of 0.1: 1.0.bn1 and 12 more",),
    ),
]


@pytest.mark.parametrize(
    ("make", "name", "at", "there", "ours", "mistakes"), WRONG, ids=[f"{row[0].__name__}-{row[1]}" for row in WRONG]
)
def test_wrong_networks_are_explained(
    make: Callable[[], nn.Module], name: str, at: str, there: str, ours: str, mistakes: tuple[str, ...]
) -> None:
    """The verdict describes the first difference on both sides and names the mistakes that explain it."""
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
        (wrong_nets.with_softmax, "the logits", "log-softmax of ours"),
        (wrong_nets.Scaled, "scale", "a parameter of shape (1,), which the logits depend on"),
        (wrong_nets.frozen, "the gradient of 0.weight", "none"),
    ],
)
def test_differences_that_are_not_of_structure(make: Callable[[], nn.Module], at: str, there: str) -> None:
    """A softmax, an additional parameter and a frozen one are reported; no mistake of structure explains them."""
    verdict = audit(make(), resolve("wrn-16-2"))
    assert verdict.first_difference is not None
    assert (verdict.first_difference.at, verdict.first_difference.foreign) == (at, there)
    assert not verdict.explained


DROPPING = "wrn-16-2:dropout=0.3"

DROPS: list[tuple[nn.Module, bool, str, str]] = [
    # the dropout, whether it comes early, the expected design, the mistake
    (nn.Dropout(0.3), False, "wrn-16-2", "an additional dropout with rate 0.3"),
    (nn.Dropout2d(0.3), True, "wrn-16-2", "an additional dropout of channels with rate 0.3"),
    (nn.Identity(), False, DROPPING, "no dropout with rate 0.3"),
    (nn.Dropout(0.5), False, DROPPING, "dropout with rate 0.5 instead of dropout with rate 0.3"),
    (nn.Dropout2d(0.3), False, DROPPING, "dropout of channels with rate 0.3 instead of dropout with rate 0.3"),
    (nn.AlphaDropout(0.3), False, DROPPING, "alpha dropout with rate 0.3 instead of dropout with rate 0.3"),
    (nn.FeatureAlphaDropout(0.3), False, DROPPING, "alpha dropout of channels with rate 0.3 instead of dropout"),
    (nn.Dropout(0.3), True, DROPPING, "dropout before the norm"),
]


@pytest.mark.parametrize(("drop", "early", "name", "mistake"), DROPS, ids=[row[3] for row in DROPS])
def test_dropout_is_compared_by_kind_rate_and_place(drop: nn.Module, early: bool, name: str, mistake: str) -> None:
    """Dropout of channels, of another rate, at another place, an additional dropout, or a missing one is a mistake."""
    verdict = audit(wrong_nets.wrn_dropping(drop, early=early), resolve(name))
    assert not verdict.same
    assert verdict.explained
    assert [text.startswith(mistake) for text in verdict.mistakes] == [True]


def test_dropout_as_in_the_paper_is_the_same() -> None:
    """Dropout after the inner relu, at the paper's rate."""
    assert audit(wrong_nets.wrn_dropping(nn.Dropout(0.3)), resolve(DROPPING)).same


def test_dropout_in_evaluation_is_a_difference() -> None:
    """A dropout that ignores whether the network is in training mode is reported."""
    always = nn.Dropout(0.3)
    always.forward = lambda x: nn.functional.dropout(x, 0.3)  # type: ignore[method-assign]
    verdict = audit(wrong_nets.wrn_dropping(always), resolve(DROPPING))
    assert verdict.first_difference is not None
    assert verdict.first_difference.foreign == "dropout with rate 0.3, in evaluation mode too"


def test_images_changed_in_place_are_a_difference() -> None:
    """A module that changes its images in place does not read our images."""
    verdict = audit(wrong_nets.Centred(), resolve("wrn-16-2"))
    assert verdict.first_difference is not None
    assert verdict.first_difference.at == "network.0"
    assert verdict.first_difference.foreign.endswith("reads a 2x3x32x32 tensor that ours does not have")


@pytest.mark.parametrize(
    ("theirs", "name", "bearer"),
    [
        ("resnet-20", "resnet-32", "resnet-20"),
        ("resnet:depth=14,base=4", "resnet:depth=8,base=4", "resnet:depth=14,base=4"),
        ("wrn-16-2", "preact-resnet-20", "wrn-16-2"),
        ("resnet-14", "resnet-20", "resnet-14"),
        ("plain-14", "resnet-20", "plain-14"),
        ("resnet-14", "plain-20", "resnet-14"),
    ],
)
def test_the_network_that_has_the_parameters_is_named(theirs: str, name: str, bearer: str) -> None:
    """A network of another depth or family is named; of several with the same weights, that of the same function."""
    verdict = audit(build(theirs, seed=0), resolve(name))
    assert (verdict.same, verdict.explained, verdict.bearer, verdict.bearer_same) == (False, False, bearer, True)


def test_a_network_with_the_same_parameters_and_another_function_is_named() -> None:
    """The verdict names the network with the same parameters and says that the functions differ."""
    network = build("resnet:depth=14,base=4", seed=0)
    network.get_submodule("stages.2.1").after_sum = nn.Identity()
    verdict = audit(network, resolve("resnet:depth=8,base=4"))
    assert (verdict.bearer, verdict.bearer_same) == ("resnet:depth=14,base=4", False)


def test_an_unrelated_network_is_refused_early() -> None:
    """No mistake is tried if few weights have the shapes of ours."""
    network = peer("torchvision", "densenet121", classes=10)
    with at_once(15):
        verdict = audit(network, resolve("resnet-50"))
    assert (verdict.mistakes, verdict.bearer) == ((), None)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_module_is_refused() -> None:
    """Its operations are hidden."""
    traced = torch.jit.trace(wrong_nets.wrn_right(), torch.zeros(2, 3, 32, 32), check_trace=False)
    assert isinstance(traced, nn.Module)
    with pytest.raises(UsageError, match="audit the module it was made from"):
        audit(traced, resolve("wrn-16-2"))


def test_unused_parameters_are_reported() -> None:
    """They change the number of parameters and not the function."""
    verdict = audit(wrong_nets.half_used(), resolve("wrn-16-2"))
    assert verdict.same
    assert verdict.parameters == verdict.expected_parameters + 7
    assert verdict.remarks == ("1 parameters are never used, the first is forgotten.weight",)


@pytest.mark.parametrize("base", ["preact-resnet:depth=14,shortcut=B,base=4", "dmrnet:depth=8,base=4"])
def test_every_known_mistake_is_recognised(base: str) -> None:
    """Each wrong network, built as a foreign module, differs from the right one, and one mistake explains it."""
    entry = replace(resolve(base), image=Shape(3, 16, 16))
    variants = [variant for _, variant in possible(Variant(entry=entry), MISTAKES, ["stages.1.0"])]
    assert len(variants) > 15
    for variant in variants[::4]:
        verdict = audit(build(variant.plan(), seed=7), entry)
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
def test_equivalent_operations_are_paired(name: str) -> None:
    """The pairing succeeds although several operations have the same input and the same shapes."""
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
    """Networks of three libraries compute the same function as ours."""
    verdict = audit(peer(source, peer_name, classes=10), resolve(name))
    assert verdict.same, verdict.first_difference


def test_the_stride_of_torchvision_is_a_difference() -> None:
    """Its ResNet-50 is not the paper's: the 3x3 convolution has the stride."""
    verdict = audit(peer("torchvision", "resnet50", classes=10), resolve("resnet-50"))
    assert verdict.first_difference is not None
    assert verdict.first_difference.at == "layer2.0.conv1"
    assert verdict.mistakes == ("the stride on convolution 2 of the unit",)


def test_a_module_that_runs_on_no_image_is_refused() -> None:
    """The refusal contains the error of the module."""
    with pytest.raises(UsageError, match="does not run on 2 images of 3x32x32 pixels: RuntimeError"):
        audit(nn.Linear(3, 4), resolve("resnet-20"))
    with pytest.raises(UsageError, match="one row per image"):
        audit(nn.Conv2d(3, 4, 3), resolve("resnet-20"))
