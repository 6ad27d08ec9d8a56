"""The growth of a step: points in their own processes, and exponents of powers."""

import json

import pytest

from resatlas.bench import contest, growth
from resatlas.bench.growth import Point, Series, exponents, fitted
from resatlas.bench.tasks import Ours
from resatlas.cli.main import main

SMALL = (
    Series(knob="depth", design="resnet:depth={},base=4", values=(8, 14), batch=4),
    Series(knob="batch", design="resnet:depth=8,base=4", values=(4, 256)),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small series, one thread."""
    monkeypatch.setattr(growth, "SERIES", SMALL)
    monkeypatch.setattr(contest, "cores", lambda: 1)


def test_points_and_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    """One row per point with measured and counted values; a larger batch takes more memory."""
    assert main(("bench", "--question", "growth", "--rounds", "3", "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["knob"], row["value"], row["batch"]) for row in rows] == [
        ("depth", 8, 4),
        ("depth", 14, 4),
        ("batch", 4, 4),
        ("batch", 256, 256),
    ]
    assert all(row["rounds"] == 3 and row["step_seconds"] > 0 and row["first_step_seconds"] > 0 for row in rows)
    few, many = rows[-2:]
    assert many["peak_memory_bytes"] > max(2 * few["peak_memory_bytes"], 256 * few["activations"])
    assert all(row["step_seconds_low"] <= row["step_seconds"] <= row["step_seconds_high"] for row in rows)
    assert many["multiply_adds"] == few["multiply_adds"] > rows[0]["parameters"]


def point(value: int) -> Point:
    """A point that grows as powers: time as the square, memory as the cube, the model linearly."""
    return Point(
        knob="depth",
        design="resnet",
        value=value,
        batch=2,
        step_seconds=0.5 * value**2,
        step_seconds_low=0.0,
        step_seconds_high=0.0,
        first_step_seconds=7.0,
        peak_memory_bytes=value**3,
        multiply_adds=10 * value,
        activations=3 * value,
        parameters=value,
        rounds=3,
    )


def test_exponents_are_those_of_powers() -> None:
    """The exponent b for a·x^b, with an interval of zero width; 0 for a constant; and the exponent of the model."""
    by_name = {exponent.measured: exponent for exponent in exponents([point(value) for value in (2, 5, 9, 30)])}
    assert by_name["step_seconds"].exponent == pytest.approx(2)
    assert (by_name["step_seconds"].low, by_name["step_seconds"].high) == pytest.approx((2, 2))
    assert by_name["peak_memory_bytes"].exponent == pytest.approx(3)
    assert by_name["first_step_seconds"].exponent == pytest.approx(0)
    assert all(exponent.model_exponent == pytest.approx(1) for exponent in by_name.values())


def test_the_interval_is_students() -> None:
    """Slope and interval of points off a line, as computed by hand; two points have no interval."""
    slope, half = fitted([1, 10, 100], [1, 100, 100])
    assert slope == pytest.approx(1)
    assert half == pytest.approx(12.7062 * 3**-0.5, rel=1e-4)
    assert fitted([1, 10], [1, 10]) == (pytest.approx(1), None)


def test_memory_is_the_increase_over_the_start() -> None:
    """A network of four million parameters needs weights, gradients and momenta: at least 48 MB."""
    task = Ours(designs=("resnet:depth=8,base=116",), batch=2, norm_group=None, precision="fp32")
    timed = growth.time_in_own_process(task, rounds=1)
    assert len(timed.others) == 1
    assert 3 * 4 * 4e6 < timed.memory < 400e6
