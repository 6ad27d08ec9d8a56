"""`resatlas bench` from end to end, on networks and batches so small that it takes seconds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from resatlas.bench import ceiling, contest, crew, training
from resatlas.bench.crew import Contender
from resatlas.bench.stopwatch import geometric_mean
from resatlas.bench.tasks import Task
from resatlas.cli.main import main
from tests.oracles.peers import library

SMALL = ("--batch", "8", "--rounds", "2")

CONTRACT = ("design", "images_per_second", "peer_default_images_per_second", "peer_tuned_images_per_second")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one step, two cores, one thread each, since tests share them, and a peak of small convolutions."""
    library("pytorchcv")
    monkeypatch.setattr(crew, "CALL_SECONDS", 1e-9)
    monkeypatch.setattr(ceiling, "SHAPES", ((16, 8, 2),))
    monkeypatch.setattr(contest, "cores", lambda: 2)
    monkeypatch.setattr(training, "in_one_process", one_thread)


def one_thread(task: Task, _setting: contest.Setting) -> Contender:
    """A process of one thread."""
    return Contender(task=task, processes=1, threads=1)


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """The rows that the verb prints."""
    assert main(("bench", *words, "--json")) == 0
    return json.loads(capsys.readouterr().out)


def test_a_network_against_its_peer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The columns of the contract, numbers that agree with each other, and both files with the same rows."""
    out = tmp_path / "tables" / "training"
    [row] = bench(capsys, "resnet-8-B", "--against", "pytorchcv", *SMALL, "--out", str(out))
    assert list(row) == [column.name for column in training.COLUMNS]
    assert row["design"] == "resnet-8-B"
    rates = [row[name] for name in CONTRACT[1:]]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert row["images_per_second"] == max(row["one_process_images_per_second"], row["together_images_per_second"])
    fastest = max(("default", "tuned", "tuned_together"), key=lambda name: row[f"peer_{name}_images_per_second"])
    if fastest != "tuned_together":
        assert row["over_best"] == row[f"over_{fastest}"]
    elif row["processes"] > 1:
        assert row["over_best"] == row["together_over_tuned_together"]
    assert row["parameters"] == row["peer_parameters"]
    assert (row["batch"], row["rounds"], row["peer_bn_group"]) == (8, 2, 8)
    assert row["bn_group"] * row["processes"] == 8
    assert sum(row[f"{group}_percent"] for group in (*training.GROUPS, "other")) == pytest.approx(100)
    assert row["twins_images_per_second"] is row["peer_compiled_images_per_second"] is None
    written = json.loads(out.with_suffix(".json").read_text())
    assert written["rows"] == [row]
    [peak] = [fact["value"] for fact in written["facts"] if fact["name"] == f"peak in {row['precision']}"]
    share = 100 * 3 * row["multiply_adds"] * row["images_per_second"] / (peak * 1e9)
    assert row["share_of_peak_percent"] == pytest.approx(share)
    assert "| resnet-8-B | pytorchcv get\\_resnet\\_cifar(blocks=8, bottleneck=False) |" in (
        out.with_suffix(".md").read_text()
    )


def test_streams_against_twins_and_a_network_without_rival(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DMRNet competes with twins, since no library has it; option A has no rival. One core runs one process."""
    monkeypatch.setattr(contest, "cores", lambda: 1)
    assert main(("bench", "dmrnet-8", "resnet-8", *SMALL)) == 0
    out = capsys.readouterr().out
    assert "dmrnet-8: no library has it; its twins are resnet-8-B and resnet-8-B" in out
    assert 'resnet-8: pytorchcv has no network "resnet-8"' in out
    tables = out.partition("peer default: float32")[0]
    assert "twins" in tables
    assert "peer default" not in tables
    assert "together" not in tables


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resnet-20", "--against", "pytorchcv"), 'pytorchcv has no network "resnet-20"'),
        (("resnet-20-B", "--batch", "3"), "--batch must be at least 4, two images for each of 2 cores; got 3"),
        (("resnet-20-B", "--norm-group", "65"), "--norm-group must be at most 64"),
    ],
)
def test_refusals_come_before_anything_is_measured(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, exit code 2, and no process is started."""
    monkeypatch.delattr(crew, "FORKED")
    assert main(("bench", *words)) == 2
    assert message in capsys.readouterr().err


def test_the_fastest_contender_is_among_those_that_took_part() -> None:
    """By its median, not by its best round; without one there is no ratio."""
    rates = {"ours": (10.0, 10.0, 12.0), "tuned": (5.0, 5.0, 9.0), "tuned together": (6.0, 6.0, 6.0)}
    result = contest.Contest(rates=rates, best="ours", shares={})
    assert result.fastest(("default", "tuned", "tuned together")) == "tuned together"
    assert result.fastest(("default",)) is None
    assert result.ratio("ours", None) is None


def test_means_are_over_those_that_have_a_peer() -> None:
    """Networks without a ratio are skipped; a single ratio has no mean."""
    names = dict.fromkeys(training.RATIOS)
    rows = [
        {"design": "a", **names, "over_tuned": 2.0, "over_default": 5.0},
        {"design": "b", **names, "over_tuned": 0.5},
        {"design": "c", **names},
    ]
    [fact] = training.means(rows)
    assert (fact.name, fact.value) == ("over_tuned, geometric mean of 2 networks", geometric_mean([2.0, 0.5]))
