"""What a page says about its conclusions depends on its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from resatlas.page import limits
from resatlas.page.leaders import leaders
from resatlas.runs.store import Run
from tests.comparing.folders import DEEP, EQUAL, comparison_of, edited, write_runs


def limits_of(runs: Sequence[Run], *dissected: str) -> Mapping[str, str]:
    """What the page shows and what it does not show, as text."""
    comparisons = [comparison_of(runs)]
    can, cannot = limits.can_show(comparisons, (), dissected), limits.cannot_show(comparisons, (), dissected)
    return {"can": "\n".join(can), "not": "\n".join(cannot)}


def test_differences_have_a_smallest_detectable_one(tmp_path: Path) -> None:
    """The page gives the smallest detectable difference, and how many pairs differ."""
    texts = limits_of(write_runs(tmp_path, DEEP[:6]))
    assert (
        "whether two designs with 3 seeds each differ in test error; smallest detectable difference 5" in texts["can"]
    )
    assert (
        "points (80 % power). 1 of 3 pairs differ significantly. If all designs were equal, at most 5 %" in texts["can"]
    )
    assert "That smaller differences are zero" in texts["not"]
    assert "one seed only" not in texts["not"]


def test_single_seeds_are_named(tmp_path: Path) -> None:
    """A few designs with one seed are all named, of many the first ones."""
    one = limits_of(write_runs(tmp_path / "one", [EQUAL[0], (EQUAL[1][0], 1)]))
    assert "How much the error of wide-resnet varies between seeds: it has one seed only, so no interval." in one["not"]
    many = limits_of(write_runs(tmp_path / "many", [(subject, 1) for subject, _ in DEEP]))
    assert "and 6 more varies between seeds: they have one seed only" in many["not"]
    assert (
        "That one design has a lower error than another: this needs two designs with at least two seeds" in many["not"]
    )
    assert "differ in test error" not in many["can"]


def test_uncertainty_due_to_few_test_images(tmp_path: Path) -> None:
    """One of 360 images is 0.28 points; 1.96·√(p(1 - p)/n) of an error of 1.1 % is about one point."""
    text = limits_of(write_runs(tmp_path, EQUAL, random_seed=1))["not"]
    assert (
        "with 360 test images, one image is 0.28 points, and other images of the same kind would change an error of "
        "1.1 % by about ±1 points"
    ) in text
    assert "The 13 writers of the test images also wrote training images, so errors are optimistic." in text


def test_departures_further_tests_and_probes_are_named(tmp_path: Path) -> None:
    """Departures of the recipe, further tests, and probes are mentioned only if there are some."""
    runs = write_runs(tmp_path, EQUAL[:2])
    before = limits_of(runs)
    for words in ("as published", "tested again", "inside of"):
        assert words not in before["not"] + before["can"]
    edited(runs[0].folder / "experiment.json", departures=["batch is 64 in place of 128"])
    (runs[0].folder / "predictions-flips.csv").write_text("")
    after = limits_of(runs, runs[0].name)
    assert "The results of the published recipes; these runs differ: batch is 64 in place of 128." in after["not"]
    assert "1 run were tested again" not in after["not"]
    assert "1 run was tested again in other ways" in after["not"]
    assert "The inside of 1 trained network. These results hold for these networks only." in after["can"]


def test_leaders_are_sorted_by_error_and_have_intervals(tmp_path: Path) -> None:
    """The lowest mean comes first; a single seed has no interval; recipes are named if there are several."""
    table = leaders(comparison_of(write_runs(tmp_path, [*EQUAL[:3], (EQUAL[3][0], 1)], random_seed=1)))
    means = [float(row[2].split(" ")[0]) for row in table.cells]
    assert means == sorted(means)
    assert [column.name for column in table.columns if not column.unit] == ["design"]
    for row in table.cells:
        if row[1] == "1":
            assert (row[3], "±" in row[2]) == ("–", False)
        else:
            low, high = map(float, row[3].split(" to "))
            assert low < float(row[2].split(" ")[0]) < high
