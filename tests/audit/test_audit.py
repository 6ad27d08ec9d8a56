"""Foreign modules against the papers' networks: the same function, or where it parts and which mistake it is."""

from collections.abc import Callable
from dataclasses import replace
from time import process_time

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
        "values that ours has nowhere",
        "stages.1.0.first.norm",
        ("every shortcut reads the pre-activated tensor",),
    ),
    (
        wrong_nets.resnet_20_with_eps_everywhere,
        "resnet-20-A-sides",
        "0.1",
        "norm with eps 0.0001",
        "stem.norm, norm with eps 1e-05",
        ("eps 0.0001 in place of 1e-05: 0.1 and 18 more",),
    ),
    (
        wrong_nets.resnet_20_with_eps_in_the_last_stage,
        "resnet-20-A-sides",
        "0.1.6.body.1",
        "norm with eps 0.001",
        "stages.2.0.body.norm1, norm with eps 1e-05",
        ("eps 0.001 in place of 1e-05: 0.1.6.body.1 and 1 more",),
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
        ("momentum 0.9 in place of 0.1: 1.0.bn1 and 12 more",),
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
        (wrong_nets.with_softmax, "the logits", "log-softmax of ours"),
        (wrong_nets.Scaled, "scale", "a parameter of shape (1,), which the logits depend on"),
        (wrong_nets.frozen, "the gradient of 0.weight", "none"),
    ],
)
def test_differences_beside_the_structure(make: Callable[[], nn.Module], at: str, there: str) -> None:
    """A softmax inside, more to learn and less are told by themselves; no mistake of structure explains them."""
    verdict = audit(make(), resolve("wrn-16-2"))
    assert verdict.first_difference is not None
    assert (verdict.first_difference.at, verdict.first_difference.foreign) == (at, there)
    assert not verdict.explained


DROPPING = "wrn-16-2:dropout=0.3"

DROPS: list[tuple[nn.Module, bool, str, str]] = [
    # the dropout, whether it stands early, what the network is meant to be, and the mistake
    (nn.Dropout(0.3), False, "wrn-16-2", "dropout with rate 0.3 where ours has none"),
    (nn.Dropout2d(0.3), True, "wrn-16-2", "dropout of channels with rate 0.3 where ours has none"),
    (nn.Identity(), False, DROPPING, "no dropout with rate 0.3"),
    (nn.Dropout(0.5), False, DROPPING, "dropout with rate 0.5 in place of dropout with rate 0.3"),
    (nn.Dropout2d(0.3), False, DROPPING, "dropout of channels with rate 0.3 in place of dropout with rate 0.3"),
    (nn.AlphaDropout(0.3), False, DROPPING, "alpha dropout with rate 0.3 in place of dropout with rate 0.3"),
    (nn.FeatureAlphaDropout(0.3), False, DROPPING, "alpha dropout of channels with rate 0.3 in place of dropout"),
    (nn.Dropout(0.3), True, DROPPING, "dropout before the norm"),
]


@pytest.mark.parametrize(("drop", "early", "name", "mistake"), DROPS, ids=[row[3] for row in DROPS])
def test_dropout_is_told_by_kind_rate_and_place(drop: nn.Module, early: bool, name: str, mistake: str) -> None:
    """Of whole channels, of another rate, at another place, where ours has none, or none where ours has it."""
    verdict = audit(wrong_nets.wrn_dropping(drop, early=early), resolve(name))
    assert not verdict.same
    assert verdict.explained
    assert [each.startswith(mistake) for each in verdict.mistakes] == [True]


def test_dropout_as_in_the_paper_is_the_same() -> None:
    """Behind the inner relu, at the paper's rate."""
    assert audit(wrong_nets.wrn_dropping(nn.Dropout(0.3)), resolve(DROPPING)).same


def test_dropout_in_evaluation_is_told() -> None:
    """A dropout that forgets to ask whether the network trains."""
    always = nn.Dropout(0.3)
    always.forward = lambda x: nn.functional.dropout(x, 0.3)  # type: ignore[method-assign]
    verdict = audit(wrong_nets.wrn_dropping(always), resolve(DROPPING))
    assert verdict.first_difference is not None
    assert verdict.first_difference.foreign == "dropout with rate 0.3, in evaluation mode too"


def test_images_changed_in_place_are_not_ours() -> None:
    """What a module does to its images is seen as what it does."""
    verdict = audit(wrong_nets.Centred(), resolve("wrn-16-2"))
    assert verdict.first_difference is not None
    assert verdict.first_difference.at == "network.0"
    assert verdict.first_difference.foreign.endswith("reads 2x3x32x32 values that ours has nowhere")


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
    """Of another depth, or of another family; of several with the same weights, the one that computes the same."""
    verdict = audit(build(theirs, seed=0), resolve(name))
    assert (verdict.same, verdict.explained, verdict.bearer, verdict.bearer_same) == (False, False, bearer, True)


def test_a_network_with_the_parameters_alone_is_named_as_such() -> None:
    """Where its function differs too."""
    network = build("resnet:depth=14,base=4", seed=0)
    network.get_submodule("stages.2.1").after_sum = nn.Identity()
    verdict = audit(network, resolve("resnet:depth=8,base=4"))
    assert (verdict.bearer, verdict.bearer_same) == ("resnet:depth=14,base=4", False)


def test_a_network_of_another_kind_is_given_up_early() -> None:
    """No mistake is tried on what has hardly a weight in common with ours."""
    start = process_time()
    verdict = audit(peer("torchvision", "densenet121", classes=10), resolve("resnet-50"))
    assert process_time() - start < 15
    assert (verdict.mistakes, verdict.bearer) == ((), None)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_module_is_refused() -> None:
    """What it runs cannot be heard."""
    traced = torch.jit.trace(wrong_nets.wrn_right(), torch.zeros(2, 3, 32, 32), check_trace=False)
    assert isinstance(traced, nn.Module)
    with pytest.raises(UsageError, match="audit the module that it was made of"):
        audit(traced, resolve("wrn-16-2"))


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
    wrong = [each for _, each in possible(Variant(entry=entry), MISTAKES, ["stages.1.0"])]
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
