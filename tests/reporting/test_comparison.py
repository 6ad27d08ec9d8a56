"""Figures over seeds, and the smallest difference that they can show."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from statistics import fmean, stdev, variance

import numpy as np
import pytest

from resatlas.errors import FolderError
from resatlas.reporting.comparison import (
    Sample,
    compare,
    labels,
    larger_pairs,
    rows,
    shared_notes,
    smallest_difference,
    studentized_range,
    unequal_budget,
)
from resatlas.runs.files import read_json, write_json
from tests.reporting.folders import DEEP, EQUAL, IMAGES, NOTE, RECIPE, Subject, drawn_answers, write_run, write_runs

STUDIES = 300


def test_seeds_of_a_design_share_a_row(tmp_path: Path) -> None:
    """Rows stand in the order of appearance, each with its seeds, their mean and their standard deviation."""
    runs = write_runs(tmp_path, EQUAL[:2])
    first, second = rows([runs[0], runs[3], *runs[1:3], *runs[4:]])
    assert (first.family, second.family) == ("resnet", "wide-resnet")
    assert first.seeds == second.seeds == (0, 1, 2)
    losses = [run.results["train"]["loss"] for run in runs[:3]]
    assert first.train_loss.mean == pytest.approx(fmean(losses))
    assert first.train_loss.deviation == pytest.approx(stdev(losses))
    assert first.images_per_second == 2433
    assert first.seconds == 18


def test_recipes_and_data_are_not_pooled(tmp_path: Path) -> None:
    """A design under two recipes or on two data sets has two rows, each with its own name."""
    subject, wrong = Subject(family="resnet", depth=8), [False] * 9 + [True]
    runs = [
        write_run(tmp_path / "a", subject, seed=0, wrong=wrong),
        write_run(tmp_path / "b", subject, seed=1, wrong=wrong, recipe=replace(RECIPE, epochs=13)),
        write_run(tmp_path / "c", subject, seed=2, wrong=wrong, data="synthetic"),
        write_run(tmp_path / "d", subject, seed=0, wrong=wrong, recipe=replace(RECIPE, batch=32)),
    ]
    shown = rows(runs)
    assert [row.seeds for row in shown] == [(0,), (1,), (2,), (0,)]
    assert labels(shown) == (
        "resnet:depth=8,base=8 (1)",
        "resnet:depth=8,base=8 on digits:size=16 by quick, 13 epochs",
        "resnet:depth=8,base=8 on synthetic by quick, 12 epochs",
        "resnet:depth=8,base=8 (4)",
    )


def test_labels_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    """A family that occurs once stands for its design."""
    shown = rows(write_runs(tmp_path, [(subject, 1) for subject, _ in (DEEP[0], DEEP[1], DEEP[3])]))
    assert labels(shown) == ("plain:depth=8,base=8", "plain:depth=20,base=8", "resnet")


def test_one_seed_has_no_deviation() -> None:
    """Neither has a sample with a value that is not finite."""
    assert Sample(values=(1.0,)).deviation is None
    assert Sample(values=(1.0, math.inf)).deviation is None


def slowly(wrong: Sequence[Sequence[Sequence[bool]]], point: float) -> float:
    """The formula of `smallest_difference` once more, number by number."""
    seeds = [len(design) for design in wrong]
    pooled = 0.0
    for design in wrong:
        pooled += (len(design) - 1) * variance([sum(run) / len(run) for run in design])
    pooled /= sum(n - 1 for n in seeds)
    images = len(wrong[0][0])
    share = [[sum(run[i] for run in design) / len(design) for i in range(images)] for design in wrong]
    of_design = [sum(line) / images for line in share]
    of_image = [sum(line[i] for line in share) / len(wrong) for i in range(images)]
    grand = sum(of_design) / len(wrong)
    squares = 0.0
    for d in range(len(wrong)):
        for i in range(images):
            squares += (share[d][i] - of_design[d] - of_image[i] + grand) ** 2
    mean_square = squares / ((len(wrong) - 1) * (images - 1))
    harmonic = len(seeds) / sum(1 / n for n in seeds)
    return point * math.sqrt(pooled / harmonic + mean_square / images)


def test_smallest_difference_equals_a_slow_computation() -> None:
    """Also with unequal numbers of seeds; the points are those of printed tables of the studentised range."""
    wrong = drawn_answers(Random(1), [0, 0.5, -0.5], images=90)  # noqa: S311
    assert smallest_difference(wrong) == pytest.approx(slowly(wrong, 4.339), rel=1e-3)  # q(0.05; 3, 6)
    wrong = [wrong[0], wrong[1][:2]]
    assert smallest_difference(wrong) == pytest.approx(slowly(wrong, 4.501), rel=1e-3)  # q(0.05; 2, 3)


def study(
    random: np.random.Generator, *, seed_spread: float, interaction: float, ease: float = 0.0, designs: int = 4
) -> np.ndarray:
    """Wrong answers by design, seed and image; all designs are equal but the last, which is easier by `ease`."""
    hardness = random.normal(-4.0, 2.0, IMAGES) + random.normal(0, interaction, (designs, IMAGES))
    hardness[-1] -= ease
    skill = random.normal(0, seed_spread, (designs, 3))
    return random.random((designs, 3, IMAGES)) < 1 / (1 + np.exp(skill[:, :, None] - hardness[:, None, :]))


def alarms(seed_spread: float, interaction: float) -> tuple[float, float, float]:
    """Shares of studies of equal designs that name a difference: by both parts, by seeds alone, by images alone."""
    random, found = np.random.default_rng(0), np.zeros(3)
    for _ in range(STUDIES):
        wrong = study(random, seed_spread=seed_spread, interaction=interaction)
        designs, seeds, images = wrong.shape
        of_design = wrong.mean(axis=(1, 2))
        share = wrong.mean(axis=1)
        residual = share - share.mean(axis=1, keepdims=True) - share.mean(axis=0) + share.mean()
        by_seeds = wrong.mean(axis=2).var(axis=1, ddof=1).mean() / seeds
        by_images = (residual**2).sum() / ((designs - 1) * (images - 1)) / images
        point = studentized_range(designs, designs * (seeds - 1))
        limits = (smallest_difference(wrong.tolist()), point * math.sqrt(by_seeds), point * math.sqrt(by_images))
        found += [np.ptp(of_design) > limit for limit in limits]
    both, seeds_alone, images_alone = found / STUDIES
    return both, seeds_alone, images_alone


@pytest.mark.parametrize(("seed_spread", "interaction"), [(0.3, 1.0), (1.0, 0.3), (0.0, 2.0), (0.0, 0.0)])
def test_equal_designs_seldom_get_a_winner(seed_spread: float, interaction: float) -> None:
    """With seeds and images drawn anew, at most 5 % of studies of equal designs name a difference."""
    assert alarms(seed_spread, interaction)[0] <= 0.05


def test_both_parts_are_needed() -> None:
    """Seeds alone, or images alone, would name differences between equal designs too often."""
    assert alarms(0.0, 2.0)[1] > 0.08
    assert alarms(1.0, 0.3)[2] > 0.3


def test_a_large_difference_is_found() -> None:
    """A design that errs far less is told apart from every other one, in every study."""
    random = np.random.default_rng(1)
    for _ in range(20):
        wrong = study(random, seed_spread=0.2, interaction=1.0, ease=8.0)
        *others, best = wrong.mean(axis=(1, 2))
        assert min(others) - best > smallest_difference(wrong.tolist())


def test_answers_without_any_error_show_no_difference() -> None:
    """Nothing varies, and nothing differs."""
    assert smallest_difference([[[False] * 5] * 2] * 2) == 0


def test_pairs_are_those_beyond_the_smallest_difference(tmp_path: Path) -> None:
    """The network that does not train is told apart from all, the others from none; one seed is left aside."""
    found = compare(write_runs(tmp_path, [*DEEP[:6], (DEEP[6][0], 1)]))
    assert found.images == IMAGES
    assert found.smallest_points is not None
    assert {high.design for _, high in larger_pairs(found)} == {"plain:depth=56,base=8"}
    assert len(larger_pairs(found)) == 5
    assert [row.family for row in found.single] == ["preact-resnet"]


def test_unequal_conditions_are_named(tmp_path: Path) -> None:
    """Data, epochs, settings and test images that differ are said, and no difference is computed."""
    subject, wrong = Subject(family="resnet", depth=8), [False] * 9 + [True]
    other = replace(RECIPE, epochs=13, validation=Fraction(0))
    runs = [write_run(tmp_path / f"a{seed}", subject, seed=seed, wrong=wrong) for seed in (0, 1)]
    runs += [
        write_run(tmp_path / f"b{seed}", subject, seed=seed, wrong=wrong * 2, recipe=other, data="synthetic")
        for seed in (0, 1)
    ]
    found = compare(runs)
    assert found.smallest_points is None
    assert found.obstacles == (
        "the runs differ in more than design and seed: data sets (digits:size=16, synthetic); epochs (12, 13); "
        "recipes (quick, with different settings); test images",
    )


def test_data_sets_of_one_name_are_two(tmp_path: Path) -> None:
    """Folders of images that share their last name are told apart, and still not told."""
    subject = Subject(family="resnet", depth=8)
    runs = [
        write_run(tmp_path / f"{folder}", subject, seed=0, wrong=[True, False], data=f"/srv/{folder}/digits")
        for folder in (1, 2)
    ]
    (obstacle,) = compare(runs).obstacles
    assert obstacle.endswith("data sets (.../digits, .../digits)")


def test_a_copied_run_is_no_second_seed(tmp_path: Path) -> None:
    """A seed that stands twice would hide the spread between seeds."""
    runs = write_runs(tmp_path, [(EQUAL[0][0], 2), (EQUAL[1][0], 2)])
    copy = write_run(tmp_path / "copy", EQUAL[0][0], seed=0, wrong=[False] * IMAGES)
    assert compare([*runs, copy]).obstacles == ("resnet:depth=20,base=9 has a seed twice",)


def test_budgets_may_differ_by_a_tenth(tmp_path: Path) -> None:
    """Parameters and multiply-adds are said where they are more than 10 % apart."""
    shown = rows(write_runs(tmp_path, [(subject, 1) for subject, _ in EQUAL]))
    assert unequal_budget(shown) == ()
    wide = replace(shown[0], parameters=93_000, multiply_adds=2_700_000)
    assert unequal_budget([*shown, wide]) == ("parameters from 83,620 to 93,000",)


def test_notes_of_the_data_are_said_once(tmp_path: Path) -> None:
    """Every run has the note; the reader needs it once."""
    assert shared_notes(write_runs(tmp_path, EQUAL[:2])) == (NOTE,)


def test_predictions_agree_with_results(tmp_path: Path) -> None:
    """A difference is never judged by answers that belong to other results."""
    runs = write_runs(tmp_path, EQUAL[:2])
    results = read_json(runs[0].folder / "results.json")
    write_json(runs[0].folder / "results.json", {**results, "test": {"error_percent": 50.0, "images": IMAGES}})
    with pytest.raises(FolderError, match=r"but results.json says 50.0000 %"):
        compare(runs)


@pytest.mark.parametrize("damage", ["", "id,true\n1,2\n", "\x00"])
def test_damaged_predictions_are_named(tmp_path: Path, damage: str) -> None:
    """The error says which file, and what writes it again."""
    runs = write_runs(tmp_path, EQUAL[:2])
    (runs[0].folder / "predictions.csv").write_text(damage)
    with pytest.raises(FolderError, match=r"predictions.csv cannot be read; `resatlas evaluate`"):
        compare(runs)


def test_foreign_results_are_named(tmp_path: Path) -> None:
    """Results without a key that every run has are an error in words."""
    runs = write_runs(tmp_path, EQUAL[:1])
    write_json(runs[0].folder / "results.json", {"family": "resnet"})
    with pytest.raises(FolderError, match="are not those of a finished run"):
        rows(runs)
