"""What an export keeps: size, parity with float64, and the answers of int8, for each network of the package.

Each export is a command of its own, as a user gives it; its export.json has the figures.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.rows import Measured
from resatlas.errors import ExportError, UsageError
from resatlas.exporting.targets import Precision
from resatlas.values.table import Cell, Column, Table, words
from resatlas.weights.words import own_words

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

COLUMNS = (
    *words("network", "precision"),
    Column("size", "bytes"),
    Column("size_over_fp32", "1"),
    *(Column(name, "1") for name in ("difference", "torch_difference", "bound")),
    *(Column(name, "%") for name in ("error", "error_fp32")),
    *(Column(name, "images") for name in ("lost", "won", "tested")),
    *(Column(name, "points") for name in ("low", "high")),
)


def measure(options: Options, on_advance: Advance) -> Measured:  # noqa: ARG001 - it takes no designs
    """Every network of the package to ONNX in every precision.

    Raises: UsageError if the package has no networks; ExportError if one is refused.
    """
    networks = list(own_words())
    if not networks:
        raise UsageError("this installation has no networks of its own to export")
    rows: list[tuple[Cell, ...]] = []
    with TemporaryDirectory(prefix="resatlas-") as folder:
        for network in networks:
            exports: dict[Precision, dict[str, Any]] = {}
            for precision in PRECISIONS:
                exports[precision] = exported(network, precision, Path(folder) / f"{len(rows)}")
                rows.append(_row(network, precision, exports))
                on_advance("exports", len(rows), len(networks) * len(PRECISIONS))
    return Measured(
        question="export",
        title="Exports of the networks in the package to ONNX",
        rows=Table(title="Exports", columns=COLUMNS, rows=tuple(rows)),
        facts=(),
        notes=(
            "difference and torch_difference: the largest difference of a logit from float64, of the export and of "
            "torch's own float32, on 64 test images; bound: what is accepted. int8 computes otherwise, so its "
            "comparison is that of the graph before its conversion; its answers are compared on all test images with "
            "those of fp32: low and high bound the additional error with 95 % confidence.",
        ),
    )


def exported(network: str, precision: Precision, out: Path) -> dict[str, Any]:
    """The export.json of one command.

    Raises: ExportError with the last line of the command, if it fails.
    """
    command = ("export", network, "--precision", precision, "--out", str(out), "--json", "--offline")
    done = subprocess.run(  # noqa: S603 - the program itself
        [sys.executable, "-m", "resatlas", *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.splitlines() or ["it printed nothing"]
        raise ExportError(f"the export of {network} in {precision} has failed: {lines[-1]}")
    return json.loads(done.stdout)


def _row(network: str, precision: Precision, exports: dict[Precision, dict[str, Any]]) -> tuple[Cell, ...]:
    export = exports[precision]
    parity, int8 = export["parity"], export["int8"]
    answers: tuple[Cell, ...] = (None,) * 7
    if int8:
        errors = int8["error_percent"]
        answers = (errors["int8"], errors["fp32"], *(int8[name] for name in ("lost", "won", "images", "low", "high")))
    share = export["bytes"] / exports["fp32"]["bytes"]
    return (
        *(network, precision, export["bytes"], share),
        *(parity[name] for name in ("export", "torch_fp32", "bound")),
        *answers,
    )
