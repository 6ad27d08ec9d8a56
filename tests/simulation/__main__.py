"""`make simulate`: every table, or those that are named, printed and written into docs/decisions/0005."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.suite import SEEDS, TABLES, Table

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "0005-statistics-of-a-comparison.md"


def written(table: Table) -> str:
    """The table as Markdown."""
    within = f"at most {table.high:g}" if table.low == 0 else f"{table.low:g} to {table.high:g}"
    lines = [
        f"**{table.title}** (wanted: {within} %)",
        "",
        f"| setting | {' | '.join(f'{n} seeds' for n in SEEDS)} |",
        f"| --- |{' ---: |' * len(SEEDS)}",
        *(f"| {row.setting} | {' | '.join('' if x != x else f'{x:.1f}' for x in row.figures)} |" for row in table.rows),
    ]
    return "\n".join(lines)


def main(names: Sequence[str]) -> None:
    """Run the tables, and put each in its place on the page when it is done."""
    for name in names or TABLES:
        shown = written(TABLES[name]())
        print(shown, end="\n\n", flush=True)
        page = PAGE.read_text(encoding="utf-8")
        place = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(place.sub(lambda found: f"{found[1]}\n{shown}\n\n{found[2]}", page), encoding="utf-8")  # noqa: B023


if __name__ == "__main__":
    main(sys.argv[1:])
