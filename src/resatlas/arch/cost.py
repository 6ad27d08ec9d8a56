"""The cost of a plan: parameters, multiply-adds and activations, in closed form."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from resatlas.arch.ops import ChannelConvolution, Product, weights
from resatlas.arch.plan import Layer, Plan, Unit, layers, of_units, unit_layers
from resatlas.arch.sizing import sized_units


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters, multiply-adds of one image, and output values of the convolutions and the classifier.

    Parameters are trainable ones: weights, normalisation scales and shifts, classifier bias. Multiply-adds are
    those of convolutions and the classifier, which the papers call FLOPs; counters that report operations count
    two of them for each.
    """

    parameters: int = 0
    multiply_adds: int = 0
    activations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.multiply_adds + other.multiply_adds,
            self.activations + other.activations,
        )


class Described(Protocol):
    """A built network that returns its plan while the plan describes it."""

    def checked_plan(self) -> Plan:
        """The plan.

        Raises: DesignError if the network has changed since it was built.
        """
        ...


def cost(what: Plan | Described) -> Cost:
    """The cost of the whole network, from a plan or a built network.

    A built network is checked for changes since it was built.
    Raises: DesignError if the network has changed since it was built.
    """
    plan = what if isinstance(what, Plan) else what.checked_plan()
    ends = total_cost((*plan.stem * plan.stems, *plan.head * plan.heads))
    return _sum([ends, *(price for _, _, price in unit_costs(plan))])


def unit_costs(plan: Plan) -> Iterator[tuple[str, Unit, Cost]]:
    """All units in order, with their paths and costs."""
    return of_units(plan, unit_cost)


def unit_cost(unit: Unit) -> Cost:
    """The cost of one unit with all its streams."""
    return total_cost(layer for _, layer in unit_layers(unit)) + _projector_cost(unit)


def stage_cost(units: Iterable[Unit], side: int) -> Cost:
    """The cost of consecutive units on square maps of another side."""
    total = Cost()
    for unit in sized_units(units, height=side, width=side):
        total += unit_cost(unit)
    return total


def _projector_cost(unit: Unit) -> Cost:
    """(K·width)² multiply-adds per pixel if a random projector mixes the shortcuts of K streams; no parameters."""
    if unit.mixing.channels == "kept" or unit.streams[0].shortcut is None:
        return Cost()
    channels = len(unit.streams) * unit.output.channels
    pixels = unit.output.height * unit.output.width
    return Cost(0, channels * channels * pixels, channels * pixels)


def cost_by_path(plan: Plan) -> dict[str, Cost]:
    """The cost of every layer with a cost, by its path."""
    costs = {path: layer_cost(layer) for path, layer in layers(plan)}
    costs |= {f"{path}.projector": _projector_cost(unit) for path, unit in plan.units}
    return {path: price for path, price in costs.items() if price != Cost()}


def total_cost(parts: Iterable[Layer]) -> Cost:
    """The total cost of some layers."""
    listed = list(parts)
    distinct = {id(layer): layer for layer in listed}  # those of equal units are one object
    prices = {key: layer_cost(layer) for key, layer in distinct.items()}
    return _sum([prices[id(layer)] for layer in listed])


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(
        sum(price.parameters for price in costs),
        sum(price.multiply_adds for price in costs),
        sum(price.activations for price in costs),
    )


def layer_cost(layer: Layer) -> Cost:
    """The cost of one layer."""
    out = layer.output
    shapes = weights(layer.op, layer.input.channels, out.channels)
    count = sum(map(prod, shapes.values()))
    if isinstance(layer.op, ChannelConvolution):
        return Cost(count, count * out.channels, out.channels)
    if not isinstance(layer.op, Product):
        return Cost(parameters=count)
    pixels = out.height * out.width
    return Cost(count, prod(shapes["weight"]) * pixels, out.channels * pixels)
