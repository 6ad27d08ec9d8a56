"""The papers' rules of counting sizes, depths and widths, applied to a plan."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP
from typing import assert_never

from resatlas.arch.cost import Cost, cost, total_cost
from resatlas.arch.ops import Convolution, Linear
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import Chain, Layer, Plan, Unit, layers, unit_layers
from resatlas.designs.catalog import Entry, named
from resatlas.designs.printed import Printed
from resatlas.designs.pyramidnet import PyramidNet
from resatlas.designs.wide_resnet import WideResNet
from resatlas.errors import DesignError, quoted


@dataclass(frozen=True, kw_only=True)
class Count:
    """The count of a network by one rule, and the rounding to the printed digits."""

    convention: str
    number: int
    rounding: str = ROUND_HALF_UP


def counts(plan: Plan, figure: Printed) -> Iterator[Count]:
    """The counts of this plan by all rules that may give a printed figure, our rule first.

    Raises: DesignError if no rule knows the part that the figure is about.
    """
    match figure.quantity:
        case "parameters":
            return _parameters(plan, figure)
        case "multiply_adds":
            return _multiply_adds(plan, figure)
        case "depth":
            return _depths(plan, figure)
        case "width":
            return _widths(plan, figure)
        case _:
            assert_never(figure.quantity)


def _parameters(plan: Plan, figure: Printed) -> Iterator[Count]:
    every = _counted(plan, figure)
    if figure.part:
        yield Count(convention=f"conv only; {figure.part}", number=_cost(every, Convolution).parameters)
        return
    yield Count(convention="all weights", number=_cost(every).parameters)
    yield Count(convention="conv+fc without BN", number=_cost(every, Convolution, Linear).parameters)
    yield Count(convention="conv only", number=_cost(every, Convolution).parameters)
    if lower := _floored(plan, figure):
        every = _counted(lower, figure)
        yield Count(convention="all weights; widths floored", number=_cost(every).parameters)
        yield Count(
            convention="conv+fc without BN; widths floored", number=_cost(every, Convolution, Linear).parameters
        )


def _multiply_adds(plan: Plan, figure: Printed) -> Iterator[Count]:
    every = _counted(plan, figure)
    convs = _cost(every, Convolution).multiply_adds
    if figure.part:
        yield Count(convention=f"conv only; {figure.part}", number=convs)
        return
    ours = _cost(every).multiply_adds
    yield Count(convention="conv+fc", number=ours)
    yield Count(convention="conv+fc; cut off", number=ours, rounding=ROUND_DOWN)
    yield Count(convention="conv only", number=convs)


def _depths(plan: Plan, figure: Printed) -> Iterator[Count]:
    """Layers of the longest path; for CIFAR Wide ResNets, with projections and without the classifier first."""
    match figure.part:
        case "":
            design = named()[figure.name].design
            convs = longest(plan)
            usual = Count(convention="conv+fc without projections", number=convs + classifiers(plan))
            theirs = Count(convention="convs with projections without fc", number=convs + _projections(plan))
            label = Count(convention="N from 6N+4", number=6 * len(plan.stages[0]) + 4)
            if isinstance(design, WideResNet) and design.setting == "cifar":
                yield from (theirs, label, usual)
            else:
                yield from (usual, theirs)
            yield Count(convention="convs with projections and fc", number=theirs.number + classifiers(plan))
        case "conv1 to conv4_x":
            number = longest(replace(plan, stages=plan.stages[:3], head=()))
            yield Count(convention="conv+fc without projections", number=number)
        case "more than resnet-152; 28x28 stage":
            other = named()["resnet-152"].plan()
            yield Count(convention="as built", number=_units_at(28, plan) - _units_at(28, other))
        case "--depth flag":  # the depth of the plain twin, which has all bodies in sequence
            bodies = sum(_convs(body) for _, unit in plan.units for stream in unit.streams for body in stream.bodies)
            number = _convs(plan.stem) + bodies + classifiers(plan)
            yield Count(convention="every body in a row", number=number)
        case _:
            raise _unknown_part(figure)


def _widths(plan: Plan, figure: Printed) -> Iterator[Count]:
    yield Count(convention="as built", number=_width(plan, figure))
    if lower := _floored(plan, figure):
        yield Count(convention="widths floored", number=_width(lower, figure))


_PLACE = re.compile(
    r"(?P<path>d per path; )?(?P<kind>stage |conv|unit )(?P<number>[1-9]\d{0,3})(?: (?P<end>inner|out))?", re.ASCII
)
"""stage 2, conv3 out (conv1 is the stem), unit 64 inner, d per path; conv2."""


def _width(plan: Plan, figure: Printed) -> int:
    place = _PLACE.fullmatch(figure.part)
    if place is None:
        raise _unknown_part(figure)
    units: dict[str, list[Unit]] = {
        "stage ": [stage[0] for stage in plan.stages],
        "conv": [stage[0] for stage in (plan.stages[0], *plan.stages)],
        "unit ": [unit for _, unit in plan.units],
    }
    unit = units[place["kind"]][int(place["number"]) - 1]
    bodies = unit.streams[0].bodies
    convs = [layer for layer in bodies[0] if isinstance(layer.op, Convolution)]
    if place["path"]:
        return min(layer.output.channels // _groups(layer) for layer in convs)
    return convs[0].output.channels * len(bodies) if place["end"] == "inner" else unit.output.channels


def _groups(layer: Layer) -> int:
    return layer.op.groups if isinstance(layer.op, Convolution) else 1


def longest(plan: Plan) -> int:
    """Convolutions on the longest path without projections."""
    return mean_lengths(plan).longest - classifiers(plan)


def numbers_of(entry: Entry, plan: Plan) -> dict[str, int | float]:
    """The numbers that describe a network, a plan of the entry, by their names in JSON."""
    total, lengths = cost(plan), mean_lengths(plan)
    return {
        "depth": lengths.longest if entry.depth is None else entry.depth,
        "convs_on_longest_path": lengths.longest - classifiers(plan),
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "activations": total.activations,
        "mean_path_length": float(lengths.mean),
        "weighted_mean_path_length": float(lengths.weighted_mean),
    }


def classifiers(plan: Plan) -> int:
    """Fully connected layers at the end of a path: 1, or 0 without classes."""
    return sum(isinstance(layer.op, Linear) for layer in plan.head)


def _projections(plan: Plan) -> int:
    """Convolutions on the shortcuts of one stream."""
    return sum(_convs(unit.streams[0].shortcut or ()) for _, unit in plan.units)


def _convs(chain: Chain) -> int:
    return sum(isinstance(layer.op, Convolution) for layer in chain)


def _units_at(side: int, plan: Plan) -> int:
    return sum(unit.output.height == side for _, unit in plan.units)


def _counted(plan: Plan, figure: Printed) -> list[Layer]:
    """All layers, or those of a block with an identity shortcut in the first stage."""
    match figure.part:
        case "":
            return [layer for _, layer in layers(plan)]
        case "one 56x56 block":
            return [layer for _, layer in unit_layers(plan.stages[0][1])]
        case _:
            raise _unknown_part(figure)


def _cost(some: list[Layer], *kinds: type) -> Cost:
    return total_cost(layer for layer in some if not kinds or isinstance(layer.op, kinds))


def _floored(plan: Plan, figure: Printed) -> Plan | None:
    """The pyramid with all widths rounded down; None for other networks."""
    entry = named()[figure.name]
    if not isinstance(entry.design, PyramidNet):
        return None
    floored = replace(entry, blueprint=replace(entry.design, rounding="floor").blueprint())
    return floored.plan(image=plan.image, classes=plan.classes)


def _unknown_part(figure: Printed) -> DesignError:
    return DesignError(f"{figure.name}: no rule counts the {figure.quantity} of {quoted(figure.part)}")
