"""The charts of a factorial analysis hold its numbers."""

import math
from collections.abc import Mapping
from dataclasses import replace

import altair as alt
import numpy as np
import pytest

from resatlas.comparing.effects import effects_of
from resatlas.comparing.factorial import Factorial, factorial
from resatlas.page.effects_charts import charts, drawn_pairs
from resatlas.page.effects_text import remarks
from resatlas.page.figure import Figure
from tests.comparing.planted import CELLS, DISTINCT, SEEDS, write_factorial


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Factorial:
    """The analysis of a study with planted effects."""
    return factorial(write_factorial(tmp_path_factory.mktemp("planted"), designs=DISTINCT))


@pytest.fixture(scope="module")
def figures(analysis: Factorial) -> Mapping[str, Figure]:
    """Its charts by their names."""
    return {figure.name: figure for figure in charts(analysis)}


def with_values(analysis: Factorial, values: np.ndarray) -> Factorial:
    """The analysis of other responses in the same cells, as many blocks as they have columns."""
    seeds = tuple(range(values.shape[1]))
    return replace(analysis, values=values, seeds=seeds, effects=effects_of(analysis.levels, values))


def test_every_chart_follows_the_schema_and_stands_alone(figures: Mapping[str, Figure]) -> None:
    """The order is that of the page; each description has the title and says what is drawn; each has tooltips."""
    assert list(figures) == ["effects", "half-normal", "interaction-streams-unit", "residuals"]
    for figure in figures.values():
        assert alt.Chart.from_dict(figure.spec)
        assert figure.spec["description"].startswith(f"{figure.title}: ")
        assert len(figure.spec["description"]) > len(figure.title) + 60
        assert any("tooltip" in layer.get("encoding", {}) for layer in figure.spec["layer"])


def test_main_effects_are_above_interactions(analysis: Factorial, figures: Mapping[str, Figure]) -> None:
    """Each effect has its estimate and its interval; the two planted ones are filled."""
    spec = figures["effects"].spec
    rows = spec["datasets"]["effects"]
    for row, effect in zip(rows, analysis.effects.effects, strict=True):
        assert (row["effect"], row["estimate"]) == (effect.name, effect.estimate)
        assert row["from"] < row["estimate"] < row["to"]
    assert [row["order"] for row in rows] == ["main effect"] * 3 + ["interaction"] * 3
    assert [row["effect"] for row in rows if row["significant"]] == ["widths", "streams x unit"]
    assert spec["layer"][1]["encoding"]["y"]["sort"] == [row["effect"] for row in rows]
    assert spec["layer"][0]["encoding"]["x"]["title"] == "effect on the logit of the test error"


def test_the_half_normal_plot_has_lenths_margins(analysis: Factorial, figures: Mapping[str, Figure]) -> None:
    """Sizes rise with the quantiles; the line of noise has the slope of Lenth's error; large effects are named."""
    data = figures["half-normal"].spec["datasets"]
    assert [row["size"] for row in data["effects"]] == sorted(abs(e.estimate) for e in analysis.effects.effects)
    assert [row["quantile"] for row in data["effects"]] == sorted(row["quantile"] for row in data["effects"])
    assert [row["label"] for row in data["effects"]] == ["", "", "", "", "streams x unit", "widths"]
    lenth = analysis.effects.lenth
    assert [row["size"] for row in data["margins"]] == [lenth.margin, lenth.simultaneous]
    start, end = data["noise"]
    assert start == {"quantile": 0, "size": 0}
    assert end["size"] == pytest.approx(lenth.error * end["quantile"])


def test_an_interaction_has_the_four_means(analysis: Factorial, figures: Mapping[str, Figure]) -> None:
    """They are means over the cells of two levels, on the scale of the response and in percent; the lines cross."""
    rows = figures["interaction-streams-unit"].spec["datasets"]["means"]
    means = {(row["level"], row["line"]): row["mean"] for row in rows}
    both = [k for k, cell in enumerate(CELLS) if cell[1:] == "+-"]
    assert means["two (+)", "unit: post (-)"] == pytest.approx(analysis.values[both].mean())
    assert means["one (-)", "unit: post (-)"] < means["one (-)", "unit: pre (+)"]
    assert means["two (+)", "unit: post (-)"] > means["two (+)", "unit: pre (+)"]
    for row in rows:
        assert row["natural"] == pytest.approx(100 / (1 + math.exp(-row["mean"])))


def test_the_two_largest_interactions_are_drawn_if_none_is_significant(analysis: Factorial) -> None:
    """The significant ones alone, if there are some."""
    assert drawn_pairs(analysis) == (("streams", "unit"),)
    noise = np.random.default_rng(0).normal(size=(8, 3))
    by_noise = with_values(analysis, noise)
    sizes = {effect.factors: abs(effect.estimate) for effect in by_noise.effects.effects if len(effect.factors) > 1}
    assert list(drawn_pairs(by_noise)) == sorted(sizes, key=lambda pair: -sizes[pair])[:2]


def test_residuals_are_in_standard_deviations(analysis: Factorial, figures: Mapping[str, Figure]) -> None:
    """A point for each run; they add up to 0 in every block, and their squares to the degrees of freedom."""
    rows = figures["residuals"].spec["datasets"]["residuals"]
    assert len(rows) == len(CELLS) * len(SEEDS)
    for seed in SEEDS:
        assert sum(row["residual"] for row in rows if row["seed"] == seed) == pytest.approx(0, abs=1e-9)
    assert sum(row["residual"] ** 2 for row in rows) == pytest.approx(analysis.effects.degrees)
    largest = max(rows, key=lambda row: abs(row["residual"]))
    assert abs(largest["residual"]) == pytest.approx(abs(analysis.effects.checks.largest))
    assert {row["design"] for row in rows} == set(DISTINCT.values())


def test_a_model_that_fits_every_value_has_no_residuals(analysis: Factorial) -> None:
    """Four cells of two factors in one block are fitted exactly; rounding errors are not drawn or tested."""
    half = [k for k, cell in enumerate(CELLS) if cell[0] == "-"]
    levels = {name: tuple(analysis.levels[name][k] for k in half) for name in ("streams", "unit")}
    values = np.array([[0.1], [0.2], [0.4], [0.30001]])
    saturated = replace(
        analysis,
        factors=analysis.factors[1:],
        levels=levels,
        cells=tuple(replace(analysis.cells[k], levels=analysis.cells[k].levels[1:]) for k in half),
        seeds=(0,),
        values=values,
        effects=effects_of(levels, values),
    )
    assert saturated.effects.checks.normal_p == 1
    assert list(remarks(saturated))[-2:] == [
        "one block: the standard error of an effect is Lenth's pseudo standard error",
        "no residuals are left, since the model has as many terms as there are cells",
    ]
    assert [figure.name for figure in charts(saturated)] == ["effects", "half-normal", "interaction-streams-unit"]


def test_ranks_have_no_percent(analysis: Factorial) -> None:
    """Where ranks replace values, a mean has no unit of the test error, and the axis says rank."""
    ranked = replace(analysis, scale="ranks")
    figure = next(figure for figure in charts(ranked) if figure.name.startswith("interaction"))
    assert all("natural" not in row for row in figure.spec["datasets"]["means"])
    assert figure.spec["encoding"]["y"]["title"] == "mean rank of the test error in its block"
    assert alt.Chart.from_dict(figure.spec)
