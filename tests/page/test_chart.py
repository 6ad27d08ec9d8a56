"""The specifications of the charts."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import altair as alt
import pytest

from resatlas.designs.catalog import FAMILIES
from resatlas.page.curves import curves
from resatlas.page.figure import Figure
from resatlas.page.overview import charts
from resatlas.recipes import schedule
from resatlas.runs.collection import View
from resatlas.runs.store import Run
from tests.comparing.folders import DEEP, EQUAL, comparison_of, edited, seal, write_runs


def texts(spec: dict[str, Any]) -> str:
    """The specification as text."""
    return json.dumps(spec, allow_nan=False)


def charts_of(view: View, runs: list[Run]) -> dict[str, Figure]:
    """The charts by their names."""
    return {figure.name: figure for figure in charts(view, comparison_of(runs, view=view))}


def set_rates(run: Run, rates: list[float]) -> None:
    """Set the learning rate of each epoch of a run."""
    rows = [{**row, "learning_rate": rate} for row, rate in zip(run.metrics, rates, strict=False)]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(run.folder)


@pytest.fixture
def equal(tmp_path: Path) -> list[Run]:
    """Runs at an equal budget."""
    return write_runs(tmp_path, EQUAL, random_seed=1)


def test_each_view_has_its_charts(tmp_path: Path, equal: list[Run]) -> None:
    """The charts of the view come first, the curves last; titles have units, and the schema accepts all charts."""
    budgets = ["error-over-parameters", "error-over-multiply-adds", "error-over-seconds"]
    curves = ["training-loss", "validation-error", "learning-rate"]
    shared = ["test-error", *budgets, *curves]
    expected: dict[View, list[str]] = {
        "depth": ["error-over-depth", "loss-over-depth", *shared],
        "budget": shared,
        "runs": shared,
    }
    deep = write_runs(tmp_path / "deep", DEEP)
    for view in get_args(View):
        figures = charts_of(view, deep if view == "depth" else equal)
        assert list(figures) == expected[view]
        for figure in figures.values():
            assert figure.title == figure.spec["title"]["text"]
            assert any(unit in texts(figure.spec) for unit in ("cross-entropy", "%", "rate"))
            assert alt.Chart.from_dict(figure.spec)  # which validates against the schema
    assert list(charts_of("runs", equal[:3])) == curves


def test_points_are_the_results_and_lines_the_intervals(equal: list[Run]) -> None:
    """The chart has a point per seed, the lowest mean first, and the intervals of compare, which end at 0."""
    spec = charts_of("budget", equal)["test-error"].spec
    errors = [run.record().written["test"]["error_percent"] for run in equal]
    assert sorted(row["value"] for row in spec["datasets"]["values"]) == sorted(errors)
    order = spec["encoding"]["y"]["sort"]
    assert order[0] == "resnet"
    assert order[-1] == "dilnet"
    for interval in spec["datasets"]["intervals"]:
        assert 0 <= interval["from"] < interval["mean"] < interval["to"]
    mean = sum(errors[:3]) / 3
    half = 4.302653 * (sum((error - mean) ** 2 for error in errors[:3]) / 2 / 3) ** 0.5  # t of 2 degrees of freedom
    [resnet] = [interval for interval in spec["datasets"]["intervals"] if interval["group"] == "resnet"]
    assert (resnet["to"], resnet["mean"]) == (pytest.approx(mean + half), pytest.approx(mean))


def test_budgets_are_those_of_the_runs(equal: list[Run]) -> None:
    """Budgets are parameters and multiply-adds of the network, and seconds of a training."""
    figures = charts_of("budget", equal)
    for budget, key in (("parameters", "parameters"), ("multiply-adds", "multiply_adds"), ("seconds", "seconds")):
        amounts = {row["group"]: row["amount"] for row in figures[f"error-over-{budget}"].spec["datasets"]["values"]}
        assert amounts == {run.record().written["family"]: run.record().written[key] for run in equal}


def test_scales_fit_the_data(tmp_path: Path) -> None:
    """Errors have a linear scale, also where a network does not train; losses an unrounded logarithmic one."""
    figures = charts_of("depth", write_runs(tmp_path, DEEP))
    assert "log" not in texts(figures["test-error"].spec) + texts(figures["error-over-depth"].spec)
    scale = figures["loss-over-depth"].spec["layer"][0]["encoding"]["y"]["scale"]
    assert (scale["type"], scale["nice"]) == ("log", False)


def test_a_family_has_one_colour(equal: list[Run]) -> None:
    """Its colour is the same in every chart, whatever other families it has."""
    known = {name: family.colour for name, family in FAMILIES.items()}
    for runs in (equal, equal[3:9]):
        for figure in charts_of("budget", runs).values():
            scale = figure.spec["encoding"]["color"]["scale"]
            assert dict(zip(scale["domain"], scale["range"], strict=True)).items() <= known.items()


def test_designs_of_a_family_have_different_dashes(tmp_path: Path) -> None:
    """The deepest design has a solid line."""
    runs = write_runs(tmp_path, [(subject, 1) for subject, _ in DEEP[:4]])
    spec = charts_of("runs", runs)["training-loss"].spec
    [dashes] = [layer["encoding"]["strokeDash"] for layer in spec["layer"] if "strokeDash" in layer["encoding"]]
    dash_of = dict(zip(dashes["scale"]["domain"], map(tuple, dashes["scale"]["range"]), strict=True))
    assert dash_of["plain 56"] == dash_of["resnet"] == (1, 0)
    assert len({dash_of[f"plain {depth}"] for depth in (8, 20, 56)}) == 3


def test_legends_filter_and_points_have_tooltips(equal: list[Run]) -> None:
    """Every chart with a legend can be filtered, and every chart has tooltips."""
    for figure in charts_of("budget", equal).values():
        assert '"tooltip"' in texts(figure.spec)
        filters = [layer["params"][0]["bind"] for layer in figure.spec["layer"] if "params" in layer]
        assert filters == ([] if figure.name == "test-error" else ["legend"])


@pytest.mark.parametrize(
    ("rates", "drops", "words"),
    [
        ([0.1] * 4 + [0.01] * 4 + [0.001] * 4, [5, 9], "the learning rate drops (5, 9)"),
        ([0.1] * 12, [], "the learning rate is 0.1 throughout"),
        ([0.1 - 0.008 * k for k in range(12)], [], "the learning rate falls from 0.1 to 0.012"),
        ([0.063, 0.0976, 0.08, 0.05, 0.01], [], "the learning rate rises from 0.063 to 0.0976, then falls to 0.01"),
        ([0.01, 0.02, 0.03, 0.03], [], "the learning rate rises from 0.01 to 0.03"),
        ([0.01, 0.1] * 6, [], "the learning rate varies between 0.01 and 0.1"),
        ([0.01] + [0.1] * 6 + [0.02] * 5, [8], "the learning rate drops (8)"),
    ],
    ids=["steps", "level", "falling", "risen", "rising", "cyclic", "warm-up"],
)
def test_drops_of_the_learning_rate_are_marked(
    tmp_path: Path, rates: list[float], drops: list[int], words: str
) -> None:
    """A drop after a constant rate is marked; other changes are described in words."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    set_rates(runs[0], rates)
    for name in ("training-loss", "validation-error"):
        spec = charts_of("runs", runs)[name].spec
        assert [row["epoch"] for row in spec["datasets"].get("drops", [])] == drops
        assert words in spec["description"]
        assert alt.Chart.from_dict(spec)


def test_values_that_cannot_be_drawn_are_left_out(tmp_path: Path) -> None:
    """A loss of 0 on a log scale, or a missing loss, is left out of the chart."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    rows = [{**row, "train_loss": 0.0 if row["epoch"] == 1 else row["train_loss"]} for row in run.metrics]
    rows[1]["validation_error_percent"] = None
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    edited(run.folder / "results.json", train={"loss": 0.0, "error_percent": 90, "images": 10})
    figures = charts_of("depth", [run])
    curves = ("training-loss", "validation-error")
    epochs = [[row["epoch"] for row in figures[name].spec["datasets"]["values"]] for name in curves]
    assert epochs == [list(range(2, 13)), [1, *range(3, 13)]]
    assert figures["loss-over-depth"].spec["datasets"]["values"] == []


def test_what_was_not_measured_has_no_chart(tmp_path: Path) -> None:
    """Without validation images there is no curve of them."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    rows = [{key: value for key, value in row.items() if not key.startswith("valid")} for row in run.metrics]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(run.folder)
    assert list(charts_of("runs", [run])) == ["training-loss", "learning-rate"]


def test_the_learning_rate_is_drawn_step_by_step(tmp_path: Path) -> None:
    """From the schedule: 200 steps or a few more; a plateau's rate is known for the ends of epochs only."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    values = charts_of("runs", [run])["learning-rate"].spec["datasets"]["values"]
    recipe, steps = run.record().experiment.recipe, run.metrics[-1]["step"]
    assert len(values) > len(run.metrics)
    assert (values[0]["epoch"], values[0]["value"]) == (0, schedule.rate(recipe.schedule, Fraction(0)))
    late = values[-1]
    share = Fraction(round(late["epoch"] * steps / recipe.epochs), steps)
    assert late["value"] == schedule.rate(recipe.schedule, share)


def test_a_rate_that_depends_on_errors_is_drawn_as_it_was(tmp_path: Path) -> None:
    """At the ends of epochs, from the rows of the run, under a title that says so."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    group = comparison_of([run], view="runs").question.groups[0]
    plateau = replace(group.experiment.recipe, schedule=schedule.Plateau(peak=Fraction(1, 10), patience=3))
    figure = curves([replace(group, experiment=replace(group.experiment, recipe=plateau))])[-1]
    assert figure.title == "Learning rate, epoch by epoch"
    assert [row["epoch"] for row in figure.spec["datasets"]["values"]] == [row["epoch"] for row in run.metrics]


def test_the_norm_of_the_gradient_is_drawn(tmp_path: Path) -> None:
    """Where the rows of the epochs have it."""
    (run,) = write_runs(tmp_path, [(EQUAL[0][0], 1)])
    rows = [{**row, "gradient_norm": 1 / row["epoch"], "largest_gradient_norm": 2.0} for row in run.metrics]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seal(run.folder)
    values = charts_of("runs", [run])["gradient-norm"].spec["datasets"]["values"]
    assert [row["value"] for row in values] == [1 / row["epoch"] for row in rows]


def test_equal_runs_give_equal_charts(equal: list[Run]) -> None:
    """No counter and no clock is in a specification."""
    assert charts_of("budget", equal) == charts_of("budget", equal)
