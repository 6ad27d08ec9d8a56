"""Other measures than the test error, margins, and runs that diverged."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from resatlas.comparing.answer_data import data
from resatlas.comparing.answering import Answered, compare
from resatlas.comparing.measures import Measure, measure_of
from resatlas.errors import FolderError, UsageError
from resatlas.page.comparison_text import document
from resatlas.page.document import FORMATS
from resatlas.runs.files import read_json, write_json
from tests.comparing.folders import IMAGES, Subject, diverged, seal, write_errors

PLAIN = Subject(family="plain", depth=20)
RESNET = Subject(family="resnet", depth=20)
DEEP = replace(PLAIN, depth=56, loss=1.4, parameters=214_346, multiply_adds=7_000_000)


def text(answer: Answered) -> str:
    """What the terminal shows."""
    return FORMATS["table"](document([answer]))


def test_degradation_is_asked_by_the_training_loss(tmp_path: Path) -> None:
    """Two sizes of one kind, the loss of the finished network on clean training images, with its own unit."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, DEEP, (10, 13, 12))
    [answer] = compare([tmp_path], against=PLAIN.design, metric="train_loss")
    [pair] = answer.pairs
    assert (list(pair.verdicts), pair.verdict) == (["sizes"], "contradicted")
    assert pair.trained is not None
    assert pair.trained.interval_images is None
    losses = [read_json(file)["train_evaluated"]["loss"] for file in sorted(tmp_path.glob("*56*/results.json"))]
    assert pair.first.mean == pytest.approx(fmean(losses))
    said = text(answer)
    assert said.startswith("Runs: training loss on digits:size=16\n")
    assert "plain:depth=20,base=8 has a lower training loss than plain:depth=56,base=8, by 1.1" in said
    assert data(answer)["metric"] == "train_loss"


def test_the_time_to_an_error_is_a_measure(tmp_path: Path) -> None:
    """Seconds up to the end of the first epoch with such a validation error."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, replace(RESNET, loss=0.3), (10, 13, 12))
    [answer] = compare([tmp_path], metric="time_to_error=12")
    assert all(value % 0.5 == 0 for group in answer.question.groups for value in group.values)
    first, second = (group.mean for group in answer.question.groups)
    assert first < second
    assert "time to a validation error of 12 %" in text(answer)


def test_a_measure_that_runs_lack_is_refused(tmp_path: Path) -> None:
    """Older runs have no training loss in evaluation mode, and some never reach an error: a line each."""
    [run, *_] = write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, RESNET, (10, 13, 12))
    results = read_json(run.folder / "results.json")
    write_json(run.folder / "results.json", {key: each for key, each in results.items() if key != "train_evaluated"})
    seal(run.folder)
    with pytest.raises(FolderError, match=f"{run.name} has no training loss in evaluation mode"):
        compare([tmp_path], metric="train_loss")
    with pytest.raises(FolderError, match=r"never reaches a validation error of 0\.01 %; name a higher one"):
        compare([tmp_path], metric="time_to_error=0.01")
    assert compare([tmp_path])[0].pairs


@pytest.mark.parametrize("text", ["test_eror", "time_to_error", "time_to_error=", "time_to_error=-1", "train_loss=3"])
def test_a_measure_checks_itself(text: str) -> None:
    """Another metric, a time without an error, a target that is none."""
    with pytest.raises(UsageError):
        measure_of(text)


def test_times_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    """Whichever is faster there."""
    write_errors(tmp_path, PLAIN, (10, 12, 11))
    for run in write_errors(tmp_path, replace(RESNET, loss=0.3), (10, 13, 12)):
        file = run.folder / "env.json"
        write_json(file, {**read_json(file), "processor": "another"})
        seal(run.folder)
    [answer] = compare([tmp_path], metric="time_to_error=12")
    assert answer.pairs[0].reasons == ("the times were taken on different machines or versions of torch",)


# ----------------------------------------------------------------------------------------------------------- margins


def verdict(folder: Path, first: Sequence[int], second: Sequence[int], margin: float) -> str:
    """The verdict on two designs with so many wrong images."""
    write_errors(folder, PLAIN, first)
    write_errors(folder, RESNET, second)
    [answer] = compare([folder], margin=margin)
    return answer.pairs[0].verdict


def test_designs_within_a_margin_are_equivalent(tmp_path: Path) -> None:
    """Both intervals within it; one-sided, the one is not inferior; beyond it, neither is said."""
    near, far = (20, 21, 20, 22, 21), (20, 20, 22, 21, 21)
    assert verdict(tmp_path / "a", near, far, 5.0) == "equivalent"
    assert verdict(tmp_path / "b", near, far, 0.5) == "undecided"
    [answer] = compare([tmp_path / "a"], margin=5.0)
    assert "plain and resnet are equivalent at equal multiply-adds and parameters" in text(answer)
    wide = (20, 40, 28, 24, 36)
    assert verdict(tmp_path / "c", near, wide, 3.0) == "first not inferior"
    assert verdict(tmp_path / "d", wide, near, 3.0) == "second not inferior"


def test_a_margin_is_at_least_an_image(tmp_path: Path) -> None:
    """A margin that no difference of one test error can keep is refused."""
    with pytest.raises(UsageError, match=f"less than one of the {IMAGES} test images, which is 0.28 points"):
        verdict(tmp_path, (20, 21), (20, 22), 0.2)


# --------------------------------------------------------------------------------------------------- runs that diverge


def test_a_run_that_diverged_counts_as_guessing(tmp_path: Path) -> None:
    """It stays among the seeds with an error of 90 % of ten classes, is named, and a second line leaves it out."""
    runs = write_errors(tmp_path, PLAIN, (10, 12, 11, 12))
    write_errors(tmp_path, RESNET, (40, 43, 41, 42))
    assert compare([tmp_path])[0].pairs[0].verdict == "supported"
    diverged(runs[1])
    [answer] = compare([tmp_path])
    [pair] = answer.pairs
    assert pair.first.diverged == (1,)
    assert pair.first.values == pytest.approx((1000 / IMAGES, 90, 1100 / IMAGES, 1200 / IMAGES))
    assert pair.verdict == "undecided"
    assert pair.survivors is not None
    assert pair.survivors.verdict == "supported"
    assert pair.trained is not None
    assert pair.trained.interval_images is not None
    said = text(answer)
    assert "plain with seed 1 diverged and counts as guessing; without: plain 3.06 and resnet 11.53, supported." in said
    assert "diverged: plain with seed 1; counted as guessing in every mean, interval and verdict" in answer.warnings
    assert data(answer)["pairs"][0]["without_diverged"] == {"multiply-adds": "supported", "parameters": "supported"}
    [answer] = compare([tmp_path], metric="train_loss")
    assert max(answer.question.groups[0].values) == pytest.approx(math.log(10))
    with pytest.raises(FolderError, match="diverged, so it never reaches the error"):
        compare([tmp_path], metric="time_to_error=50")


def test_a_run_that_was_stopped_is_left_out(tmp_path: Path) -> None:
    """Only a number that is not finite is a result."""
    runs = write_errors(tmp_path, PLAIN, (10, 12, 11))
    write_errors(tmp_path, RESNET, (40, 43, 41))
    diverged(runs[1])
    runs[1].set_status("failed", epoch=1, reason="No space left on device")
    [answer] = compare([tmp_path])
    assert answer.pairs[0].first.diverged == ()
    assert len(answer.pairs[0].first.values) == 2


# ---------------------------------------------------------------------------------------------------------- other notes


def test_opposed_seeds_and_a_second_look_are_noted(tmp_path: Path) -> None:
    """Where shared seeds move two designs apart, and where a reader may want to add seeds."""
    write_errors(tmp_path, PLAIN, (10, 30, 50))
    write_errors(tmp_path, RESNET, (50, 32, 12))
    [answer] = compare([tmp_path])
    [opposed] = [note for note in answer.notes if note.startswith("Negative correlation over shared seeds")]
    assert "plain and resnet (-1.00)" in opposed
    assert any("Adding seeds until a difference is significant" in note for note in answer.notes)


def test_equal_seeds_of_another_order_are_no_pairs(tmp_path: Path) -> None:
    """Seeds are shared where only the design differs; another batch is another order of the data."""
    from tests.comparing.folders import RECIPE

    hard = (10, 30, 50, 20, 40)
    write_errors(tmp_path, PLAIN, hard)
    write_errors(tmp_path / "x", PLAIN, [each + 2 + each % 3 for each in hard], recipe=replace(RECIPE, batch=32))
    [answer] = compare([tmp_path, tmp_path / "x"])
    assert answer.pairs[0].trained is not None
    assert answer.pairs[0].trained.method != "paired"
    assert any("equal seeds, but not an equal order of the data: batch" in each for each in answer.warnings)


def test_a_measure_has_words() -> None:
    """Noun, unit and digits of each."""
    assert [
        (each.noun, each.unit, each.written(1.23456)) for each in map(measure_of, ("test_error", "train_loss"))
    ] == [
        ("test error", " points", "1.23"),
        ("training loss", "", "1.2346"),
    ]
    assert Measure(metric="time_to_error", target_percent=5.0).written(12.34, "+") == "+12.3"
