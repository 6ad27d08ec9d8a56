"""Capacity: parameters and multiply-adds along the depth; free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from resatlas.analysis.probes import Fact, ProbeResult
from resatlas.arch.cost import Cost, cost, total_cost, unit_costs
from resatlas.arch.paths import body_lengths, passed
from resatlas.arch.plan import Plan, Unit
from resatlas.values.table import of_unit, table


@dataclass(frozen=True, kw_only=True)
class CapacityRow:
    """One part of a network, from the stem to the head; `depth` is the length of the longest path up to its end."""

    part: str = of_unit("")
    output: str = of_unit("")
    depth: int = of_unit("convolutions and classifiers")
    parameters: int = of_unit("parameters")
    share_of_parameters: float = of_unit("1")
    multiply_adds: int = of_unit("multiply-adds")
    share_of_multiply_adds: float = of_unit("1")
    parameters_so_far: float = of_unit("share of all")


def capacity(plan: Plan) -> tuple[CapacityRow, ...]:
    """Every part with its cost; the costs add up to that of the plan."""
    total, depth, parameters = cost(plan), 0, 0
    rows: list[CapacityRow] = []
    for part, output, length, part_cost in _parts(plan):
        depth += length
        parameters += part_cost.parameters
        rows.append(
            CapacityRow(
                part=part,
                output=output,
                depth=depth,
                parameters=part_cost.parameters,
                share_of_parameters=part_cost.parameters / total.parameters,
                multiply_adds=part_cost.multiply_adds,
                share_of_multiply_adds=part_cost.multiply_adds / total.multiply_adds,
                parameters_so_far=parameters / total.parameters,
            )
        )
    return tuple(rows)


def probe(name: str, plan: Plan) -> ProbeResult:
    """The capacity of the network of one run."""
    total, rows = cost(plan), capacity(plan)
    half = next(row for row in rows if row.parameters_so_far >= 0.5)
    return ProbeResult(
        question="capacity",
        title="parameters and multiply-adds along the depth",
        runs=(name,),
        images="no images",
        facts=(
            Fact(name="parameters", unit="parameters", value=total.parameters),
            Fact(name="multiply_adds", unit="multiply-adds of one image", value=total.multiply_adds),
            Fact(name="half_of_the_parameters_by", unit="convolutions and classifiers", value=half.depth),
        ),
        tables=(table("parts from the stem to the head", CapacityRow, rows),),
    )


def _parts(plan: Plan) -> Iterator[tuple[str, str, int, Cost]]:
    """Path, output shape, length and cost of the stem, each unit, and the head."""
    yield "stem", str(plan.stem[-1].output), passed(plan.stem), total_cost(plan.stem * plan.stems)
    for path, unit, price in unit_costs(plan):
        yield path, str(unit.output), _length(unit), price
    yield "head", str(plan.head[-1].output.channels), passed(plan.head), total_cost(plan.head * plan.heads)


def _length(unit: Unit) -> int:
    """Convolutions and classifiers on the longest path through the unit."""
    return max(
        passed(stream.first) + length + passed(stream.merged)
        for stream in unit.streams
        for length in body_lengths(stream)
    )
