"""The pages of docs/evidence say what their data say, and their plans are those of the study files."""

import csv
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from docs.evidence import publish

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.comparing.effects import effects_of, logit
from resatlas.runs.frozen_plan import FILE
from resatlas.studies.frozen import freeze
from resatlas.studies.study import Study, read_study

EVIDENCE = Path(publish.__file__).parent
STUDIES = sorted(path.stem for path in EVIDENCE.glob("*.toml"))
PUBLISHED = sorted(path.name.removesuffix(".plan.json") for path in EVIDENCE.glob("*.plan.json"))


def study(name: str) -> Study:
    """The study of a file in docs/evidence."""
    return read_study(EVIDENCE / f"{name}.toml")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_plan_is_that_of_its_study(name: str, tmp_path: Path) -> None:
    """Nothing in a study file has changed since its first run."""
    shutil.copy(EVIDENCE / f"{name}.plan.json", tmp_path / FILE)
    freeze(study(name), tmp_path)


def rows(name: str) -> Iterator[dict[str, str]]:
    """The runs of a study in results.csv."""
    with (EVIDENCE / "results.csv").open(encoding="utf-8", newline="") as file:
        yield from (row for row in csv.DictReader(file) if row["study"] == name)


def test_the_published_figures_are_those_of_the_published_runs() -> None:
    """Computed anew from results.csv: every effect and every difference stands on its page."""
    assert PUBLISHED
    for name in PUBLISHED:
        page = (EVIDENCE / f"{name}.md").read_text(encoding="utf-8")
        runs = {row["run"]: row for row in rows(name)}
        (_check_effects if name in publish.FACTORIALS else _check_differences)(study(name), runs, page)


def _check_effects(study: Study, runs: dict[str, dict[str, str]], page: str) -> None:
    [question] = study.collection().questions
    cells = question.cells
    seeds = [seed for seed in cells[0].seeds if all(cell.by_seed[seed] in runs for cell in cells)]
    values = np.array([[_logit(runs[cell.by_seed[seed]]) for seed in seeds] for cell in cells])
    levels = {
        factor.name: tuple(1 if cell.levels[place] == "+" else -1 for cell in cells)
        for place, factor in enumerate(question.factors)
    }
    effects = effects_of(levels, values).effects
    assert len(effects) == 15
    for effect in effects:
        assert f"| {effect.name} | {effect.estimate:.3g} |" in page


def _logit(row: dict[str, str]) -> float:
    images = int(row["test_images"])
    return logit(round(float(row["test_error_percent"]) / 100 * images), images)


def _check_differences(study: Study, runs: dict[str, dict[str, str]], page: str) -> None:
    experiments = study.distinct_experiments()
    for question in study.collection().questions:
        hypothesis = question.hypothesis
        assert hypothesis
        column, digits = {"test_error": ("test_error_percent", 2), "train_loss": ("train_loss", 4)}[hypothesis.metric]
        means = [
            np.mean([float(runs[run][column]) for run in question.runs if run in runs and experiments[run].design == d])
            for d in (hypothesis.first, hypothesis.second)
        ]
        [line] = [line for line in page.splitlines() if line.startswith(f"| {question.name} | {question.title[:20]}")]
        assert f"{means[0] - means[1]:+.{digits}f}" in line


@pytest.mark.parametrize("name", publish.FACTORIALS)
def test_the_cells_are_of_equal_cost(name: str) -> None:
    """Ten million multiply-adds within 3 %, all sixteen different."""
    image, classes = {"factorial": (Shape(1, 16, 16), 4), "factorial-fashion": (Shape(1, 32, 32), 10)}[name]
    experiments = study(name).distinct_experiments().values()
    plans = {experiment.design: experiment.entry.plan(image=image, classes=classes) for experiment in experiments}
    assert len(plans) == 16
    assert all(abs(cost(plan).multiply_adds / 1e7 - 1) < 0.03 for plan in plans.values())


def test_what_is_too_dear_here_has_a_price() -> None:
    """Every design, recipe and data set of elsewhere.csv is known, and costs between minutes and weeks."""
    claims = publish.elsewhere()
    assert len({claim.name for claim in claims}) == len(claims) > 10
    assert all(0.1 < claim.hours < 500 and math.isfinite(claim.hours) for claim in claims)


def test_every_study_is_made_by_make_evidence() -> None:
    """The Makefile names each study file once."""
    makefile = (EVIDENCE.parents[1] / "Makefile").read_text(encoding="utf-8")
    [line] = [line for line in makefile.splitlines() if line.startswith("EVIDENCE :=")]
    assert sorted(line.split()[2:]) == STUDIES
    assert set(publish.FACTORIALS) | set(publish.ASKED) == set(STUDIES)
