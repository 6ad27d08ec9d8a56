"""Damaged networks are those that are built without what was taken away."""

from copy import deepcopy
from statistics import mean, median

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.damage import (
    Lesion,
    Score,
    deleted,
    exchangeable,
    lesion_alone,
    lesions,
    moved,
    possible,
    reordered,
    whole,
)
from resatlas.analysis.passage import streams_of, unit_modules
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


def material(net: Network) -> tuple[list[Batch], list[Batch]]:
    """Two batches to be scored, two to estimate on."""
    return [noise(6, net, seed=5), noise(5, net, seed=6)], [noise(8, net, seed=7), noise(9, net, seed=8)]


def score(logits: Tensor, labels: Tensor) -> Score:
    """Loss and error of some logits."""
    wrong = (logits.argmax(dim=1) != labels).double().mean().item()
    return Score(loss=F.cross_entropy(logits, labels).item(), error_percent=100 * wrong)


def logits(net: nn.Module, shown: list[Batch]) -> tuple[Tensor, Tensor]:
    """All logits and labels."""
    with torch.no_grad():
        return torch.cat([net(batch.images) for batch in shown]), torch.cat([batch.labels for batch in shown])


def silenced(net: Network, lesion: Lesion) -> Network:
    """A copy whose weights make the residual of a unit nothing: no body, no matter what stands around it."""
    copy = deepcopy(net)
    unit = unit_modules(copy)[lesion.unit]
    for k, stream in enumerate(streams_of(unit)):
        if lesion.stream in (None, k):
            stream.merged = nn.Sequential(Nothing())
    return copy


class Nothing(nn.Module):
    """x -> 0."""

    def forward(self, x: Tensor) -> Tensor:
        """No residual."""
        return torch.zeros_like(x)


@pytest.mark.parametrize("design", SOME)
def test_a_lesion_is_a_network_without_that_body(design: str) -> None:
    """With frozen statistics, the loss is exactly that of the whole network run anew without the residual."""
    net = network(design)
    shown, estimating = material(net)
    found = list(lesions(net, shown, estimating))
    assert found
    for lesion, damage in found:
        assert damage.frozen == score(*logits(silenced(net, lesion), shown))
    assert len({damage.frozen.loss for _, damage in found}) > 1


@pytest.mark.parametrize("design", SOME)
def test_shared_work_changes_nothing(design: str) -> None:
    """Every lesion among all is the same alone, to the bit, frozen and re-estimated."""
    net = network(design)
    shown, estimating = material(net)
    for lesion, damage in lesions(net, shown, estimating):
        assert damage == lesion_alone(net, lesion, shown, estimating)


@pytest.mark.parametrize("design", SOME)
def test_damage_heals(design: str) -> None:
    """Afterwards the network is as it was, statistics included."""
    net = network(design)
    shown, estimating = material(net)
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    sound = whole(net, shown)
    for _ in lesions(net, shown, estimating):
        pass
    assert all(torch.equal(before[path], tensor) for path, tensor in net.state_dict().items())
    assert whole(net, shown) == sound == score(*logits(net, shown))


def shallower(net: Network, depth: str, gone: str) -> Network:
    """The network of one unit a stage less, with the weights of all but the units that are gone."""
    made = build(depth, image=IMAGE, classes=CLASSES, seed=0).double()
    paths = [path for path, _ in net.plan.units if path not in gone.split()]
    names = dict(zip([path for path, _ in made.plan.units], paths, strict=True))
    own = net.state_dict()
    weights = {}
    for key in made.state_dict():
        unit = ".".join(key.split(".")[:3])
        weights[key] = own[names.get(unit, unit) + key.removeprefix(unit)]
    made.load_state_dict(weights)
    return made.eval()


@pytest.mark.parametrize("family", ["resnet", "preact-resnet", "plain"])
def test_units_deleted_together_make_a_shallower_network(family: str) -> None:
    """Where the shortcut is the identity, the network without one unit a stage is the one of lesser depth."""
    net = network(f"{family}:depth=20,base=4")
    shown, estimating = material(net)
    gone = "stages.0.2 stages.1.1 stages.2.2"
    other = shallower(net, f"{family}:depth=14,base=4", gone)
    assert deleted(net, gone.split(), shown, estimating).frozen == score(*logits(other, shown))


def test_statistics_are_estimated_behind_the_damage_alone() -> None:
    """Re-estimated, norms behind a unit have the exact mean and variance of what they take of the estimating images."""
    net = network("resnet:depth=14,base=4")
    shown, estimating = material(net)
    last = [path for path, _ in net.plan.units][-1]
    damage = lesion_alone(net, Lesion(unit=last), shown, estimating)
    assert damage.frozen == damage.reestimated  # no norm but those of the lost body stands behind it
    lesion = Lesion(unit="stages.2.0")
    copy = silenced(net, lesion)
    norms = dict(copy.named_modules())
    # of the next body the first norm stands at a convolution of relu(shortcut), which sees frozen statistics alone
    norm = norms["stages.2.1.body.norm1"]
    seen: list[Tensor] = []

    def see(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0])

    handle = norm.register_forward_pre_hook(see)
    logits(copy, estimating)
    handle.remove()
    values = torch.cat(seen).transpose(0, 1).flatten(1)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(values.mean(dim=1))
    norm.running_var.copy_(values.var(dim=1, correction=0))
    # the last norm of that body sees batches normalised by themselves, so its own statistics are those of such a pass
    other = norms["stages.2.1.body.norm2"]
    assert isinstance(other, nn.BatchNorm2d)
    seen.clear()
    handle = other.register_forward_pre_hook(see)
    norm.train()
    norm.momentum = 0.0
    logits(copy, estimating)
    norm.eval()
    handle.remove()
    values = torch.cat(seen).transpose(0, 1).flatten(1)
    assert other.running_mean is not None
    assert other.running_var is not None
    other.running_mean.copy_(values.mean(dim=1))
    other.running_var.copy_(values.var(dim=1, correction=0))
    expected = score(*logits(copy, shown))
    found = lesion_alone(net, lesion, shown, estimating).reestimated
    assert found.loss == pytest.approx(expected.loss, rel=1e-10)
    assert found != lesion_alone(net, lesion, shown, estimating).frozen


def test_only_units_of_one_shape_change_places() -> None:
    """Others are refused with both shapes; an order that is changed twice is the first one."""
    net = network("resnet:depth=20,base=4")
    shown, estimating = material(net)
    with pytest.raises(DesignError, match=r"stages\.0\.1 is 4x8x8 -> 4x8x8, stages\.1\.0 is 4x8x8 -> 8x4x4"):
        reordered(net, [("stages.0.1", "stages.1.0")])
    with pytest.raises(UnknownName, match=r'no unit "stages\.0\.9"; did you mean'):
        reordered(net, [("stages.0.1", "stages.0.9")])
    pair = ("stages.0.1", "stages.0.2")
    assert pair in exchangeable(net.plan)
    assert moved(net, [pair, pair], shown, estimating).frozen == whole(net, shown)
    copy = deepcopy(net)
    units = unit_modules(copy)
    copy.stages[0][1], copy.stages[0][2] = units[pair[1]], units[pair[0]]  # type: ignore[index,operator]
    assert moved(net, [pair], shown, estimating).frozen == score(*logits(copy, shown))
    assert moved(net, [pair], shown, estimating).frozen != whole(net, shown)


def test_pyramids_have_no_two_units_of_one_shape() -> None:
    """Each is wider than the one before."""
    assert exchangeable(network("pyramidnet:depth=20,base=4,alpha=18").plan) == ()


def test_nothing_remains_of_some_units() -> None:
    """A plain unit that changes the shape has no lesion, and is refused alone; one that keeps it is left out."""
    net = network("plain:depth=14,base=4")
    shown, estimating = material(net)
    units = dict(net.plan.units)
    assert possible("stages.1.0", units["stages.1.0"]) == ()
    with pytest.raises(DesignError, match=r"nothing remains of it"):
        lesion_alone(net, Lesion(unit="stages.1.0"), shown, estimating)
    assert [lesion.unit for lesion, _ in lesions(net, shown, estimating)] == [
        path for path, unit in units.items() if unit.input == unit.output
    ]


def test_streams_lose_their_bodies_one_by_one() -> None:
    """The block, and each stream's body alone: with all but one stream gone, what is left is not the block's lesion."""
    net = network("dmrnet:depth=8,base=4,streams=3")
    shown, estimating = material(net)
    found = dict(lesions(net, shown, estimating))
    assert [lesion.stream for lesion in found] == [None, 0, 1, 2] * 3
    assert len({damage.frozen.loss for lesion, damage in found.items() if lesion.unit == "stages.0.0"}) == 4


def test_median_and_mean_make_the_contrast() -> None:
    """The mean over the down-sampling units less the median of the others, in a run's own row."""
    from types import SimpleNamespace

    from resatlas.analysis.lesion import LesionRow, _contrast, _over_nets

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
    subject = SimpleNamespace(name="run", run=SimpleNamespace(experiment=SimpleNamespace(design="x")))
    found = _contrast(subject, rows, Score(loss=1, error_percent=5))  # type: ignore[arg-type]
    assert found.contrast_frozen == mean([60, 40]) - median([10, 11, 90])
    assert found.contrast_reestimated == mean([30, 20]) - median([5, 5.5, 45])
    facts = {fact.name: fact for fact in _over_nets([found, found])}
    assert facts["mean contrast_frozen of x"].unit == "percentage points, n = 2 networks"
    assert facts["standard deviation of contrast_frozen of x"].value == 0
