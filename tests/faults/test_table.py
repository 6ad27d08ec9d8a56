"""The tests in the table of proofs exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def names_in(file: Path) -> set[str]:
    """The tests of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_of_the_table_exists() -> None:
    """Every row has a test with a file and a name, and every number has a row."""
    table = (TESTS / "faults" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if re.match(r"\| \d+ ", line)]
    assert len(rows) > 15
    assert [row for row in rows if not NAMED.search(row)] == []
    assert [name for file, name in NAMED.findall(table) if name not in names_in(TESTS / file)] == []


def test_every_test_of_the_suite_is_in_the_table() -> None:
    """All tests here are in the table, except for tests of helpers."""
    named = set(NAMED.findall((TESTS / "faults" / "README.md").read_text(encoding="utf-8")))
    own = {(f"faults/{file.name}", name) for file in (TESTS / "faults").glob("test_*.py") for name in names_in(file)}
    untold = {name for file, name in own - named if file != "faults/test_table.py"}
    assert untold == {"test_the_trap_is_one"}
