"""What docs/classifying-page.md shows, works as it says."""

import re
from pathlib import Path

import pytest

from resatlas.exporting.page.plain_engine import MOST_MULTIPLY_ADDS
from tests.training.small import carried_out

TEXT = (Path(__file__).parents[2] / "docs" / "classifying-page.md").read_text(encoding="utf-8")


def test_the_example_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints three numbers, the first of them the bytes of the file."""
    carried_out(tmp_path / "runs" / "x")
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)
    exec(compile(code, "classifying-page.md", "exec"), {})  # noqa: S102 - it is ours
    size, multiply_adds, difference = capsys.readouterr().out.split()
    assert int(size) == (tmp_path / "classify.html").stat().st_size
    assert int(multiply_adds) > 0
    assert float(difference) < 1e-4


def test_the_limit_is_that_of_the_program() -> None:
    """In the words of the text."""
    assert f"{MOST_MULTIPLY_ADDS // 10**6} million per image" in TEXT
