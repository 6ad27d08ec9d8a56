"""What is said about runs, to the letter."""

from dataclasses import replace
from pathlib import Path

from resatlas.reporting.verdict import notes, verdict
from tests.reporting.folders import DEEP, EQUAL, RECIPE, Subject, write_run, write_runs


def test_no_winner(tmp_path: Path) -> None:
    """Designs that are alike are not ranked, and the reader learns what could have shown."""
    assert verdict("budget", write_runs(tmp_path, EQUAL, chance=1)) == (
        "3 seeds and 360 images could have shown a difference of 2.51 points at the 5 % level (Tukey, seeds and images "
        "as random); the largest found is 1.76 points, between resnet (1.11 %) and dilnet (2.87 %): no winner."
    )


def test_pairs_that_differ_are_named(tmp_path: Path) -> None:
    """Each design that errs more is set above those that it is told apart from; the rest stays open."""
    worse, worst = replace(EQUAL[1][0], ease=-3.5), replace(EQUAL[2][0], ease=-4.0)
    runs = write_runs(tmp_path, [EQUAL[0], (worse, 3), (worst, 3), EQUAL[3]], chance=1)
    assert verdict("budget", runs) == (
        "3 seeds and 360 images could have shown a difference of 8.70 points at the 5 % level (Tukey, seeds and images "
        "as random); larger are: wide-resnet (21.67 %) above resnet (1.11 %) and pyramidnet (1.76 %); resnext "
        "(24.07 %) above resnet (1.11 %) and pyramidnet (1.76 %). With this recipe and on these data, the lowest, "
        "resnet, is not told apart from pyramidnet."
    )


def test_a_winner_is_one_under_these_conditions(tmp_path: Path) -> None:
    """Recipe and data stand beside the claim, and budgets that differ are said."""
    worse = replace(EQUAL[1][0], ease=-4.0, parameters=100_000)
    assert verdict("runs", write_runs(tmp_path, [EQUAL[0], (worse, 2)])) == (
        "2 to 3 seeds and 360 images could have shown a difference of 6.13 points at the 5 % level (Tukey, seeds and "
        "images as random); larger are: wide-resnet (23.47 %) above resnet (2.96 %). With this recipe and on these "
        "data, resnet is below all others. The budgets are not equal: parameters from 84,000 to 100,000."
    )


def test_single_seeds_get_no_verdict(tmp_path: Path) -> None:
    """Without a spread between seeds nothing is judged."""
    few = "it needs two designs of two seeds each, since a single seed has no spread"
    runs = write_runs(tmp_path, [(EQUAL[0][0], 1), (EQUAL[1][0], 1)])
    assert verdict("budget", runs) == f"No verdict on test errors: {few}."
    assert verdict("runs", runs[:1]) == f"No verdict on test errors: {few}."
    assert verdict("depth", runs) == "No verdict on depth: it needs a family at two depths, with two seeds each."
    assert verdict("runs", []) == "No verdict: no run is finished."


def test_a_single_seed_among_others_is_left_out(tmp_path: Path) -> None:
    """It is shown, and said to be unjudged."""
    runs = write_runs(tmp_path, [*EQUAL[:2], (EQUAL[2][0], 1), (EQUAL[3][0], 1)])
    assert verdict("budget", runs).endswith("Shown but not judged, with a single seed: resnext and pyramidnet.")


def test_unequal_conditions_get_no_verdict(tmp_path: Path) -> None:
    """The sentence says what differs, in each view."""
    wrong = [False] * 9 + [True]
    runs = [
        write_run(
            tmp_path / f"{epochs} {seed}",
            Subject(family="resnet", depth=8),
            seed=seed,
            wrong=wrong,
            recipe=replace(RECIPE, epochs=epochs),
        )
        for epochs in (3, 4)
        for seed in (0, 1)
    ]
    why = "the runs differ in more than design and seed: epochs (3, 4)."
    assert verdict("runs", runs) == f"No verdict on test errors: {why}"
    assert verdict("depth", runs) == f"No verdict: {why}"


def test_training_loss_over_depth(tmp_path: Path) -> None:
    """A family is judged by its least and its greatest depth, where all seeds agree."""
    alike = [(Subject(family="dmrnet", depth=depth, loss=0.02), 2) for depth in (8, 14)]
    assert verdict("depth", write_runs(tmp_path, [*DEEP[:6], (DEEP[6][0], 1), *alike])) == (
        "The training loss of plain rises from 0.0681 at depth 8 to 1.41 at depth 56 (every deep seed above every "
        "shallow one). The training loss of resnet falls from 0.0772 at depth 8 to 0.0237 at depth 56 (every deep seed "
        "below every shallow one). The training loss of dmrnet goes from 0.0351 at depth 8 to 0.0352 at depth 14 (the "
        "seeds overlap: no clear change). In test error, 2 to 3 seeds and 360 images could have shown a difference of "
        "5.09 points at the 5 % level; smaller ones may be chance. Shown but not judged, with a single seed: "
        "preact-resnet."
    )


def test_notes_say_what_the_data_share(tmp_path: Path) -> None:
    """That test images and training images share writers stands beside every view."""
    runs = write_runs(tmp_path, EQUAL[:1])
    said = "About the data: the 13 writers of the test images also wrote training images, so errors are optimistic."
    assert [notes(view, runs)[-1] for view in ("runs", "depth", "budget")] == [said] * 3
