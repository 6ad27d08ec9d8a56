"""The sentences that a page leads with."""

from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.page.headlines import Headline, headlines
from resatlas.page.overview import charts
from resatlas.runs.collection import View
from resatlas.runs.store import Run
from tests.comparing.folders import DEEP, EQUAL, IMAGES, RECIPE, comparison_of, write_run, write_runs


def headlines_of(view: View, runs: list[Run]) -> tuple[Headline, ...]:
    """The headlines of a comparison of runs."""
    comparison = comparison_of(runs, view=view)
    return headlines(view, comparison, {figure.name: figure for figure in charts(view, comparison)})


def figure_names(found: tuple[Headline, ...]) -> list[str]:
    """The charts beside the headlines."""
    return [headline.figure.name for headline in found if headline.figure]


def test_depth_leads_with_the_largest_difference(tmp_path: Path) -> None:
    """The families at one depth by their names; then what their training losses do."""
    found = headlines_of("depth", write_runs(tmp_path, DEEP))
    assert figure_names(found) == ["error-over-depth", "loss-over-depth"]
    errors, losses = found
    assert errors.words.startswith("At depth 56, resnet has a test error of ")
    assert errors.certainty.startswith("The difference is ")
    assert errors.certainty.endswith(" by Holm over 3 pairs; 3 seeds per design.")
    assert losses.words == "With depth, the training loss of plain rises and that of resnet falls."
    assert "from 0.0681 at depth 8 to 1.41 at depth 56 (trend over 3 depths, p = " in losses.certainty


def test_chance_is_named(tmp_path: Path) -> None:
    """Without a significant pair, the sentence says so, and what could have been seen."""
    [headline] = headlines_of("budget", write_runs(tmp_path, EQUAL, random_seed=1))
    assert headline.words == "None of 15 compared pairs differs significantly in test error."
    assert headline.certainty == (
        "The largest difference, 1.76 points between resnet (1.11 %) and dilnet (2.87 %), may be due to chance. "
        "The smallest detectable difference is 4.26 to 9.92 points (80 % power). "
        "No significant difference in test error between the 6 designs (global F test, p = 0.083)."
    )


@pytest.mark.parametrize(
    ("parameters", "start"), [(84_000, "At equal multiply-adds, "), (900_000, "Regardless of cost, ")]
)
def test_an_equal_budget_is_a_condition(tmp_path: Path, parameters: int, start: str) -> None:
    """A claim at an equal budget needs designs of equal cost."""
    worse = replace(EQUAL[1][0], ease=-4.0, parameters=parameters, multiply_adds=30 * parameters)
    better = replace(EQUAL[0][0], parameters=84_000, multiply_adds=30 * 84_000)
    [headline] = headlines_of("budget", write_runs(tmp_path, [(better, 3), (worse, 3)]))
    assert headline.words.startswith(f"{start}resnet has a test error of ")


def test_one_design_has_its_own_error(tmp_path: Path) -> None:
    """With its interval over seeds, or a word on the single seed."""
    [several] = headlines_of("runs", write_runs(tmp_path / "a", [EQUAL[0]]))
    [single] = headlines_of("runs", write_runs(tmp_path / "b", [(EQUAL[0][0], 1)]))
    assert several.words.startswith("resnet has a test error of ")
    assert several.certainty.startswith("95 % interval of the mean over 3 seeds: ")
    assert single.certainty == "One seed only, so the spread over seeds is unknown."
    assert figure_names((several, single)) == ["training-loss"] * 2


def test_single_seeds_are_not_judged(tmp_path: Path) -> None:
    """The lowest and the highest error are named, and why there is no verdict."""
    [headline] = headlines_of("budget", write_runs(tmp_path, [(subject, 1) for subject, _ in EQUAL[:3]]))
    assert " has the lowest mean test error, " in headline.words
    assert headline.certainty.startswith("No verdict on test errors: ")


def test_other_images_have_no_chart(tmp_path: Path) -> None:
    """Errors on different images are not drawn beside a headline."""
    runs = [write_run(tmp_path / data, EQUAL[0][0], seed=0, wrong=[True], data=data) for data in ("a", "b")]
    [headline] = headlines_of("runs", runs)
    assert headline.words.startswith("No verdict: the runs are of several data sets")
    assert headline.figure is None


def test_sizes_of_one_kind_are_at_no_equal_budget(tmp_path: Path) -> None:
    """Two sizes differ in their budgets, however significantly their errors differ."""
    small, large = (
        replace(DEEP[k][0], parameters=size, multiply_adds=30 * size) for k, size in ((3, 9000), (5, 90_000))
    )
    [headline] = headlines_of("budget", write_runs(tmp_path, [(replace(small, ease=-4.0), 3), (large, 3)]))
    assert headline.words.startswith("Regardless of cost, ")


def test_another_recipe_may_be_the_cause(tmp_path: Path) -> None:
    """A difference between designs that also differ in their recipe is not said to be that of the designs."""
    runs = []
    for subject, count, recipe in ((EQUAL[0][0], 10, RECIPE), (EQUAL[1][0], 90, replace(RECIPE, batch=32))):
        for seed in range(3):
            wrong = [k < count + seed for k in range(IMAGES)]
            runs.append(write_run(tmp_path / f"{count}-{seed}", subject, seed=seed, wrong=wrong, recipe=recipe))
    [headline] = headlines_of("runs", runs)
    assert headline.certainty.endswith(" They also differ in recipe, so the design need not be the cause.")
