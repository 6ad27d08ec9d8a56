"""Damaged networks equal networks that are built without the removed parts."""

from copy import deepcopy
from statistics import mean, median

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.damage import (
    Lesion,
    Score,
    deletion_damage,
    exchangeable_pairs,
    lesions,
    possible_lesions,
    reordered_units,
    reordering_damage,
    single_lesion,
    whole_score,
)
from resatlas.analysis.surgery import streams_of, unit_modules
from resatlas.data.loading import Batch
from resatlas.errors import DesignError, UnknownName
from resatlas.nets.network import Network, build
from tests.analysis.designs import CLASSES, IMAGE, network, noise

SOME = (
    "resnet:depth=14,base=4",
    "resnet:depth=14,base=4,modified=exclusive-gate-b-1",
    "resnet:depth=14,base=4,order=bn-after-add",
    "preact-resnet:depth=14,base=4",
    "pyramidnet:depth=14,base=4,alpha=12",
    "dmrnet:depth=8,base=4,streams=3",
    "dmrnet:depth=8,base=4,skip=projector",
)


def batches_of(net: Network) -> tuple[list[Batch], list[Batch]]:
    """Two test batches, and two batches for BN statistics."""
    return [noise(6, net, seed=5), noise(5, net, seed=6)], [noise(8, net, seed=7), noise(9, net, seed=8)]


def score(logits: Tensor, labels: Tensor) -> Score:
    """Loss and error of some logits."""
    wrong = (logits.argmax(dim=1) != labels).double().mean().item()
    return Score(loss=F.cross_entropy(logits, labels).item(), error_percent=100 * wrong)


def logits(net: nn.Module, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """All logits and labels."""
    with torch.no_grad():
        return torch.cat([net(batch.images) for batch in batches]), torch.cat([batch.labels for batch in batches])


def silenced(net: Network, lesion: Lesion) -> Network:
    """A copy of the network in which the residual of a unit is zero."""
    copy = deepcopy(net)
    unit = unit_modules(copy)[lesion.unit]
    for k, stream in enumerate(streams_of(unit)):
        if lesion.stream in (None, k):
            stream.merged = nn.Sequential(Zero())
    return copy


class Zero(nn.Module):
    """x -> 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x)


@pytest.mark.parametrize("design", SOME)
def test_a_lesion_is_a_network_without_that_body(design: str) -> None:
    """With BN statistics kept, the loss is exactly that of the network without the residual."""
    net = network(design)
    scored_batches, statistics_batches = batches_of(net)
    damages = list(lesions(net, scored_batches, statistics_batches))
    assert damages
    for lesion, damage in damages:
        assert damage.frozen == score(*logits(silenced(net, lesion), scored_batches))
    assert len({damage.frozen.loss for _, damage in damages}) > 1


@pytest.mark.parametrize("design", SOME)
def test_sharing_forward_passes_does_not_change_results(design: str) -> None:
    """Every lesion from `lesions` is bit-equal to the single lesion, with both kinds of BN statistics."""
    net = network(design)
    scored_batches, statistics_batches = batches_of(net)
    for lesion, damage in lesions(net, scored_batches, statistics_batches):
        assert damage == single_lesion(net, lesion, scored_batches, statistics_batches)


@pytest.mark.parametrize("design", SOME)
def test_lesions_do_not_change_the_network(design: str) -> None:
    """Afterwards weights and statistics are the same as before."""
    net = network(design)
    scored_batches, statistics_batches = batches_of(net)
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    score_before = whole_score(net, scored_batches)
    for _ in lesions(net, scored_batches, statistics_batches):
        pass
    assert all(torch.equal(before[path], tensor) for path, tensor in net.state_dict().items())
    assert whole_score(net, scored_batches) == score_before == score(*logits(net, scored_batches))


def shallower(net: Network, design: str, removed: str) -> Network:
    """The network of a shallower design with the weights of the units that are not removed."""
    smaller = build(design, image=IMAGE, classes=CLASSES, seed=0).double()
    paths = [path for path, _ in net.plan.units if path not in removed.split()]
    names = dict(zip([path for path, _ in smaller.plan.units], paths, strict=True))
    full = net.state_dict()
    weights = {}
    for key in smaller.state_dict():
        unit = ".".join(key.split(".")[:3])
        weights[key] = full[names.get(unit, unit) + key.removeprefix(unit)]
    smaller.load_state_dict(weights)
    return smaller.eval()


@pytest.mark.parametrize("family", ["resnet", "preact-resnet", "plain"])
def test_units_deleted_together_make_a_shallower_network(family: str) -> None:
    """If the shortcut is the identity, removing one unit per stage gives the network of smaller depth."""
    net = network(f"{family}:depth=20,base=4")
    scored_batches, statistics_batches = batches_of(net)
    removed = "stages.0.2 stages.1.1 stages.2.2"
    other = shallower(net, f"{family}:depth=14,base=4", removed)
    assert deletion_damage(net, removed.split(), scored_batches, statistics_batches).frozen == score(
        *logits(other, scored_batches)
    )


def test_statistics_are_reestimated_only_after_the_damage() -> None:
    """Re-estimated statistics are the exact mean and variance of the norms' inputs for the statistics images."""
    net = network("resnet:depth=14,base=4")
    scored_batches, statistics_batches = batches_of(net)
    last = [path for path, _ in net.plan.units][-1]
    damage = single_lesion(net, Lesion(unit=last), scored_batches, statistics_batches)
    assert damage.frozen == damage.reestimated  # the only norms after it are in the removed body
    lesion = Lesion(unit="stages.2.0")
    copy = silenced(net, lesion)
    norms = dict(copy.named_modules())
    # the first norm of the next body follows a convolution of relu(shortcut), before which statistics do not change
    norm = norms["stages.2.1.body.norm1"]
    norm_inputs: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norm_inputs.append(inputs[0])

    handle = norm.register_forward_pre_hook(keep)
    logits(copy, statistics_batches)
    handle.remove()
    values = torch.cat(norm_inputs).transpose(0, 1).flatten(1)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(values.mean(dim=1))
    norm.running_var.copy_(values.var(dim=1, correction=0))
    # the last norm of that body follows a norm that uses batch statistics while its own are re-estimated
    other = norms["stages.2.1.body.norm2"]
    assert isinstance(other, nn.BatchNorm2d)
    norm_inputs.clear()
    handle = other.register_forward_pre_hook(keep)
    norm.train()
    norm.momentum = 0.0
    logits(copy, statistics_batches)
    norm.eval()
    handle.remove()
    values = torch.cat(norm_inputs).transpose(0, 1).flatten(1)
    assert other.running_mean is not None
    assert other.running_var is not None
    other.running_mean.copy_(values.mean(dim=1))
    other.running_var.copy_(values.var(dim=1, correction=0))
    expected = score(*logits(copy, scored_batches))
    damage = single_lesion(net, lesion, scored_batches, statistics_batches)
    assert damage.reestimated.loss == pytest.approx(expected.loss, rel=1e-10)
    assert damage.reestimated != damage.frozen


def test_only_units_of_the_same_shape_can_be_swapped() -> None:
    """Other pairs are refused with both shapes; swapping a pair twice changes nothing."""
    net = network("resnet:depth=20,base=4")
    scored_batches, statistics_batches = batches_of(net)
    with pytest.raises(DesignError, match=r"stages\.0\.1 is 4x8x8 -> 4x8x8, stages\.1\.0 is 4x8x8 -> 8x4x4"):
        reordered_units(net, [("stages.0.1", "stages.1.0")])
    with pytest.raises(UnknownName, match=r'no unit "stages\.0\.9"; did you mean'):
        reordered_units(net, [("stages.0.1", "stages.0.9")])
    pair = ("stages.0.1", "stages.0.2")
    assert pair in exchangeable_pairs(net.plan)
    assert reordering_damage(net, [pair, pair], scored_batches, statistics_batches).frozen == whole_score(
        net, scored_batches
    )
    copy = deepcopy(net)
    units = unit_modules(copy)
    copy.stages[0][1], copy.stages[0][2] = units[pair[1]], units[pair[0]]  # type: ignore[index,operator]
    assert reordering_damage(net, [pair], scored_batches, statistics_batches).frozen == score(
        *logits(copy, scored_batches)
    )
    assert reordering_damage(net, [pair], scored_batches, statistics_batches).frozen != whole_score(net, scored_batches)


def test_all_units_of_a_pyramid_differ_in_shape() -> None:
    """Each unit is wider than the one before."""
    assert exchangeable_pairs(network("pyramidnet:depth=20,base=4,alpha=18").plan) == ()


def test_some_plain_units_cannot_be_removed() -> None:
    """A plain unit whose output has another shape than its input has no lesion; other plain units are removed."""
    net = network("plain:depth=14,base=4")
    scored_batches, statistics_batches = batches_of(net)
    units = dict(net.plan.units)
    assert possible_lesions("stages.1.0", units["stages.1.0"]) == ()
    with pytest.raises(
        DesignError,
        match=r"stages\.1\.0 cannot be removed: it has no shortcut of its own, and its output has another shape",
    ):
        single_lesion(net, Lesion(unit="stages.1.0"), scored_batches, statistics_batches)
    assert [lesion.unit for lesion, _ in lesions(net, scored_batches, statistics_batches)] == [
        path for path, unit in units.items() if unit.input == unit.output
    ]


def test_lesions_of_single_streams() -> None:
    """A unit of several streams has a lesion of all streams and one of each stream, all with different losses."""
    net = network("dmrnet:depth=8,base=4,streams=3")
    scored_batches, statistics_batches = batches_of(net)
    damages = dict(lesions(net, scored_batches, statistics_batches))
    assert [lesion.stream for lesion in damages] == [None, 0, 1, 2] * 3
    assert len({damage.frozen.loss for lesion, damage in damages.items() if lesion.unit == "stages.0.0"}) == 4


def test_contrast_of_mean_and_median() -> None:
    """The contrast is the mean over the down-sampling units minus the median over the others."""
    from types import SimpleNamespace

    from resatlas.analysis.lesion import LesionRow, _contrast, _contrast_facts

    def row(unit: str, down: str, frozen: float, stream: str = "all") -> LesionRow:
        return LesionRow(
            unit=unit,
            stream=stream,
            down_sampling=down,
            loss_frozen=0,
            error_frozen=frozen,
            error_increase_frozen=frozen - 5,
            loss_reestimated=0,
            error_reestimated=frozen / 2,
            error_increase_reestimated=frozen / 2 - 5,
        )

    rows = [
        row("a", "no", 10),
        row("b", "no", 11),
        row("c", "no", 90),
        row("c", "no", 1, stream="0"),
        row("d", "yes", 60),
        row("e", "yes", 40),
    ]
    run = SimpleNamespace(name="run", design="x")
    contrast = _contrast(run, rows, Score(loss=1, error_percent=5))  # type: ignore[arg-type]
    assert contrast.contrast_frozen == mean([60, 40]) - median([10, 11, 90])
    assert contrast.contrast_reestimated == mean([30, 20]) - median([5, 5.5, 45])
    facts = {fact.name: fact for fact in _contrast_facts([contrast, contrast])}
    name = "extra error of x when a down-sampling unit is removed, BN statistics kept"
    assert facts[f"{name}, mean"].unit == "percentage points, n = 2 networks"
    assert facts[f"{name}, standard deviation"].value == 0
