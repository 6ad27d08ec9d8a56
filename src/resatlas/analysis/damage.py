"""Damage: what a network gets wrong without one unit, without several, and with units in another order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.passage import Rest, UnitModule, put_out_as, streams_of, unit_modules
from resatlas.arch.plan import Plan, Unit
from resatlas.data.loading import Batch
from resatlas.errors import DesignError, UnknownName, unknown
from resatlas.evaluation.norm_statistics import averaged_statistics
from resatlas.nets.network import Network
from resatlas.nets.streams import run_unit, side_by_side


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A unit replaced by its shortcut; of several streams one, or with None all of them.

    Where there is no shortcut and the shape stays, the unit is left out, as a layer of a plain network.
    """

    unit: str
    stream: int | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a network, whole or damaged, gets wrong."""

    loss: float
    error_percent: float


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Scores with the statistics of the whole network, and with those estimated again behind the damage."""

    frozen: Score
    reestimated: Score


Held = tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]
"""What a unit takes of some images, all streams side by side, and their labels."""


def lesions(network: Network, shown: Sequence[Batch], estimating: Sequence[Batch]) -> Iterator[tuple[Lesion, Damage]]:
    """Every lesion of a network in the order of its units; the work up to each unit is done once for all.

    Scores are those on `shown`; statistics are estimated on `estimating`, of all norms from the unit on, since
    those before it see no damage.
    """
    network.eval()
    tested, learnt = _begun(network, shown), _begun(network, estimating)
    modules = unit_modules(network)
    for path, unit in network.plan.units:
        for lesion in possible(path, unit):
            yield lesion, _damage(network, lesion, tested, learnt)
        tested, learnt = (_onward(modules[path], unit, held) for held in (tested, learnt))


def lesion_alone(network: Network, lesion: Lesion, shown: Sequence[Batch], estimating: Sequence[Batch]) -> Damage:
    """One lesion, from the images on: what `lesions` gives for it.

    Raises: DesignError if nothing would remain of the unit; UnknownName if there is none of that path.
    """
    units = dict(network.plan.units)
    _check_known(network.plan, lesion.unit)
    if lesion not in possible(lesion.unit, units[lesion.unit]):
        raise DesignError(
            f"{lesion.unit} has no shortcut of its own and gives another shape than it takes: nothing remains of it"
        )
    network.eval()
    tested, learnt = _begun(network, shown), _begun(network, estimating)
    for path, module in unit_modules(network).items():
        if path == lesion.unit:
            break
        tested, learnt = (_onward(module, units[path], held) for held in (tested, learnt))
    return _damage(network, lesion, tested, learnt)


def possible(path: str, unit: Unit) -> tuple[Lesion, ...]:
    """The lesions of a unit: the whole of it, and each body of several streams; none where nothing would remain."""
    count = len(unit.streams)
    if not _has_shortcuts(unit):
        kept = unit.input == unit.output and unit.outcomes == count
        return (Lesion(unit=path),) if kept else ()
    return (Lesion(unit=path), *(Lesion(unit=path, stream=k) for k in range(count) if count > 1))


def deleted(network: Network, paths: Sequence[str], shown: Sequence[Batch], estimating: Sequence[Batch]) -> Damage:
    """Several units replaced by their shortcuts at once.

    Raises: UnknownName if there is no unit of a path.
    """
    for path in paths:
        _check_known(network.plan, path)
    network.eval()
    units, modules = dict(network.plan.units), unit_modules(network)
    with put_out_as((merged for path in paths for merged in _merged(modules[path], None)), torch.zeros_like):
        kept = [modules[path] for path in modules if path not in paths or _has_shortcuts(units[path])]
        return _scored(network, kept, _begun(network, shown), _begun(network, estimating))


def reordered(network: Network, pairs: Sequence[tuple[str, str]]) -> tuple[UnitModule, ...]:
    """The units where those of each pair have changed places, one pair after another.

    Raises: DesignError if a pair is not of one shape; UnknownName if there is no unit of a path.
    """
    units, modules = dict(network.plan.units), unit_modules(network)
    order = list(modules)
    for one, other in pairs:
        for path in (one, other):
            _check_known(network.plan, path)
        if _shape(units[one]) != _shape(units[other]):
            raise DesignError(
                f"units change places only where they are of one shape; {one} is {_in_words(units[one])}, "
                f"{other} is {_in_words(units[other])}"
            )
        here, there = order.index(one), order.index(other)
        order[here], order[there] = order[there], order[here]
    return tuple(modules[path] for path in order)


def moved(
    network: Network, pairs: Sequence[tuple[str, str]], shown: Sequence[Batch], estimating: Sequence[Batch]
) -> Damage:
    """A network whose units have changed places.

    Raises: as `reordered`.
    """
    network.eval()
    order = reordered(network, pairs)
    return _scored(network, order, _begun(network, shown), _begun(network, estimating))


def whole(network: Network, shown: Sequence[Batch]) -> Score:
    """What the whole network gets wrong."""
    network.eval()
    return _score(_rest(network, unit_modules(network).values()), _begun(network, shown))


def exchangeable(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Every pair of units of one shape."""
    units = dict(plan.units)
    return tuple((one, other) for one, other in combinations(units, 2) if _shape(units[one]) == _shape(units[other]))


def _damage(network: Network, lesion: Lesion, tested: Sequence[Held], learnt: Sequence[Held]) -> Damage:
    """The damage of a lesion from what its unit takes."""
    units, modules = dict(network.plan.units), unit_modules(network)
    paths = list(modules)
    behind = [modules[path] for path in paths[paths.index(lesion.unit) :]]
    if not _has_shortcuts(units[lesion.unit]):
        return _scored(network, behind[1:], tested, learnt)
    with put_out_as(_merged(behind[0], lesion.stream), torch.zeros_like):
        return _scored(network, behind, tested, learnt)


def _scored(network: Network, units: Sequence[UnitModule], tested: Sequence[Held], learnt: Sequence[Held]) -> Damage:
    rest = _rest(network, units)
    frozen = _score(rest, tested)
    with _statistics_of(rest, learnt):
        return Damage(frozen=frozen, reestimated=_score(rest, tested))


def _rest(network: Network, units: Iterable[UnitModule]) -> Rest:
    return Rest(units, network.own_heads, streams=len(network.plan.stages[0][0].streams)).eval()


@torch.no_grad()
def _score(rest: Rest, held: Sequence[Held]) -> Score:
    logits, labels = torch.cat([rest(maps) for maps, _ in held]), torch.cat([labels for _, labels in held])
    wrong = (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64)
    return Score(loss=F.cross_entropy(logits, labels).item(), error_percent=100 * wrong.item())


@contextmanager
def _statistics_of(rest: Rest, held: Sequence[Held]) -> Iterator[None]:
    """While it lasts, norms use the statistics of what they take of these images."""
    norms = {path: norm for path, norm in rest.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    buffers = [each for norm in norms.values() for each in (norm.running_mean, norm.running_var) if each is not None]
    before = [each.clone() for each in buffers]
    if norms:
        for path, moments in averaged_statistics(rest, (maps for maps, _ in held)).items():
            for buffer, value in zip(_running(norms[path]), (moments.mean, moments.variance), strict=True):
                buffer.copy_(value)
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor, ...]:
    return tuple(each for each in (norm.running_mean, norm.running_var) if each is not None)


@torch.no_grad()
def _begun(network: Network, batches: Sequence[Batch]) -> list[Held]:
    return [(side_by_side(network.begin(batch.images)), batch.labels) for batch in batches]


@torch.no_grad()
def _onward(module: UnitModule, unit: Unit, held: Sequence[Held]) -> list[Held]:
    return [(side_by_side(run_unit(module, maps.chunk(len(unit.streams), dim=1))), labels) for maps, labels in held]


def _merged(module: UnitModule, stream: int | None) -> list[nn.Module]:
    """Where the residuals of all streams, or of one, come out."""
    return [each.merged for k, each in enumerate(streams_of(module)) if stream in (None, k)]


def _has_shortcuts(unit: Unit) -> bool:
    return all(stream.shortcut is not None for stream in unit.streams)


def _shape(unit: Unit) -> tuple[object, ...]:
    return unit.input, unit.output, len(unit.streams), unit.outcomes


def _in_words(unit: Unit) -> str:
    streams = f" in {len(unit.streams)} streams" if len(unit.streams) > 1 else ""
    return f"{unit.input} -> {unit.output}{streams}{', joined' if unit.outcomes < len(unit.streams) else ''}"


def _check_known(plan: Plan, path: str) -> None:
    paths = [known for known, _ in plan.units]
    if path not in paths:
        raise UnknownName(unknown("unit", path, paths))
