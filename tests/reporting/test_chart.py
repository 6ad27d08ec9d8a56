"""What the charts are made of."""

import json
from pathlib import Path
from typing import Any, get_args

import altair as alt
import pytest

from resatlas.reporting.chart import LOOKS, charts
from resatlas.runs.collection import View
from resatlas.runs.files import write_json
from resatlas.runs.store import Run
from tests.reporting.folders import DEEP, EQUAL, write_runs


def texts(spec: dict[str, Any]) -> str:
    """The specification as text, which a test may search."""
    return json.dumps(spec, allow_nan=False)


@pytest.fixture
def equal(tmp_path: Path) -> list[Run]:
    """Runs at an equal budget."""
    return write_runs(tmp_path, EQUAL, chance=1)


def test_each_view_has_its_charts(tmp_path: Path, equal: list[Run]) -> None:
    """The charts that answer the question stand first, the curves last; titles name units."""
    curves = ["Training loss, epoch by epoch", "Validation error, epoch by epoch"]
    expected: dict[View, list[str]] = {
        "depth": ["Training loss over depth", "Test error over depth", *curves],
        "budget": ["Test error in the last epoch", *curves],
        "runs": curves,
    }
    deep = write_runs(tmp_path / "deep", DEEP)
    for view in get_args(View):
        specs = charts(view, deep if view == "depth" else equal)
        assert [spec["title"]["text"] for spec in specs] == expected[view]
        assert all("cross-entropy" in texts(spec) or "%" in texts(spec) for spec in specs)
        assert [alt.Chart.from_dict(spec) for spec in specs]  # which validates against the schema
        assert charts(view, []) == ()


def test_points_are_the_results(equal: list[Run]) -> None:
    """A point a seed, rows in the table's order, and the smallest difference from the lowest mean."""
    spec = charts("budget", equal)[0]
    assert [row["value"] for row in spec["datasets"]["values"]] == [
        run.results["test"]["error_percent"] for run in equal
    ]
    (bar,) = spec["datasets"]["bars"]
    assert bar["from"] == pytest.approx(1.1111, abs=1e-4)
    assert bar["length"] == f"{bar['to'] - bar['from']:.2f} points" == "2.51 points"
    order = spec["layer"][1]["encoding"]["y"]["sort"]
    assert order == ["resnet", "wide-resnet", "resnext", "pyramidnet", "dmrnet", "dilnet", "smallest difference"]


def test_a_family_has_one_colour(equal: list[Run]) -> None:
    """In every chart, whichever families stand beside it."""
    for runs in (equal, equal[3:9]):
        for spec in charts("budget", runs):
            scales = [layer["encoding"].get("color", {}).get("scale") for layer in spec["layer"]]
            for scale in filter(None, scales):
                assert (
                    dict(zip(scale["domain"], scale["range"], strict=True)).items()
                    <= {family: colour for family, (colour, _) in LOOKS.items()}.items()
                )
    assert len({colour for colour, _ in LOOKS.values()}) == len(LOOKS)


def test_single_seeds_have_no_bar(tmp_path: Path) -> None:
    """Where nothing could be judged, nothing is drawn to judge by."""
    spec = charts("budget", write_runs(tmp_path, [(subject, 1) for subject, _ in EQUAL]))[0]
    assert "smallest difference" not in texts(spec)


def test_values_without_a_place_are_left_out(tmp_path: Path) -> None:
    """A loss that is not finite, or 0 on a log scale, breaks no chart."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    rows = [{**row, "train_loss": 0.0 if row["epoch"] == 1 else row["train_loss"]} for row in run.metrics]
    rows[1]["validation_error_percent"] = float("nan")
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(run.folder / "results.json", {**run.results, "train": {"loss": float("inf"), "error_percent": 90}})
    epochs = [[row["epoch"] for row in spec["datasets"]["values"]] for spec in charts("runs", [run])]
    assert epochs == [list(range(2, 13)), [1, *range(3, 13)]]
    assert charts("depth", [run])[0]["datasets"]["values"] == []


def test_equal_runs_give_equal_charts(equal: list[Run]) -> None:
    """No counter and no clock is in a specification."""
    assert charts("budget", equal) == charts("budget", equal)
