"""What resatlas does on a GPU: `python -m resatlas.bench.gpu`, which benchmarks/gpu.sh calls.

Each section adds findings to one table, which is written after every finding; a section that fails is a finding, and
the next one begins. `--device cpu --small` tries the program itself where there is no GPU: its rates mean nothing.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from resatlas.analysis.probes import Fact
from resatlas.bench.gpu_sections import (
    LATE,
    Bench,
    Finding,
    exactness,
    graphs,
    inputs,
    memory,
    parity,
    quick,
    shared_statistics,
)
from resatlas.bench.gpu_training import training
from resatlas.bench.rows import Measured, check_out, environment_facts, write
from resatlas.training.execution import device_of
from resatlas.values.table import Column, Table
from resatlas.values.unforeseen import foreseen

SECONDS = 400.0
"""No section and no network begins after so many seconds."""

SECTIONS: Mapping[str, Callable[[Bench], Iterator[Finding]]] = {
    "parity with float64": parity,
    "exactness": exactness,
    "quick": quick,
    "input": inputs,
    "too little memory": memory,
    "shared statistics": shared_statistics,
    "CUDA graphs": graphs,
    "training steps": training,
}

COLUMNS = (Column("of", ""), Column("value", "", ".6g"), Column("unit", ""), Column("words", ""), Column("section", ""))

_NOTES = (
    "Steps: ours is the step of the training loop with all its checks, channels-last; a peer's is zero_grad, forward, "
    "loss, backward and a fused SGD, channels-last. Contenders take turns; rates are medians of the rounds. Share of "
    "the peak: 3 x multiply-adds x images/s over the rate of a product of matrices in the same precision; TF32 is off.",
    "A section that failed or found no time has words instead of a value. CUDA graphs hold the forward and the "
    "backward pass of one batch size; the step of the training loop does not use them, since it reads its numbers "
    "before it updates.",
)


def findings(bench: Bench, *, on_finding: Callable[[Sequence[Finding]], None]) -> list[Finding]:
    """The findings of all sections; `on_finding` receives those so far after each."""
    rows: list[Finding] = []
    for name, section in SECTIONS.items():
        if bench.late():
            rows.append(Finding(of="", words=LATE, section=name))
            continue
        try:
            for finding in section(bench):
                rows.append(finding._replace(section=name))
                on_finding(rows)
        except Exception as error:  # the next section can still be measured
            rows.append(Finding(of="", words=f"failed: {foreseen(error, doing=name)}", section=name))
        on_finding(rows)
    return rows


def measured(rows: Sequence[Finding], bench: Bench) -> Measured:
    """The findings as the result of a benchmark."""
    name = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else "processor"
    return Measured(
        question="gpu",
        title=f"On {name}" + (", small: a trial of the program, not a measurement" if bench.small else ""),
        rows=Table(title="Findings", columns=COLUMNS, rows=tuple(map(tuple, rows))),
        facts=(
            Fact(name="device", unit="", value=name),
            Fact(name="cuda, cudnn", unit="", value=f"{torch.version.cuda}, {torch.backends.cudnn.version()}"),
            *environment_facts(),
        ),
        notes=_NOTES,
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run all sections; 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description="measure resatlas on a GPU")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/gpu"), help="write OUT.json and OUT.md")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="where to compute (default: cuda)")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try the program (default: off)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"begin nothing later (default: {SECONDS:g})")
    options = parser.parse_args(words)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for --deterministic, before the first product
    check_out(options.out)
    until = time.monotonic() + options.seconds
    bench = Bench(device=device_of(options.device), small=options.small, until=until)
    rows = findings(bench, on_finding=lambda rows: write(measured(rows, bench), options.out))
    write(measured(rows, bench), options.out)
    failed = [finding for finding in rows if finding.words.startswith("failed")]
    print(json.dumps({"findings": len(rows), "failed": [f"{one.section}: {one.words}" for one in failed]}))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
