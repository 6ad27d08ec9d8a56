"""Whether figures can be quoted: on a machine with other work, rounds differ so much that a ratio says nothing."""

from collections.abc import Iterable, Iterator

from resatlas.values.table import Table

MOST_SPREAD = 1.5
"""The largest upper quartile over the lower one with which a figure can be quoted. Ours: beyond it, a change of 1.2
times, which the benchmarks are made to show, is lost."""


def unsteady(tables: Iterable[Table]) -> Iterator[tuple[float, str]]:
    """(upper over lower quartile, figure) of each figure beyond `MOST_SPREAD`.

    A column x has quartiles if there are x_low and x_high beside it.
    """
    for table in tables:
        places = {column.name: k for k, column in enumerate(table.columns)}
        for name in places:
            if not {f"{name}_low", f"{name}_high"} <= places.keys():
                continue
            for row in table.rows:
                low, high = row[places[f"{name}_low"]], row[places[f"{name}_high"]]
                if isinstance(low, int | float) and isinstance(high, int | float) and high > MOST_SPREAD * low:
                    yield high / low if low else float("inf"), f"{name} of {row[0]}"


def warning(tables: Iterable[Table], *, load: float, foreign: float | None) -> str | None:
    """The sentence that says that figures cannot be quoted; None if all can.

    It names the load of the machine before, and the share of the cores that other programs took, if that is known.
    """
    found = sorted(unsteady(tables), reverse=True)
    if not found:
        return None
    (most, worst), *_ = found
    figures = "1 figure spreads" if len(found) == 1 else f"{len(found)} figures spread"
    others = "" if foreign is None else f"other programs took {100 * foreign:.0f} % of the cores meanwhile, and "
    return (
        f"not to be quoted: {figures} by more than {MOST_SPREAD} times between the quartiles of the rounds, {worst} by "
        f"{most:.3g}; {others}the load of the machine was {load:.2f} before: measure again when nothing else runs"
    )
