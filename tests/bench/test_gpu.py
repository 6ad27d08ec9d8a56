"""The GPU benchmark, tried on the processor: each section says what it measures, and a failure ends only its own."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.bench import gpu, gpu_sections
from resatlas.bench.gpu_sections import Bench, Finding
from resatlas.training.loop import CPU
from tests.training import processes


class Forked:
    """A program that was forked, under the methods of Popen that the benchmark calls."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._program = processes.start(folder, *words)
        self._process = self._program.process

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """The exit code, at its end."""
        return self._program.ended().code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it lives."""
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, number)


def test_every_section_has_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parity, bits, rates and shares of the peak are there; what only a GPU has is said to be missing."""

    def started(words: list[str]) -> Forked:
        return Forked(words, tmp_path / "work")

    monkeypatch.setattr(gpu_sections, "started", started)
    assert gpu.main(["--device", "cpu", "--small", "--out", str(tmp_path / "gpu")]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert printed == {"findings": len(rows), "failed": []}
    assert {row["section"] for row in rows} == set(gpu.SECTIONS)
    of = {row["of"]: row for row in rows}
    assert all(row["value"] < 1e-5 for row in rows if row["section"] == "parity with float64")
    assert of["--deterministic, twice"]["words"] == "equal to the bit"
    assert of["stop and resume"]["words"] == "equal to the bit"
    assert of["SyncBatchNorm"]["words"].startswith("not measured")
    assert of["CUDA graphs"]["words"] == "not measured: only a GPU has them"
    steps = [row for row in rows if row["section"] == "training steps"]
    assert {row["unit"] for row in steps if row["value"]} == {"10¹² multiply-adds/s", "images/s", "% of the peak"}
    assert "a trial of the program, not a measurement" in (tmp_path / "gpu.md").read_text()


def test_a_section_that_fails_is_a_finding_and_time_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next section begins after a failure, and none after the time is over."""

    def failing(_: Bench) -> Iterator[Finding]:
        yield Finding(of="first", value=1.0)
        raise RuntimeError("CUDA error: out of memory")

    def working(_: Bench) -> Iterator[Finding]:
        yield Finding(of="second", value=2.0)

    monkeypatch.setattr(gpu, "SECTIONS", {"failing": failing, "working": working})
    bench = Bench(device=CPU, small=True)
    written: list[int] = []
    rows = gpu.findings(bench, on_finding=lambda rows: written.append(len(rows)))
    assert [(row.section, row.of, row.words[:6]) for row in rows] == [
        ("failing", "first", ""),
        ("failing", "", "failed"),
        ("working", "second", ""),
    ]
    assert written == [1, 2, 3, 3]
    late = gpu.findings(replace(bench, until=-1.0), on_finding=lambda _: None)
    assert [row.words for row in late] == ["not measured: no time left"] * 2
