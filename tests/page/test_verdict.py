"""What is said about runs, to the letter."""

from dataclasses import replace
from pathlib import Path

from resatlas.comparing.statistics import CLAIM_LEVEL
from resatlas.comparing.verdicts import Criteria, judge_pairs
from resatlas.page.verdict import BUDGETS, KIND, apart, could_see, notes, verdict
from resatlas.recipes.regularisers import CrossEntropy
from tests.comparing.folders import DEEP, EQUAL, RECIPE, Subject, comparison_of, write_run, write_runs


def least(seeds: str, points: str, pairs: str) -> str:
    """The sentence on the smallest detectable difference."""
    return (
        f"Smallest detectable difference with {seeds} seeds a design: {points} points (80 % power, Holm over {pairs}). "
        "Smaller ones may exist. Choose the number of seeds beforehand: adding seeds after a look at the result makes "
        "false claims more frequent than 5 %."
    )


def test_no_winner(tmp_path: Path) -> None:
    """Designs that are alike are not ranked, and the reader learns what could have been detected."""
    assert verdict("budget", comparison_of(write_runs(tmp_path, EQUAL, random_seed=1))) == (
        "No difference in test error between the 6 designs beyond chance (global F test, p = 0.083).",
        "No winner: the largest difference in test error, 1.76 points between resnet (1.11 %) and dilnet (2.87 %), may "
        "be chance.",
        "At equal budgets 15 pairs are undecided; resatlas compare gives the reasons.",
        BUDGETS,
        least("3", "4.26 to 9.92", "15 pairs"),
    )


def test_pairs_that_differ_are_named(tmp_path: Path) -> None:
    """Each design with a higher error is set above those that it differs from; the rest stays open."""
    worse, worst = replace(EQUAL[1][0], ease=-3.5), replace(EQUAL[2][0], ease=-4.0)
    runs = write_runs(tmp_path, [EQUAL[0], (worse, 3), (worst, 3), EQUAL[3]], random_seed=1)
    assert verdict("budget", comparison_of(runs)) == (
        "The 4 designs differ in test error (global F test, p = 0.012).",
        "As trained, wide-resnet (21.67 %) has a higher test error than resnet (1.11 %) and pyramidnet (1.76 %).",
        "With this recipe and on these data resnet (1.11 %) has the lowest mean; it does not differ significantly from "
        "pyramidnet and resnext.",
        "Pyramidnet has a lower test error than wide-resnet at equal multiply-adds and parameters, by 19.91 points "
        "(95 %: 17.77 to 22.04 over seeds, 16.70 to 23.12 over seeds and test images): supported (p = 0.00076).",
        "Resnet has a lower test error than wide-resnet at equal multiply-adds and parameters, by 20.56 points (95 %: "
        "18.49 to 22.62 over seeds, 17.29 to 23.82 over seeds and test images): supported (p = 0.00011).",
        "At equal budgets 4 pairs are undecided; resatlas compare gives the reasons.",
        BUDGETS,
        least("3", "4.76 to 45.12", "6 pairs"),
    )


def test_a_winner_is_one_under_these_conditions(tmp_path: Path) -> None:
    """Recipe, data and rivals stand beside the claim; each budget has its own, and none where no run is at it."""
    worse = replace(EQUAL[1][0], ease=-4.0, parameters=100_000)
    assert verdict("runs", comparison_of(write_runs(tmp_path, [EQUAL[0], (worse, 2)]))) == (
        "As trained, wide-resnet (23.47 %) has a higher test error than resnet (2.96 %).",
        "With this recipe and on these data resnet (2.96 %) has the lowest mean; it differs significantly from "
        "wide-resnet; no other pair compared.",
        "Resnet has a lower test error than wide-resnet at equal multiply-adds, by 20.51 points (95 %: 9.79 to 31.23 "
        "over seeds, 16.61 to 24.41 over seeds and test images): supported (p = 0.025).",
        "Resnet against wide-resnet: not testable at equal parameters; no runs at comparable parameters: 84,000 "
        "against 100,000; train a design that `resatlas solve wide-resnet --parameters 84000 --image 1,16,16 "
        "--classes 10` finds.",
        BUDGETS,
        least("2 to 3", "16.38", "one pair"),
    )


def test_a_contradicted_claim_is_said_the_other_way_round(tmp_path: Path) -> None:
    """The sentence has the design with the lower error first, whichever stood first in the pair; none is negated."""
    found = comparison_of(write_runs(tmp_path, [EQUAL[0], (replace(EQUAL[1][0], ease=-4.0), 3)]))
    [pair] = found.pairs
    for first, second, kind in ((pair.first, pair.second, "supported"), (pair.second, pair.first, "contradicted")):
        turned = replace(found, pairs=judge_pairs([(first, second)], found.question.groups, criteria=Criteria()))
        assert turned.pairs[0].verdict == kind
        [said] = [each for each in verdict("budget", turned) if "at equal multiply-adds and parameters" in each]
        assert said.startswith("Resnet has a lower test error than wide-resnet at equal multiply-adds and parameters")
        assert ": supported (p = " in said


def test_kinds_are_explained_where_they_are_named(tmp_path: Path) -> None:
    """Sizes that bound an error."""
    between = replace(DEEP[1][0], parameters=120_000, ease=-4.0)
    runs = write_runs(tmp_path, [(between, 3), *DEEP[3:6]], random_seed=1)
    said = verdict("budget", comparison_of(runs))
    assert any(each.startswith("Resnet:depth=56,base=8's kind has a lower test error than plain at") for each in said)
    assert f"{BUDGETS} {KIND}" in said


def test_the_verdict_is_that_of_compare(tmp_path: Path) -> None:
    """What is told apart is by Holm below 5 %, what could be seen is that of the pairs."""
    found = comparison_of(write_runs(tmp_path, [*DEEP[:6]]))
    leading = [pair.leading for pair in found.pairs if pair.leading and pair.leading.tested]
    seen = [each.tested[0].difference.detectable.points for each in leading if each.tested[0].difference.detectable]
    assert could_see(found) == f"{min(seen):.2f} to {max(seen):.2f}"
    below = [pair for pair in found.pairs if pair.trained and pair.trained.p_holm <= CLAIM_LEVEL]
    assert list(apart(found)) == below != []


def test_single_seeds_get_no_verdict(tmp_path: Path) -> None:
    """Without a spread between seeds nothing is judged."""
    few = "it needs two designs of two seeds each, since a single seed has no spread"
    runs = write_runs(tmp_path, [(EQUAL[0][0], 1), (EQUAL[1][0], 1)])
    assert verdict("budget", comparison_of(runs)) == (f"No verdict on test errors: {few}.",)
    assert verdict("runs", comparison_of(runs[:1])) == (f"No verdict on test errors: {few}.",)
    depth = "No verdict on depth: it needs a family at two depths, with two seeds each."
    assert verdict("depth", comparison_of(runs)) == (depth, f"No verdict on test errors: {few}.")
    assert verdict("runs", None) == ("No verdict: no run is finished.",)


def test_nets_that_all_err_alike_get_no_verdict(tmp_path: Path) -> None:
    """Without any spread nothing tells how far other nets would be."""
    runs = [
        write_run(tmp_path / f"{k} {seed}", EQUAL[k][0], seed=seed, wrong=[True, False])
        for k in (0, 1)
        for seed in (0, 1)
    ]
    [said] = verdict("runs", comparison_of(runs))
    assert "have the same value" in said


def test_a_single_seed_among_others_is_left_out(tmp_path: Path) -> None:
    """It is shown, and said to be unjudged."""
    runs = write_runs(tmp_path, [*EQUAL[:2], (EQUAL[2][0], 1), (EQUAL[3][0], 1)])
    said = verdict("budget", comparison_of(runs))
    assert said[-1] == "One seed only, so no verdict: pyramidnet and resnext."
    assert not any("not testable" in sentence for sentence in said)


def test_other_images_get_no_verdict(tmp_path: Path) -> None:
    """The sentence says what differs, in each view; a copy does not count."""
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
    """What a deeper net owes to its epochs is not its depth's."""
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
    assert verdict("depth", comparison_of(runs))[0] == "No verdict on depth: the runs differ in recipe too."


def test_training_loss_over_depth(tmp_path: Path) -> None:
    """A family is judged by the trend over all its depths, with Holm's p over the families."""
    alike = [(Subject(family="dmrnet", depth=depth, loss=0.02), 2) for depth in (8, 14)]
    said = verdict("depth", comparison_of(write_runs(tmp_path, [*DEEP[:6], (DEEP[6][0], 1), *alike])))
    assert said[:3] == (
        "The training loss of dmrnet goes from 0.0351 at depth 8 to 0.0352 at depth 14: no change beyond chance (trend "
        "over 2 depths, p = 0.95).",
        "The training loss of plain rises from 0.0681 at depth 8 to 1.41 at depth 56 (trend over 3 depths, p = "
        "1.6e-06).",
        "The training loss of resnet falls from 0.0772 at depth 8 to 0.0237 at depth 56 (trend over 3 depths, p = "
        "0.0001).",
    )


def test_notes_say_what_the_data_share(tmp_path: Path) -> None:
    """That test images and training images share writers stands beside every view."""
    found = comparison_of(write_runs(tmp_path, EQUAL[:1]))
    said = "About the data: the 13 writers of the test images also wrote training images, so errors are optimistic."
    assert [notes(view, found)[-1] for view in ("runs", "depth", "budget")] == [said] * 3
    assert "One recipe serves all designs." in notes("budget", found)


def test_notes_say_how_low_a_loss_on_smoothed_labels_can_be(tmp_path: Path) -> None:
    """The reader of a loss above 0.5 beside few errors learns why; of labels as they are there is nothing to say."""
    said = {}
    for smoothing in (0.0, 0.1):
        recipe = replace(RECIPE, loss=CrossEntropy(smoothing=smoothing))
        run = write_run(tmp_path / f"{smoothing}", EQUAL[0][0], seed=0, wrong=[False] * 9 + [True], recipe=recipe)
        said[smoothing] = notes("runs", comparison_of([run]))
    assert set(said[0.1]) - set(said[0.0]) == {
        "Labels are smoothed by 0.1: of 10 classes no training loss is below 0.50."
    }
    assert len(said[0.0]) == len(said[0.1]) - 1
