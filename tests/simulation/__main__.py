"""`make simulate`: compute all tables or those named, print them and write them into docs/decisions/0005."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.suite import SEEDS, TABLES, Table

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "0005-statistics-of-a-comparison.md"


def markdown(table: Table) -> str:
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
    """Compute the tables and write each into its place on the page as soon as it is finished."""
    for name in names or TABLES:
        shown = markdown(TABLES[name]())
        print(shown, end="\n\n", flush=True)
        page = PAGE.read_text(encoding="utf-8")
        place = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(place.sub(lambda match: f"{match[1]}\n{shown}\n\n{match[2]}", page), encoding="utf-8")  # noqa: B023


if __name__ == "__main__":
    main(sys.argv[1:])
