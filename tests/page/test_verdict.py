"""The exact sentences of verdicts and notes."""

from dataclasses import replace
from pathlib import Path

from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.comparing.verdicts import Criteria, judge_pairs
from resatlas.page.verdict import BUDGETS, KIND, detectable_difference, notes, significant_pairs, verdict
from resatlas.recipes.regularisers import CrossEntropy
from tests.comparing.folders import DEEP, EQUAL, RECIPE, Subject, comparison_of, write_run, write_runs


def power_sentence(seeds: str, points: str, pairs: str) -> str:
    """The sentence on the smallest detectable difference."""
    return (
        f"Smallest detectable difference with {seeds} seeds per design: {points} points (80 % power, Holm over "
        f"{pairs}). Smaller differences may exist. Choose the number of seeds beforehand: adding seeds after a look "
        "at the results makes false claims more frequent than 5 %."
    )


def test_no_significant_difference(tmp_path: Path) -> None:
    """Designs without significant differences are not ranked, and the smallest detectable difference is given."""
    assert verdict("budget", comparison_of(write_runs(tmp_path, EQUAL, random_seed=1))) == (
        "No significant difference in test error between the 6 designs (global F test, p = 0.083).",
        "No significant difference in test error; the largest, 1.76 points between resnet (1.11 %) and dilnet (2.87 "
        "%), may be due to chance.",
        "At equal budgets, 15 pairs are undecided; resatlas compare gives the reasons.",
        BUDGETS,
        power_sentence("3", "4.26 to 9.92", "15 pairs"),
    )


def test_pairs_that_differ_are_named(tmp_path: Path) -> None:
    """Each design with a higher error is named with the designs from which it differs significantly."""
    worse, worst = replace(EQUAL[1][0], ease=-3.5), replace(EQUAL[2][0], ease=-4.0)
    runs = write_runs(tmp_path, [EQUAL[0], (worse, 3), (worst, 3), EQUAL[3]], random_seed=1)
    assert verdict("budget", comparison_of(runs)) == (
        "The 4 designs differ in test error (global F test, p = 0.012).",
        "Regardless of cost, wide-resnet (21.67 %) has a higher test error than resnet (1.11 %) and pyramidnet (1.76 "
        "%).",
        "With this recipe and these data, resnet (1.11 %) has the lowest mean; it does not differ significantly from "
        "pyramidnet and resnext.",
        "pyramidnet has a lower test error than wide-resnet at equal multiply-adds and parameters, by 19.91 points "
        "(95 %: 17.77 to 22.04 over seeds, 16.70 to 23.12 over seeds and test images): supported (p = 0.00076).",
        "resnet has a lower test error than wide-resnet at equal multiply-adds and parameters, by 20.56 points (95 %: "
        "18.49 to 22.62 over seeds, 17.29 to 23.82 over seeds and test images): supported (p = 0.00011).",
        "At equal budgets, 4 pairs are undecided; resatlas compare gives the reasons.",
        BUDGETS,
        power_sentence("3", "4.76 to 45.12", "6 pairs"),
    )


def test_the_lowest_error_has_its_conditions(tmp_path: Path) -> None:
    """The claim names recipe, data and compared designs; a budget without comparable runs has no verdict."""
    worse = replace(EQUAL[1][0], ease=-4.0, parameters=100_000)
    assert verdict("runs", comparison_of(write_runs(tmp_path, [EQUAL[0], (worse, 2)]))) == (
        "Regardless of cost, wide-resnet (23.47 %) has a higher test error than resnet (2.96 %).",
        "With this recipe and these data, resnet (2.96 %) has the lowest mean; it differs significantly from "
        "wide-resnet; no other pair compared.",
        "resnet has a lower test error than wide-resnet at equal multiply-adds, by 20.51 points (95 %: 9.79 to 31.23 "
        "over seeds, 16.61 to 24.41 over seeds and test images): supported (p = 0.025).",
        "resnet against wide-resnet: not testable at equal parameters; no runs at comparable parameters: 84,000 "
        "against 100,000; train a design that `resatlas solve wide-resnet --parameters 84000 --image 1,16,16 "
        "--classes 10` finds.",
        BUDGETS,
        power_sentence("2 to 3", "16.38", "one pair"),
    )


def test_the_design_with_the_lower_error_comes_first(tmp_path: Path) -> None:
    """The sentence starts with the design of the lower error, in any order of the pair."""
    comparison = comparison_of(write_runs(tmp_path, [EQUAL[0], (replace(EQUAL[1][0], ease=-4.0), 3)]))
    [pair] = comparison.pairs
    for first, second, kind in ((pair.first, pair.second, "supported"), (pair.second, pair.first, "contradicted")):
        ordered = replace(
            comparison, pairs=judge_pairs([(first, second)], comparison.question.groups, criteria=Criteria())
        )
        assert ordered.pairs[0].verdict == kind
        [line] = [line for line in verdict("budget", ordered) if "at equal multiply-adds and parameters" in line]
        assert line.startswith("resnet has a lower test error than wide-resnet at equal multiply-adds and parameters")
        assert ": supported (p = " in line


def test_kinds_are_explained(tmp_path: Path) -> None:
    """If sizes of a design bound its error, a sentence explains them."""
    between = replace(DEEP[1][0], parameters=120_000, ease=-4.0)
    runs = write_runs(tmp_path, [(between, 3), *DEEP[3:6]], random_seed=1)
    lines = verdict("budget", comparison_of(runs))
    assert any(line.startswith("resnet 56's kind has a lower test error than plain at") for line in lines)
    assert f"{BUDGETS} {KIND}" in lines


def test_the_verdict_is_that_of_compare(tmp_path: Path) -> None:
    """Significant pairs are below 5 % by Holm; the detectable difference is that of the pairs."""
    comparison = comparison_of(write_runs(tmp_path, [*DEEP[:6]]))
    leading = [pair.leading for pair in comparison.pairs if pair.leading and pair.leading.tested]
    tests = [settled.tested[0].difference for settled in leading]
    points = [difference.detectable.points for difference in tests if difference.detectable]
    assert detectable_difference(comparison) == f"{min(points):.2f} to {max(points):.2f}"
    below = [pair for pair in comparison.pairs if pair.trained and pair.trained.p_holm <= CLAIM_LEVEL]
    assert list(significant_pairs(comparison)) == below != []


def test_single_seeds_get_no_verdict(tmp_path: Path) -> None:
    """Without a standard deviation over seeds there is no test."""
    few = "this needs two designs with two seeds each, since one seed has no standard deviation"
    runs = write_runs(tmp_path, [(EQUAL[0][0], 1), (EQUAL[1][0], 1)])
    assert verdict("budget", comparison_of(runs)) == (f"No verdict on test errors: {few}.",)
    assert verdict("runs", comparison_of(runs[:1])) == (f"No verdict on test errors: {few}.",)
    depth = "No verdict on depth: this needs a family at two depths, with two seeds each."
    assert verdict("depth", comparison_of(runs)) == (depth, f"No verdict on test errors: {few}.")
    assert verdict("runs", None) == ("No verdict: no run is finished.",)


def test_equal_networks_get_no_verdict(tmp_path: Path) -> None:
    """Without any variation there is no standard deviation for a test."""
    runs = [
        write_run(tmp_path / f"{k} {seed}", EQUAL[k][0], seed=seed, wrong=[True, False])
        for k in (0, 1)
        for seed in (0, 1)
    ]
    [line] = verdict("runs", comparison_of(runs))
    assert "neither difference nor spread" in line


def test_a_single_seed_among_others_is_left_out(tmp_path: Path) -> None:
    """The verdict names it as untested."""
    runs = write_runs(tmp_path, [*EQUAL[:2], (EQUAL[2][0], 1), (EQUAL[3][0], 1)])
    lines = verdict("budget", comparison_of(runs))
    assert lines[-1] == "One seed only, so no verdict: pyramidnet and resnext."
    assert not any("not testable" in line for line in lines)


def test_other_images_get_no_verdict(tmp_path: Path) -> None:
    """The sentence says what differs, in each view; a copy of a run is not counted."""
    wrong, subject = [False] * 9 + [True], Subject(family="resnet", depth=8)
    runs = [
        write_run(tmp_path / f"{data} {seed}", subject, seed=seed, wrong=wrong, data=data)
        for data in ("digits", "synthetic")
        for seed in (0, 1)
    ]
    why = "the runs are of several data sets (digits, synthetic); errors can be compared only on the same images"
    assert verdict("runs", comparison_of(runs)) == verdict("depth", comparison_of(runs)) == (f"No verdict: {why}.",)
    copy = write_run(tmp_path / "copy", subject, seed=0, wrong=wrong, data="digits")
    assert "a copy does not count as another network" in verdict("runs", comparison_of([*runs[:2], copy]))[0]


def test_depth_is_not_judged_over_two_recipes(tmp_path: Path) -> None:
    """A difference between recipes could be taken for an effect of depth."""
    runs = [
        write_run(
            tmp_path / f"{depth} {seed}",
            Subject(family="resnet", depth=depth),
            seed=seed,
            wrong=[False] * 9 + [True],
            recipe=replace(RECIPE, epochs=epochs),
        )
        for depth, epochs in ((8, 3), (20, 4))
        for seed in (0, 1)
    ]
    assert verdict("depth", comparison_of(runs))[0] == "No verdict on depth: the runs also differ in recipe."


def test_training_loss_over_depth(tmp_path: Path) -> None:
    """Each family has a test of the trend over its depths, with p corrected by Holm over the families."""
    flat = [(Subject(family="dmrnet", depth=depth, loss=0.02), 2) for depth in (8, 14)]
    lines = verdict("depth", comparison_of(write_runs(tmp_path, [*DEEP[:6], (DEEP[6][0], 1), *flat])))
    assert lines[:3] == (
        "The training loss of dmrnet does not change significantly: from 0.0351 at depth 8 to 0.0352 at depth 14 "
        "(trend over 2 depths, p = 0.95).",
        "The training loss of plain rises from 0.0681 at depth 8 to 1.41 at depth 56 (trend over 3 depths, p = "
        "1.6e-06).",
        "The training loss of resnet falls from 0.0772 at depth 8 to 0.0237 at depth 56 (trend over 3 depths, p = "
        "0.0001).",
    )


def test_notes_say_what_the_data_share(tmp_path: Path) -> None:
    """Every view notes that test images and training images share writers."""
    comparison = comparison_of(write_runs(tmp_path, EQUAL[:1]))
    note = "About the data: the 13 writers of the test images also wrote training images, so errors are optimistic."
    assert [notes(view, comparison)[-1] for view in ("runs", "depth", "budget")] == [note] * 3
    assert "All designs use the same recipe." in notes("budget", comparison)


def test_notes_give_the_lowest_loss_of_smoothed_labels(tmp_path: Path) -> None:
    """The note explains a loss above 0.5 beside few errors; without label smoothing there is no such note."""
    lines = {}
    for smoothing in (0.0, 0.1):
        recipe = replace(RECIPE, loss=CrossEntropy(smoothing=smoothing))
        run = write_run(tmp_path / f"{smoothing}", EQUAL[0][0], seed=0, wrong=[False] * 9 + [True], recipe=recipe)
        lines[smoothing] = notes("runs", comparison_of([run]))
    assert set(lines[0.1]) - set(lines[0.0]) == {
        "Labels are smoothed by 0.1: with 10 classes, no training loss can be below 0.50."
    }
    assert len(lines[0.0]) == len(lines[0.1]) - 1
