"""`resatlas effects` analyses a factorial study from its folder alone, in every format."""

import csv
import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli.main import main
from resatlas.runs.files import read_json, write_json
from tests.comparing.folders import EQUAL, edited, plan_of, seal, write_run
from tests.comparing.planted import SEEDS, write_factorial

GOLDEN = Path(__file__).parents[1] / "page" / "golden"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished factorial study with planted effects."""
    folder = tmp_path_factory.mktemp("planted")
    write_factorial(folder)
    return folder


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
def test_the_effects_read_as_their_golden_text(
    study: Path, form: str, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    """Claims, factors, effects, half-normal quantiles and notes."""
    assert main(("effects", str(study), "--format", form)) == 0
    golden(GOLDEN / f"effects-{form}.txt", capsys.readouterr().out.rstrip("\n"))


def test_the_csv_has_its_golden_data(
    study: Path, capsys: pytest.CaptureFixture[str], golden_data: Callable[[Path, str], None]
) -> None:
    """One row per effect, with all digits."""
    assert main(("effects", str(study), "--format", "csv")) == 0
    golden_data(GOLDEN / "effects-csv.txt", capsys.readouterr().out)


def test_json_has_what_a_plot_needs(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The responses of every cell, the quantiles of a half-normal plot, the four means of each interaction."""
    assert main(("effects", str(study), "--json")) == 0
    [analysis] = json.loads(capsys.readouterr().out)
    assert [len(cell["responses"]) for cell in analysis["cells"]] == [3] * 8
    assert len(analysis["effects"]) == len(analysis["half_normal"]) == 6
    means = analysis["interactions"][2]["means"]
    assert analysis["interactions"][2]["factors"] == ["streams", "unit"]
    assert means["++"] < means["+-"]
    assert means["--"] < means["-+"]


def test_the_training_loss_is_a_response(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a logarithmic scale."""
    assert main(("effects", str(study), "--metric", "train_loss", "--format", "csv")) == 0
    assert len(list(csv.DictReader(StringIO(capsys.readouterr().out)))) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("RUN",), "no question here has factors; `resatlas compare` compares designs pair by pair"),
        (("nowhere",), "nowhere is neither a run nor a study"),
        (("STUDY", "--metric", "tets_error"), 'no metric "tets_error"; did you mean "test_error"?'),
    ],
)
def test_a_wrong_word_is_answered_in_a_line(
    study: Path, tmp_path: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run, a folder that is not there, a misspelt metric."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])
    places = {"STUDY": str(study), "RUN": str(run.folder)}
    assert main(("effects", *(places.get(word, word) for word in words))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def change(study: Path, **values: object) -> None:
    """Change keys of the only question of a study."""
    file = study / "study.json"
    table: dict[str, Any] = read_json(file)
    table["questions"][0].update(values)
    write_json(file, table)


def cells_of(study: Path) -> list[dict[str, Any]]:
    """The cells of its only question."""
    return read_json(study / "study.json")["questions"][0]["cells"]


def lack_a_metric(study: Path) -> None:
    """One run is of a version that did not measure the training loss in evaluation mode."""
    file = study / "+-+-1" / "results.json"
    results = read_json(file)
    del results["train_evaluated"]
    write_json(file, results)
    seal(file.parent)


def seeds_differ(study: Path) -> None:
    """One cell has a seed less than the others."""
    first, second, *rest = cells_of(study)
    change(study, cells=[first, {**second, "seeds": second["seeds"][:2], "runs": second["runs"][:2]}, *rest])


def budgets_differ(study: Path) -> None:
    """One cell has deeper networks."""
    for seed in SEEDS:
        edited(study / f"----{seed}" / "experiment.json", plan=plan_of("resnet:depth=32,base=8"))


def factors_alias(study: Path) -> None:
    """Of the eight cells those four are listed in which the third level is the product of the other two."""
    half = ("--+", "-+-", "+--", "+++")
    change(study, cells=[cell for cell in cells_of(study) if cell["levels"] in half])


def a_run_has_another_seed(study: Path) -> None:
    """A run was trained with a seed that the plan does not have."""
    edited(study / "+-+-1" / "experiment.json", seed=9)


def a_run_has_another_recipe(study: Path) -> None:
    """A run was trained for another number of epochs."""
    recipe = read_json(study / "+-+-1" / "experiment.json")["recipe"]
    edited(study / "+-+-1" / "experiment.json", recipe={**recipe, "epochs": 11})


def a_run_has_another_network(study: Path) -> None:
    """The design of a cell was changed between its runs."""
    edited(study / "+-+-1" / "experiment.json", plan=plan_of("resnet:depth=20,base=8,shortcut=B"))


def no_block_is_complete(study: Path) -> None:
    """Each block lacks a run."""
    for seed in SEEDS:
        shutil.rmtree(study / f"+-+-{seed}")


def a_sign_is_wrong(study: Path) -> None:
    """A level is neither + nor -."""
    first, *rest = cells_of(study)
    change(study, cells=[{**first, "levels": "--0"}, *rest])


def a_level_is_missing(study: Path) -> None:
    """A cell has the levels of two factors."""
    first, *rest = cells_of(study)
    change(study, cells=[{**first, "levels": "--"}, *rest])


def a_run_is_missing(study: Path) -> None:
    """A cell has three seeds and two runs."""
    first, *rest = cells_of(study)
    change(study, cells=[{**first, "runs": first["runs"][:2]}, *rest])


def there_are_no_cells(study: Path) -> None:
    """The factors have no cells."""
    change(study, cells=[])


def factors_have_one_name(study: Path) -> None:
    """Two of the three factors are called unit."""
    first, _, third = read_json(study / "study.json")["questions"][0]["factors"]
    change(study, factors=[first, third, third])


@pytest.mark.parametrize(
    ("spoil", "metric", "message"),
    [
        (lack_a_metric, "train_loss", "+-+-1 has no training loss in evaluation mode"),
        (seeds_differ, "test_error", "cells need the same seeds; --- has 0, 1, 2, --+ has 0, 1"),
        (budgets_differ, "test_error", "cells need equal multiply-adds within 3 % of their middle; --+ has"),
        (factors_alias, "test_error", "factors alias: widths and streams x unit have"),
        (a_run_has_another_seed, "test_error", "+-+-1 has seed 9, and its cell +-+ lists it under seed 1; the folder"),
        (a_run_has_another_recipe, "test_error", "+-+-1 differ in recipe; cells may differ in their designs only"),
        (a_run_has_another_network, "test_error", "+-+-0 and +-+-1, both of cell +-+, are different networks"),
        (no_block_is_complete, "test_error", "no block is complete; block of seed 0 left out: 1 of 8 runs not"),
        (a_sign_is_wrong, "test_error", "study.json: the levels of a cell are signs + and -; got"),
        (a_level_is_missing, "test_error", "study.json: question f has 3 factors; cell -- has 2 levels"),
        (a_run_is_missing, "test_error", "study.json: cell --- needs a run for each of its seeds, all different"),
        (factors_have_one_name, "test_error", 'study.json: question f: two factors have the name "unit"'),
        (there_are_no_cells, "test_error", "study.json: question f has factors, but no cells"),
    ],
)
def test_a_study_that_cannot_be_analysed_is_answered_in_a_line(
    study: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    metric: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line says what is wrong and where; nothing is on standard output."""
    shutil.copytree(study, tmp_path / "study")
    spoil(tmp_path / "study")
    assert main(("effects", str(tmp_path / "study"), "--metric", metric)) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
