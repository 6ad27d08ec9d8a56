"""Capacity: where parameters and multiply-adds sit along the depth; free of torch."""

from collections.abc import Iterator
from dataclasses import dataclass

from resatlas.analysis.answer import Answer, Fact
from resatlas.arch.cost import Cost, cost, total_cost, unit_cost
from resatlas.arch.paths import passed
from resatlas.arch.plan import Plan, Unit
from resatlas.values.table import of_unit, table


@dataclass(frozen=True, kw_only=True)
class CapacityRow:
    """One part of a network, from the stem to the head; `depth` counts what the longest path has passed behind it."""

    part: str = of_unit("")
    output: str = of_unit("")
    depth: int = of_unit("convolutions and classifiers")
    parameters: int = of_unit("parameters")
    share_of_parameters: float = of_unit("1")
    multiply_adds: int = of_unit("multiply-adds")
    share_of_multiply_adds: float = of_unit("1")
    parameters_so_far: float = of_unit("share of all")


def capacity(plan: Plan) -> tuple[CapacityRow, ...]:
    """Every part with its cost; all together cost what the plan does."""
    total, depth, spent = cost(plan), 0, 0
    rows: list[CapacityRow] = []
    for part, output, longer, own in _parts(plan):
        depth += longer
        spent += own.parameters
        rows.append(
            CapacityRow(
                part=part,
                output=output,
                depth=depth,
                parameters=own.parameters,
                share_of_parameters=own.parameters / total.parameters,
                multiply_adds=own.multiply_adds,
                share_of_multiply_adds=own.multiply_adds / total.multiply_adds,
                parameters_so_far=spent / total.parameters,
            )
        )
    return tuple(rows)


def answer(name: str, plan: Plan) -> Answer:
    """The capacity of one run's network."""
    total, rows = cost(plan), capacity(plan)
    half = next(row for row in rows if row.parameters_so_far >= 0.5)
    return Answer(
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
    yield "stem", str(plan.stem[-1].output), passed(plan.stem), total_cost(plan.stem * plan.stems)
    for path, unit in plan.units:
        yield path, str(unit.output), _longest(unit), unit_cost(unit)
    yield "head", str(plan.head[-1].output.channels), passed(plan.head), total_cost(plan.head * plan.heads)


def _longest(unit: Unit) -> int:
    """What the longest path through the unit passes."""
    return max(
        passed(stream.first) + passed(body) + passed(stream.merged) for stream in unit.streams for body in stream.bodies
    )
