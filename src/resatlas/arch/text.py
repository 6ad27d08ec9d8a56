"""A plan as text, one line per unit: operations, output shape, cost."""

from collections.abc import Iterator

from resatlas.arch import ops
from resatlas.arch.cost import Cost, cost, total_cost, unit_cost
from resatlas.arch.plan import Chain, Plan, Stream, Unit, of_units, sliced
from resatlas.arch.streams import RULES
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned


def render(plan: Plan) -> str:
    """The plan as the text of its table."""
    return aligned(plan_table(plan))


def plan_table(plan: Plan) -> Table:
    """A row per unit: path, operations, output shape, parameters, multiply-adds; the last one is the total."""
    columns = (*words("path", "operations", "output"), *numbers("parameters", "multiply-adds"))
    parts = (*_parts(plan), ("total", "", "", cost(plan)))
    rows = tuple((*names, price.parameters, price.multiply_adds) for *names, price in parts)
    return Table(columns=columns, rows=rows)


def _parts(plan: Plan) -> Iterator[tuple[str, str, str, Cost]]:
    yield "stem", copies(plan.stem, plan.stems), str(plan.stem[-1].output), total_cost(plan.stem * plan.stems)
    for path, unit, (what, price) in of_units(plan, lambda unit: (operations(unit), unit_cost(unit))):
        times = f"{unit.outcomes} x " if unit.outcomes > 1 else ""
        yield path, what, f"{times}{unit.output}", price
    mean = "mean of " if plan.heads > 1 else ""
    head = f"{mean}{copies(plan.head, plan.heads)}"
    yield "head", head, str(plan.head[-1].output.channels), total_cost(plan.head * plan.heads)


def copies(chain: Chain, count: int) -> str:
    """The operations of a chain on one line, and its number of parallel copies."""
    return f"{count} x [{_chain(chain)}]" if count > 1 else _chain(chain)


def operations(unit: Unit) -> str:
    """The operations of a unit on one line: first operations, bodies, shortcut, operations after the sum."""
    stream = unit.streams[0]
    if stream.shortcut is None:
        shortcut = "no shortcut"
    else:
        source = "first" if stream.reads == "pre-activated" else "x"
        shortcut = f"+ {RULES[unit.skip].word}{_chain(stream.shortcut) or 'identity'}({source})"
    gate = f"{stream.gated} gated by {_chain(stream.gate)}(shortcut)" if stream.gate else ""
    parts = [
        f"first({_chain(stream.first)})" if stream.first else "",
        f"{stream.merge} of {_bodies(stream)}" if len(stream.bodies) > 1 else _chain(stream.bodies[0]),
        f"attention({_chain(stream.attention)})" if stream.attention else "",
        _chain(stream.merged),
        shortcut,
    ]
    whole = " ".join(part for part in parts if part)
    ends = [gate, f"{unit.join} streams" if unit.join else "", _chain(unit.after_sum)]
    whole = ", ".join([whole, *(end for end in ends if end)])
    return whole if unit.skip == "own" else f"{len(unit.streams)} x [{whole}]"


def _bodies(stream: Stream) -> str:
    """The bodies with their number; the last one of slices is another."""
    count, last = len(stream.bodies), stream.bodies[-1]
    if sliced(stream):
        return f"{count - 1} x ({_chain(stream.bodies[0])}) and {_chain(last) or 'identity'}"
    return f"{count} x ({_chain(last)})"


def _chain(chain: Chain) -> str:
    return " ".join(ops.words(layer.op, layer.output.channels) for layer in chain)
