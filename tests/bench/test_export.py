"""The benchmark of exports: a row for each precision, from what the commands report."""

from pathlib import Path
from typing import Any

import pytest

from resatlas.bench import export
from resatlas.bench.benchmarks import Options
from resatlas.bench.rows import to_json
from resatlas.errors import ExportError, UsageError

INT8 = {"error_percent": {"fp32": 9.5, "int8": 9.25}, "lost": 1, "won": 2, "images": 400, "low": -1.0, "high": 0.5}


def test_every_precision_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are over that of fp32; answers are those of int8 alone."""

    def exported(_network: str, precision: str, _out: Path) -> dict[str, Any]:
        parity = {"export": 2e-7, "torch_fp32": 1e-7, "bound": 5e-7}
        return {
            "bytes": {"fp32": 1000, "fp16": 550, "int8": 400}[precision],
            "parity": parity,
            "int8": INT8 if precision == "int8" else None,
        }

    monkeypatch.setattr(export, "own_words", lambda: {"resatlas/a": Path("a"), "resatlas/b": Path("b")})
    monkeypatch.setattr(export, "exported", exported)
    advances: list[int] = []
    rows = to_json(export.measure(Options(), lambda _, done, _total: advances.append(done)))["rows"]
    assert [(row["network"], row["precision"], row["size_over_fp32"]) for row in rows] == [
        (f"resatlas/{name}", precision, share)
        for name in "ab"
        for precision, share in (("fp32", 1.0), ("fp16", 0.55), ("int8", 0.4))
    ]
    assert (rows[2]["error"], rows[2]["error_fp32"], rows[2]["lost"], rows[2]["high"]) == (9.25, 9.5, 1, 0.5)
    assert rows[0]["lost"] is None
    assert advances == [1, 2, 3, 4, 5, 6]


def test_what_cannot_be_exported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line of the command; and a package without networks."""
    with pytest.raises(ExportError, match="the export of resatlas/none in fp32 has failed: UnknownName: "):
        export.exported("resatlas/none", "fp32", tmp_path / "out")
    monkeypatch.setattr(export, "own_words", dict)
    with pytest.raises(UsageError, match="no networks of its own"):
        export.measure(Options(), lambda *_: None)
