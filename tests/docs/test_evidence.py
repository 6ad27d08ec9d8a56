"""The pages of docs/evidence say what their data say, and their plans are those of the study files."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from docs.evidence import publish

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.comparing.effects import effects_of, logit
from resatlas.errors import FolderError
from resatlas.runs.collection import Cell
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


def test_the_published_figures_are_those_of_the_published_runs() -> None:
    """Computed anew from results.csv: every effect and every difference stands on its page."""
    assert PUBLISHED
    for name in PUBLISHED:
        page = (EVIDENCE / f"{name}.md").read_text(encoding="utf-8")
        runs = publish.published()[name]
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


def test_blocks_add_up_over_sittings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without runs changes nothing; rows of several sittings give effects, those of incomplete blocks none."""
    shutil.copytree(EVIDENCE, tmp_path / "evidence", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(publish, "HERE", tmp_path / "evidence")
    (tmp_path / "runs").mkdir()
    publish.main(tmp_path / "runs")
    for file in (tmp_path / "evidence").glob("*.*"):
        assert file.read_bytes() == (EVIDENCE / file.name).read_bytes(), file.name

    [question] = study("factorial").collection().questions
    rows = {cell.by_seed[seed]: _planted(cell, seed) for cell in question.cells for seed in (0, 1, 3)}
    found = publish.effects(question, rows, "test_error")
    assert found.seeds == (0, 1, 3)
    assert {effect.name: effect.estimate for effect in found.effects.effects}["unit"] == pytest.approx(-0.4, abs=0.01)
    assert [sentence.split(" left out")[0] for sentence in found.left_out] == ["block of seed 2", "block of seed 4"]
    del rows[question.cells[3].by_seed[1]]
    lost = question.cells[5].by_seed[0]
    rows[lost] |= {"status": "diverged", "test_error_percent": "75.0"}
    found = publish.effects(question, rows, "test_error")
    assert found.seeds == (0, 3)
    assert found.left_out[-1] == f"diverged, counted at chance level: {lost}"


def _planted(cell: Cell, seed: int) -> publish.Row:
    """A run whose logit is lower by 0.4 with the unit of pyramids."""
    value = -2 + (-0.2 if cell.levels[3] == "+" else 0.2) + 0.01 * seed
    error = 100 / (1 + math.exp(-value))
    numbers = {"test_error_percent": error, "test_images": 1_000_000, "train_loss": 0.1, "multiply_adds": 10_000_000}
    words = {"run": cell.by_seed[seed], "design": cell.levels, "parameters": "100000", "status": "finished"}
    return words | {key: str(number) for key, number in numbers.items()}


def test_runs_of_another_plan_do_not_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published plan stays, and a line says why nothing was added."""
    runs = tmp_path / "runs" / "claims"
    runs.mkdir(parents=True)
    (runs / FILE).write_text("{}", encoding="utf-8")

    def nothing(folders: Sequence[Path]) -> tuple[()]:
        if folders[0].name != "claims":
            raise FolderError("not begun")
        return ()

    monkeypatch.setattr(publish, "read_run_sets", nothing)
    shutil.copytree(EVIDENCE, tmp_path / "evidence", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(publish, "HERE", tmp_path / "evidence")
    publish.main(tmp_path / "runs")
    assert "another plan than claims.plan.json" in capsys.readouterr().err
    assert (tmp_path / "evidence" / "claims.plan.json").read_bytes() != b"{}"


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
