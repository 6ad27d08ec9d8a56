"""Settings of runs side by side."""

from dataclasses import replace
from pathlib import Path

from resatlas.page.settings import DIFFERS, context, settings
from resatlas.values.table import cell_text
from tests.comparing.folders import EQUAL, RECIPE, comparison_of, write_run, write_runs


def test_settings_that_differ_are_marked(tmp_path: Path) -> None:
    """Every setting of the recipe has a row; only the changed one is marked."""
    runs = [
        write_run(tmp_path / str(batch), subject, seed=0, wrong=[True], recipe=replace(RECIPE, batch=batch))
        for (subject, _), batch in zip(EQUAL[:2], (32, 64), strict=True)
    ]
    table = settings(comparison_of(runs).question.groups)
    assert table is not None
    assert table.head == ("setting", "same in all?", "resnet", "wide-resnet")
    assert [row for row in table.rows if row[1] == DIFFERS] == [("recipe.batch", DIFFERS, "32", "64")]
    names = [cell_text(row[0]) for row in table.rows]
    assert {"data", "recipe.epochs", "recipe.schedule.peak"} <= set(names)
    assert len(names) == len(set(names)) > 20


def test_a_single_design_has_nothing_beside_it(tmp_path: Path) -> None:
    """Its recipe is shown with its command."""
    assert settings(comparison_of(write_runs(tmp_path, [EQUAL[0]])).question.groups) is None


def test_captions_name_the_conditions(tmp_path: Path) -> None:
    """Data, recipe, epochs, and the range of seeds."""
    groups = comparison_of(write_runs(tmp_path, [(EQUAL[0][0], 3), (EQUAL[1][0], 1)])).question.groups
    assert context(groups) == "Data digits:size=16; recipe quick; epochs: 12; seeds per design: 1 to 3."
