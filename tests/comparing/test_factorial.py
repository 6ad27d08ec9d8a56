"""A factorial question is analysed from run folders alone, and says what it leaves out."""

import math
from pathlib import Path

import numpy as np
import pytest

from resatlas.comparing.factorial import factorial, supported
from resatlas.comparing.run_sets import RunSet
from resatlas.errors import UsageError
from resatlas.runs.collection import Question
from resatlas.runs.store import Run
from tests.comparing.folders import IMAGES, diverged
from tests.comparing.planted import CELLS, SEEDS, misses, write_factorial


@pytest.fixture
def study(tmp_path: Path) -> RunSet:
    """Eight cells of three blocks, all finished."""
    return write_factorial(tmp_path)


def logit(levels: str, seed: int) -> float:
    """The logit of a cell's error with half an image more on either side."""
    return math.log((misses(levels, seed) + 0.5) / (IMAGES - misses(levels, seed) + 0.5))


def test_planted_effects_are_found(study: RunSet) -> None:
    """The main effect of widths and the interaction, and no other; each is a difference of means of logits."""
    found = factorial(study)
    assert {effect.name for effect in supported(found.effects.effects)} == {"widths", "streams x unit"}
    widths, *_ = found.effects.effects
    expected = [np.mean([logit(c, s) for c in CELLS if c[0] == sign for s in SEEDS]) for sign in "+-"]
    assert widths.estimate == pytest.approx(expected[0] - expected[1])
    assert (found.scale, found.seeds, found.left_out) == ("logit", SEEDS, ())
    assert found.values.shape == (8, 3)


def without(study: RunSet, *names: str) -> RunSet:
    """The study while some of its runs are not finished."""
    runs = tuple(run for run in study.runs if run.name not in names)
    return RunSet(study.question, runs, tuple(f"{name}: running" for name in names))


def test_an_incomplete_block_is_left_out(study: RunSet) -> None:
    """As a whole, and the analysis says so; the other blocks give the same as alone."""
    found = factorial(without(study, "+-+-1", "++--1"))
    assert found.seeds == (0, 2)
    assert found.left_out == ("block of seed 1 left out: 2 of 8 runs not finished",)
    assert found.values == pytest.approx(factorial(study).values[:, [0, 2]])
    with pytest.raises(UsageError, match="no block is complete; block of seed 0 left out: 1 of 8 runs not finished"):
        factorial(without(study, *(f"+-+-{seed}" for seed in SEEDS)))


def test_a_diverged_run_counts_at_chance_level(study: RunSet, tmp_path: Path) -> None:
    """It stays in its cell with an error of 90 % of ten classes, and is named."""
    run = Run(tmp_path / "+-+-1")
    diverged(run)
    found = factorial(RunSet(study.question, without(study, run.name).runs, (), (run.beginning(),)))
    assert found.seeds == SEEDS
    assert found.left_out == ("diverged, counted at chance level: +-+-1",)
    assert found.values[CELLS.index("+-+"), 1] == pytest.approx(math.log(9), abs=1e-4)


def test_many_diverged_runs_make_ranks(study: RunSet, tmp_path: Path) -> None:
    """Three of 24 are more than a tenth: every block then has the ranks 1 to 8, those at chance level the highest."""
    runs = [Run(tmp_path / name) for name in ("+-+-1", "----2", "++--0")]
    for run in runs:
        diverged(run)
    names = [run.name for run in runs]
    found = factorial(RunSet(study.question, without(study, *names).runs, (), tuple(run.beginning() for run in runs)))
    assert found.scale == "ranks"
    assert found.values.sum(axis=0).tolist() == [36, 36, 36]
    assert found.values[CELLS.index("+-+"), 1] == 8


def test_a_question_without_factors_is_refused(study: RunSet) -> None:
    """In words, with the name of the question."""
    question = Question(name="q", title="Q", view="runs", runs=study.question.runs)
    with pytest.raises(UsageError, match="question q has no factors"):
        factorial(RunSet(question, study.runs, ()))


def test_cells_of_unequal_cost_are_refused(tmp_path: Path) -> None:
    """The message has the cheapest and the most expensive cell."""
    with pytest.raises(UsageError, match=r"equal multiply-adds within 3 % of their middle; --\+ has .*, --- has"):
        factorial(write_factorial(tmp_path, designs={"---": "resnet:depth=32,base=8"}))


def test_parameters_that_follow_from_the_factors_have_no_covariate(study: RunSet) -> None:
    """Cells of one network cannot separate the parameters from the mean."""
    assert factorial(study).covariate is None
