"""What a page says that it cannot show follows from its runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from resatlas.page import limits
from resatlas.page.leaders import leaders
from resatlas.runs.store import Run
from tests.comparing.folders import DEEP, EQUAL, comparison_of, edited, write_runs


def said(runs: Sequence[Run], *dissected: str) -> Mapping[str, str]:
    """What can and what cannot be shown, as text."""
    answers = [comparison_of(runs)]
    return {"can": "\n".join(limits.shown(answers, dissected)), "not": "\n".join(limits.hidden(answers, dissected))}


def test_differences_are_said_with_their_chance(tmp_path: Path) -> None:
    """From how many points on, and how many were found."""
    found = said(write_runs(tmp_path, DEEP[:6]))
    assert (
        "points and more between two designs of 3 seeds each, detected with 80 % power. Found: 1 in 3 pairs"
        in found["can"]
    )
    assert "That a smaller difference is zero" in found["not"]
    assert "single" not in found["not"]


def test_single_seeds_are_named(tmp_path: Path) -> None:
    """Each of a few, of many the first."""
    one = said(write_runs(tmp_path / "one", [EQUAL[0], (EQUAL[1][0], 1)]))
    assert "another seed would be from wide-resnet: it has a single one" in one["not"]
    many = said(write_runs(tmp_path / "many", [(subject, 1) for subject, _ in DEEP]))
    assert "and 6 more: they have a single one" in many["not"]
    assert "That any design errs less than another: it takes two designs of two seeds" in many["not"]
    assert "differences in test error" not in many["can"]


def test_few_test_images_are_said(tmp_path: Path) -> None:
    """One of 360 is 0.28 points; 1.96·√(p(1 - p)/n) of an error of 1.1 % is about one point."""
    found = said(write_runs(tmp_path, EQUAL, random_seed=1))["not"]
    assert (
        "360 were used, one is 0.28 points, and with others of their kind an error of 1.1 % would move by about ±1"
        in found
    )
    assert "The 13 writers of the test images also wrote training images, so errors are optimistic." in found


def test_what_was_done_otherwise_is_said(tmp_path: Path) -> None:
    """Departures of the recipe, further tests, and questions to single nets, each only where there are some."""
    runs = write_runs(tmp_path, EQUAL[:2])
    before = said(runs)
    for words in ("as they were published", "tested again", "inside"):
        assert words not in before["not"] + before["can"]
    edited(runs[0].folder / "experiment.json", departures=["batch is 64 in place of 128"])
    (runs[0].folder / "predictions-flips.csv").write_text("")
    after = said(runs, runs[0].name)
    assert "The recipes as they were published: here batch is 64 in place of 128." in after["not"]
    assert "1 run were tested again" not in after["not"]
    assert "1 run was tested again in other ways" in after["not"]
    assert "What is inside 1 trained network: facts about just these networks." in after["can"]


def test_leaders_stand_by_their_errors_with_intervals(tmp_path: Path) -> None:
    """The lowest mean first; a single seed has no interval; recipes are named where there are several."""
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
