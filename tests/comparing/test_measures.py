"""Measures other than the test error, margins, and diverged runs."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from resatlas.comparing.comparison import Comparison, compare
from resatlas.comparing.comparison_data import as_json
from resatlas.comparing.measures import Measure, measure_of
from resatlas.errors import FolderError, UsageError
from resatlas.page.comparison_text import document
from resatlas.page.document import FORMATS
from resatlas.runs.files import read_json, write_json
from tests.comparing.folders import IMAGES, Subject, diverged, seal, write_errors

PLAIN = Subject(family="plain", depth=20)
RESNET = Subject(family="resnet", depth=20)
DEEP = replace(PLAIN, depth=56, loss=1.4, parameters=214_346, multiply_adds=7_000_000)


def text(comparison: Comparison) -> str:
    """The text on the terminal."""
    return FORMATS["table"](document([comparison]))


def test_degradation_is_measured_by_the_training_loss(tmp_path: Path) -> None:
    """Two sizes of one kind are compared by the loss of the finished network on clean training images."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, DEEP, (10, 13, 12))
    [comparison] = compare([tmp_path], against=PLAIN.design, metric="train_loss")
    [pair] = comparison.pairs
    assert (list(pair.verdicts), pair.verdict) == (["sizes"], "contradicted")
    assert pair.trained is not None
    assert pair.trained.interval_images is None
    losses = [read_json(file)["train_evaluated"]["loss"] for file in sorted(tmp_path.glob("*56*/results.json"))]
    assert pair.first.mean == pytest.approx(fmean(losses))
    shown = text(comparison)
    assert shown.startswith("Runs: training loss on digits:size=16\n")
    assert "plain 20 has a lower training loss than plain 56, by 1.1" in shown
    assert as_json(comparison)["metric"] == "train_loss"


def test_the_time_to_an_error_is_a_measure(tmp_path: Path) -> None:
    """It is the seconds up to the end of the first epoch with at most this validation error."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, replace(RESNET, loss=0.3), (10, 13, 12))
    [comparison] = compare([tmp_path], metric="time_to_error=12")
    assert all(value % 0.5 == 0 for group in comparison.question.groups for value in group.values)
    first, second = (group.mean for group in comparison.question.groups)
    assert first < second
    assert "time to a validation error of 12 %" in text(comparison)


def test_a_measure_that_runs_lack_is_refused(tmp_path: Path) -> None:
    """An error in one line for a run without training loss in evaluation mode, or one that never reaches an error."""
    [run, *_] = write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, RESNET, (10, 13, 12))
    results = read_json(run.folder / "results.json")
    write_json(run.folder / "results.json", {key: value for key, value in results.items() if key != "train_evaluated"})
    seal(run.folder)
    with pytest.raises(FolderError, match=f"{run.name} has no training loss in evaluation mode"):
        compare([tmp_path], metric="train_loss")
    with pytest.raises(FolderError, match=r"never reaches a validation error of 0\.01 %; choose a higher target"):
        compare([tmp_path], metric="time_to_error=0.01")
    assert compare([tmp_path])[0].pairs


@pytest.mark.parametrize("text", ["test_eror", "time_to_error", "time_to_error=", "time_to_error=-1", "train_loss=3"])
def test_a_measure_checks_itself(text: str) -> None:
    """An unknown metric, a time without a target and an invalid target are refused."""
    with pytest.raises(UsageError):
        measure_of(text)


def test_times_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    """The verdict is not testable, with the reason."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    for run in write_errors(tmp_path, replace(RESNET, loss=0.3), (10, 13, 12)):
        file = run.folder / "env.json"
        write_json(file, {**read_json(file), "processor": "another"})
        seal(run.folder)
    [comparison] = compare([tmp_path], metric="time_to_error=12")
    assert comparison.pairs[0].reasons == (
        "the times are not comparable: measured with different processor (AMD EPYC / another)",
    )


def test_times_of_a_paused_training_are_not_compared(tmp_path: Path) -> None:
    """Nor are its seconds as a cost: the sentences name the run."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    [*_, last] = write_errors(tmp_path, replace(RESNET, loss=0.3), (10, 13, 12))
    file = last.folder / "timing.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**row, "paused_seconds": 40.0}) + "\n" for row in rows))
    seal(last.folder)
    words = f"resnet with seed 2 was paused for {40 * len(rows)} s"
    [comparison] = compare([tmp_path], metric="time_to_error=12")
    assert comparison.pairs[0].reasons == (f"the times are not comparable: {words}",)
    assert f"seconds are not comparable: {words}" in text(comparison)


# ----------------------------------------------------------------------------------------------------------- margins


def verdict(folder: Path, first: Sequence[int], second: Sequence[int], margin: float) -> str:
    """The verdict on two designs with so many wrong images."""
    write_errors(folder, PLAIN, first)
    write_errors(folder, RESNET, second)
    [comparison] = compare([folder], margin=margin)
    return comparison.pairs[0].verdict


def test_designs_within_a_margin_are_equivalent(tmp_path: Path) -> None:
    """Both intervals within it; inside on one side only, one is not inferior; else undecided."""
    near, far = (20, 21, 20, 22, 21), (20, 20, 22, 21, 21)
    assert verdict(tmp_path / "a", near, far, 5.0) == "equivalent"
    assert verdict(tmp_path / "b", near, far, 0.5) == "undecided"
    [comparison] = compare([tmp_path / "a"], margin=5.0)
    assert "plain and resnet are equivalent at equal multiply-adds and parameters" in text(comparison)
    wide = (20, 40, 28, 24, 36)
    assert verdict(tmp_path / "c", near, wide, 3.0) == "first not inferior"
    assert verdict(tmp_path / "d", wide, near, 3.0) == "second not inferior"


def test_a_margin_is_at_least_an_image(tmp_path: Path) -> None:
    """A margin below one test image is refused."""
    with pytest.raises(UsageError, match=f"less than one of the {IMAGES} test images, which is 0.28 points"):
        verdict(tmp_path, (20, 21), (20, 22), 0.2)


# --------------------------------------------------------------------------------------------------- runs that diverge


def test_a_diverged_run_counts_at_chance_level(tmp_path: Path) -> None:
    """It counts with an error of 90 % for ten classes, is named, and a second sentence leaves it out."""
    runs = write_errors(tmp_path, PLAIN, (10, 12, 11, 12))
    write_errors(tmp_path, RESNET, (40, 43, 41, 42))
    assert compare([tmp_path])[0].pairs[0].verdict == "supported"
    diverged(runs[1])
    [comparison] = compare([tmp_path])
    [pair] = comparison.pairs
    assert pair.first.diverged == (1,)
    assert pair.first.values == pytest.approx((1000 / IMAGES, 90, 1100 / IMAGES, 1200 / IMAGES))
    assert pair.verdict == "undecided"
    assert pair.survivors is not None
    assert pair.survivors.verdict == "supported"
    assert pair.trained is not None
    assert pair.trained.interval_images is not None
    shown = text(comparison)
    assert (
        "plain with seed 1 diverged (counted at chance level); without diverged runs: plain 3.06 and resnet 11.53, "
        "supported." in shown
    )
    assert (
        "diverged: plain with seed 1; counted at chance level in every mean, interval and verdict"
        in comparison.warnings
    )
    assert as_json(comparison)["pairs"][0]["without_diverged"] == {
        "multiply-adds": "supported",
        "parameters": "supported",
    }
    [comparison] = compare([tmp_path], metric="train_loss")
    assert max(comparison.question.groups[0].values) == pytest.approx(math.log(10))
    with pytest.raises(FolderError, match="diverged, so it never reaches the target error"):
        compare([tmp_path], metric="time_to_error=50")


def test_a_run_that_was_stopped_is_left_out(tmp_path: Path) -> None:
    """Only runs that end with a number that is not finite count as diverged."""
    runs = write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, RESNET, (40, 43, 41))
    diverged(runs[1])
    runs[1].set_status("failed", epoch=1, reason="No space left on device")
    [comparison] = compare([tmp_path])
    assert comparison.pairs[0].first.diverged == ()
    assert len(comparison.pairs[0].first.values) == 2


# ---------------------------------------------------------------------------------------------------------- other notes


def test_opposed_seeds_and_added_seeds_are_noted(tmp_path: Path) -> None:
    """A negative correlation over shared seeds has a note, and so has an undecided verdict."""
    write_errors(tmp_path, PLAIN, (10, 30, 50))
    write_errors(tmp_path, RESNET, (50, 32, 12))
    [comparison] = compare([tmp_path])
    [opposed] = [note for note in comparison.notes if note.startswith("Negative correlation over shared seeds")]
    assert "plain and resnet (-1.00)" in opposed
    assert any("Adding seeds until a difference is significant" in note for note in comparison.notes)


def test_equal_seeds_of_another_order_are_no_pairs(tmp_path: Path) -> None:
    """Seeds are shared only if nothing but the design differs; another batch gives another order of the data."""
    from tests.comparing.folders import RECIPE

    hard = (10, 30, 50, 20, 40)
    write_errors(tmp_path, PLAIN, hard)
    write_errors(tmp_path / "x", PLAIN, [errors + 2 + errors % 3 for errors in hard], recipe=replace(RECIPE, batch=32))
    [comparison] = compare([tmp_path, tmp_path / "x"])
    assert comparison.pairs[0].trained is not None
    assert comparison.pairs[0].trained.method != "paired"
    expected = "equal seeds, but unequal order of the data because of unequal batch (32 and 64); these are not paired"
    assert expected in comparison.warnings


def test_a_measure_has_words() -> None:
    """Each measure has a noun, a unit and a number of digits."""
    assert [
        (measure.noun, measure.unit, measure.written(1.23456))
        for measure in map(measure_of, ("test_error", "train_loss"))
    ] == [
        ("test error", " points", "1.23"),
        ("training loss", "", "1.2346"),
    ]
    assert Measure(metric="time_to_error", target_percent=5.0).written(12.34, "+") == "+12.3"
