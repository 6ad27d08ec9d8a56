"""Damage: loss and error of a network without one unit, without several, and with units in another order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from resatlas.analysis.surgery import Rest, UnitModule, changed_outputs, streams_of, unit_modules
from resatlas.arch.plan import Plan, Unit
from resatlas.data.loading import Batch
from resatlas.errors import DesignError, UnknownName, unknown
from resatlas.evaluation.norm_statistics import averaged_statistics
from resatlas.nets.network import Network
from resatlas.nets.streams import run_unit, side_by_side


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A unit replaced by its shortcut, in one of its streams or, if `stream` is None, in all of them.

    A unit without a shortcut, as in a plain network, is removed; its input and output must have the same shape.
    """

    unit: str
    stream: int | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """Loss and error of a network, whole or damaged."""

    loss: float
    error_percent: float


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Scores of a damaged network with the BN statistics of the whole network, and with re-estimated ones."""

    frozen: Score
    reestimated: Score


UnitInput = tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]]
"""The input of a unit for some images, all streams concatenated, and the labels of the images."""


def lesions(
    network: Network, scored_batches: Sequence[Batch], statistics_batches: Sequence[Batch]
) -> Iterator[tuple[Lesion, Damage]]:
    """Every lesion of a network in the order of its units; the forward pass up to each unit is computed once.

    Scores are on `scored_batches`. BN statistics are re-estimated on `statistics_batches` from the damaged unit on; the
    statistics before it do not change.
    """
    network.eval()
    scored_inputs, statistics_inputs = _after_stem(network, scored_batches), _after_stem(network, statistics_batches)
    modules = unit_modules(network)
    for path, unit in network.plan.units:
        for lesion in possible_lesions(path, unit):
            yield lesion, _damage(network, lesion, scored_inputs, statistics_inputs)
        scored_inputs = _after_unit(modules[path], unit, scored_inputs)
        statistics_inputs = _after_unit(modules[path], unit, statistics_inputs)


def single_lesion(
    network: Network, lesion: Lesion, scored_batches: Sequence[Batch], statistics_batches: Sequence[Batch]
) -> Damage:
    """The damage of one lesion, equal to that from `lesions`.

    Raises: DesignError if nothing would remain of the unit; UnknownName if no unit has this path.
    """
    units = dict(network.plan.units)
    _check_known(network.plan, lesion.unit)
    if lesion not in possible_lesions(lesion.unit, units[lesion.unit]):
        raise DesignError(
            f"{lesion.unit} cannot be removed: it has no shortcut of its own, and its output has another shape "
            "than its input"
        )
    network.eval()
    scored_inputs, statistics_inputs = _after_stem(network, scored_batches), _after_stem(network, statistics_batches)
    for path, module in unit_modules(network).items():
        if path == lesion.unit:
            break
        scored_inputs = _after_unit(module, units[path], scored_inputs)
        statistics_inputs = _after_unit(module, units[path], statistics_inputs)
    return _damage(network, lesion, scored_inputs, statistics_inputs)


def possible_lesions(path: str, unit: Unit) -> tuple[Lesion, ...]:
    """The lesions of a unit: the whole unit, and each of several streams; none if nothing would remain."""
    count = len(unit.streams)
    if not _has_shortcuts(unit):
        same_shape = unit.input == unit.output and unit.outcomes == count
        return (Lesion(unit=path),) if same_shape else ()
    return (Lesion(unit=path), *(Lesion(unit=path, stream=k) for k in range(count) if count > 1))


def deletion_damage(
    network: Network, paths: Sequence[str], scored_batches: Sequence[Batch], statistics_batches: Sequence[Batch]
) -> Damage:
    """The damage of several units replaced by their shortcuts at once.

    Raises: UnknownName if no unit has one of the paths.
    """
    for path in paths:
        _check_known(network.plan, path)
    network.eval()
    units, modules = dict(network.plan.units), unit_modules(network)
    with changed_outputs(
        (merged for path in paths for merged in _merged_modules(modules[path], None)), torch.zeros_like
    ):
        kept = [modules[path] for path in modules if path not in paths or _has_shortcuts(units[path])]
        inputs = (_after_stem(network, batches) for batches in (scored_batches, statistics_batches))
        return _damage_of_units(network, kept, *inputs)


def reordered_units(network: Network, pairs: Sequence[tuple[str, str]]) -> tuple[UnitModule, ...]:
    """The units after the units of each pair are swapped, one pair after another.

    Raises: DesignError if the units of a pair differ in shape; UnknownName if no unit has one of the paths.
    """
    units, modules = dict(network.plan.units), unit_modules(network)
    order = list(modules)
    for one, other in pairs:
        for path in (one, other):
            _check_known(network.plan, path)
        if _shape(units[one]) != _shape(units[other]):
            raise DesignError(
                f"only units of the same shape can be swapped; {one} is {_described(units[one])}, "
                f"{other} is {_described(units[other])}"
            )
        first, second = order.index(one), order.index(other)
        order[first], order[second] = order[second], order[first]
    return tuple(modules[path] for path in order)


def reordering_damage(
    network: Network,
    pairs: Sequence[tuple[str, str]],
    scored_batches: Sequence[Batch],
    statistics_batches: Sequence[Batch],
) -> Damage:
    """The damage of swapped units.

    Raises: as `reordered_units`.
    """
    network.eval()
    order = reordered_units(network, pairs)
    inputs = (_after_stem(network, batches) for batches in (scored_batches, statistics_batches))
    return _damage_of_units(network, order, *inputs)


def whole_score(network: Network, batches: Sequence[Batch]) -> Score:
    """Loss and error of the whole network."""
    network.eval()
    return _score(_rest(network, unit_modules(network).values()), _after_stem(network, batches))


def exchangeable_pairs(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Every pair of units of the same shape."""
    units = dict(plan.units)
    return tuple((one, other) for one, other in combinations(units, 2) if _shape(units[one]) == _shape(units[other]))


def _damage(
    network: Network, lesion: Lesion, scored_inputs: Sequence[UnitInput], statistics_inputs: Sequence[UnitInput]
) -> Damage:
    """The damage of a lesion, from the inputs of its unit."""
    units, modules = dict(network.plan.units), unit_modules(network)
    paths = list(modules)
    rest_modules = [modules[path] for path in paths[paths.index(lesion.unit) :]]
    if not _has_shortcuts(units[lesion.unit]):
        return _damage_of_units(network, rest_modules[1:], scored_inputs, statistics_inputs)
    with changed_outputs(_merged_modules(rest_modules[0], lesion.stream), torch.zeros_like):
        return _damage_of_units(network, rest_modules, scored_inputs, statistics_inputs)


def _damage_of_units(
    network: Network,
    units: Sequence[UnitModule],
    scored_inputs: Sequence[UnitInput],
    statistics_inputs: Sequence[UnitInput],
) -> Damage:
    """The damage of a network that has only these units behind the inputs."""
    rest = _rest(network, units)
    frozen = _score(rest, scored_inputs)
    with _reestimated_statistics(rest, statistics_inputs):
        return Damage(frozen=frozen, reestimated=_score(rest, scored_inputs))


def _rest(network: Network, units: Iterable[UnitModule]) -> Rest:
    return Rest(units, network.own_heads, streams=len(network.plan.stages[0][0].streams)).eval()


@torch.no_grad()
def _score(rest: Rest, inputs: Sequence[UnitInput]) -> Score:
    logits, labels = torch.cat([rest(maps) for maps, _ in inputs]), torch.cat([labels for _, labels in inputs])
    wrong = (logits.argmax(dim=1) != labels).float().mean(dtype=torch.float64)
    return Score(loss=F.cross_entropy(logits, labels).item(), error_percent=100 * wrong.item())


@contextmanager
def _reestimated_statistics(rest: Rest, inputs: Sequence[UnitInput]) -> Iterator[None]:
    """Within this context, the running statistics are those of the norms' inputs for these images."""
    norms = {path: norm for path, norm in rest.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    buffers = [buffer for norm in norms.values() for buffer in _running_statistics(norm)]
    originals = [buffer.clone() for buffer in buffers]
    if norms:
        for path, moments in averaged_statistics(rest, (maps for maps, _ in inputs)).items():
            for buffer, value in zip(_running_statistics(norms[path]), (moments.mean, moments.variance), strict=True):
                buffer.copy_(value)
    try:
        yield
    finally:
        for buffer, value in zip(buffers, originals, strict=True):
            buffer.copy_(value)


def _running_statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, ...]:
    return tuple(buffer for buffer in (norm.running_mean, norm.running_var) if buffer is not None)


@torch.no_grad()
def _after_stem(network: Network, batches: Sequence[Batch]) -> list[UnitInput]:
    return [(side_by_side(network.begin(batch.images)), batch.labels) for batch in batches]


@torch.no_grad()
def _after_unit(module: UnitModule, unit: Unit, inputs: Sequence[UnitInput]) -> list[UnitInput]:
    return [(side_by_side(run_unit(module, maps.chunk(len(unit.streams), dim=1))), labels) for maps, labels in inputs]


def _merged_modules(module: UnitModule, stream: int | None) -> list[nn.Module]:
    """The modules whose outputs are the residuals, of one stream or of all."""
    return [own.merged for k, own in enumerate(streams_of(module)) if stream in (None, k)]


def _has_shortcuts(unit: Unit) -> bool:
    return all(stream.shortcut is not None for stream in unit.streams)


def _shape(unit: Unit) -> tuple[object, ...]:
    return unit.input, unit.output, len(unit.streams), unit.outcomes


def _described(unit: Unit) -> str:
    streams = f" in {len(unit.streams)} streams" if len(unit.streams) > 1 else ""
    return f"{unit.input} -> {unit.output}{streams}{', joined' if unit.outcomes < len(unit.streams) else ''}"


def _check_known(plan: Plan, path: str) -> None:
    paths = [known for known, _ in plan.units]
    if path not in paths:
        raise UnknownName(unknown("unit", path, paths))
