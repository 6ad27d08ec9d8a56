"""What `resatlas dissect` prints, writes and refuses."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.analysis.probes import PROBES
from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.training.small import EXPERIMENT, carried_out

Ask = Callable[..., dict[str, object]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Finished runs: a residual network, a plain one, a merge-and-run one, and one without validation images."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = replace(EXPERIMENT.recipe, validation=EXPERIMENT.recipe.validation * 0)
    plain, merged = (replace(EXPERIMENT, design=design) for design in ("plain:depth=8,base=2", "dmrnet:depth=8,base=2"))
    return {
        "resnet": carried_out(folder / "resnet"),
        "plain": carried_out(folder / "plain", plain),
        "merged": carried_out(folder / "merged", merged),
        "bare": carried_out(folder / "bare", replace(EXPERIMENT, recipe=recipe)),
    }


@pytest.fixture
def ask(runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> Ask:
    """A function that runs a probe and returns its result as JSON, which must equal the file in the run's folder."""

    def result_of(run: str, question: str, *words: str) -> dict[str, object]:
        folder = runs[run].folder
        arguments = [str(runs[word].folder) if word in runs else word for word in words]
        assert main(["dissect", str(folder), question, *arguments, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer == json.loads((folder / "dissections" / f"{question}.json").read_text(encoding="utf-8"))
        return answer

    return result_of


def rows(answer: dict[str, object], table: int = 0) -> list[dict[str, object]]:
    """The rows of one table of a result, as objects."""
    tables = answer["tables"]
    assert isinstance(tables, list)
    names = [column["name"] for column in tables[table]["columns"]]
    return [dict(zip(names, row, strict=True)) for row in tables[table]["rows"]]


def facts(answer: dict[str, object]) -> dict[str, object]:
    """The facts of a result by name."""
    facts = answer["facts"]
    assert isinstance(facts, list)
    return {fact["name"]: fact["value"] for fact in facts}


@pytest.mark.parametrize("question", PROBES)
def test_every_result_has_names_and_units(
    question: str, ask: Ask, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value has a name; numbers have a unit, words have none; the text names the run and the images."""
    run = "merged" if question == "streams" else "resnet"
    answer = ask(run, question)
    assert (answer["question"], answer["runs"]) == (question, [run])
    tables = answer["tables"]
    assert isinstance(tables, list)
    assert tables
    for table in tables:
        assert table["rows"] or question == "explain"
        for row in table["rows"]:
            assert len(row) == len(table["columns"])
            for value, column in zip(row, table["columns"], strict=True):
                assert column["name"]
                assert value is None or isinstance(value, str) == (column["unit"] == "")
    assert main(["dissect", str(runs[run].folder), question]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{run}: {answer['title']} ({answer['images']})")
    assert all(table["title"] in printed for table in tables)


def test_images_are_validation_images_if_there_are_some(ask: Ask) -> None:
    """Probes use validation images, else training images; only explain uses test images."""
    assert ask("resnet", "surface")["images"] == "12 of 12 validation images"
    assert ask("bare", "surface")["images"] == "96 of 96 training images"
    assert ask("resnet", "paths", "--images", "5")["images"] == "5 of 12 validation images"
    assert str(ask("resnet", "explain")["images"]).endswith(" test images")


def test_the_middle_of_the_surface_is_the_stored_loss(ask: Ask, runs: dict[str, Run]) -> None:
    """The loss at (0, 0) equals the validation loss in the results of the run."""
    answer = ask("resnet", "surface")
    middle = next(row for row in rows(answer) if row["first"] == row["second"] == 0)
    stored = runs["resnet"].record().written["validation"]["loss"]
    assert middle["loss"] == pytest.approx(stored, rel=1e-6)
    assert facts(answer)["loss_stored_by_the_run"] == stored


def test_lesions_compare_networks(ask: Ask) -> None:
    """There is a contrast for each run and a mean for each design, whose n counts runs."""
    answer = ask("resnet", "lesion", "--beside", "bare", "plain")
    assert [row["run"] for row in rows(answer)] == ["resnet", "bare", "plain"]
    facts = answer["facts"]
    assert isinstance(facts, list)
    contrast = "extra error of resnet:depth=8,base=2 when a down-sampling unit is removed, BN statistics kept"
    assert {fact["unit"] for fact in facts if fact["name"] == f"{contrast}, mean"} == {
        "percentage points, n = 2 networks"
    }
    assert [row["unit"] for row in rows(answer, 1)] == ["stages.0.0", "stages.1.0", "stages.2.0"]


def test_flow_measures_the_start_and_the_checkpoints(ask: Ask, runs: dict[str, Run]) -> None:
    """Flow measures the start and the checkpoints, or every epoch of a replay, which ends with the same weights."""
    checkpoints = ask("resnet", "flow", "--beside", "plain")
    moments = list(dict.fromkeys((row["run"], row["moment"]) for row in rows(checkpoints)))
    assert moments == [(run, when) for run in ("resnet", "plain") for when in ("start", "step 10", "step 15")]
    replay = ask("resnet", "flow", "--replay")
    assert list(dict.fromkeys(row["moment"] for row in rows(replay))) == ["start", "epoch 1", "epoch 2", "epoch 3"]
    assert facts(replay)["replay ends with the weights of resnet"] == "yes"

    def rows_at(answer: dict[str, object], when: str) -> list[dict[str, object]]:
        chosen = [row for row in rows(answer) if (row["run"], row["moment"]) == ("resnet", when)]
        return [{key: value for key, value in row.items() if key != "moment"} for row in chosen]

    assert rows_at(replay, "epoch 3") == rows_at(checkpoints, "step 15")
    assert rows_at(replay, "start") == rows_at(checkpoints, "start")
    assert rows_at(replay, "epoch 2") == rows_at(checkpoints, "step 10") != rows_at(replay, "epoch 3")
    assert not (runs["resnet"].folder / "run").exists()


def test_streams_name_the_runs_that_are_missing(ask: Ask, runs: dict[str, Run]) -> None:
    """The note has a command for every matrix without a run, and every command is valid."""
    from resatlas.designs.catalog import resolve

    notes = ask("merged", "streams")["notes"]
    assert isinstance(notes, list)
    commands = [line.split() for line in notes[0].splitlines()[1:]]
    assert [command[2].split(",")[-1] for command in commands] == ["base=2"] * 4
    assert len({resolve(command[2]).blueprint for command in commands}) == 4
    assert {command[4] for command in commands} == {EXPERIMENT.data}
    assert runs["merged"].finished


def test_pictures_of_errors(ask: Ask, runs: dict[str, Run]) -> None:
    """There is one picture for each misclassified image in predictions.csv."""
    with (runs["resnet"].folder / "predictions.csv").open(encoding="utf-8") as lines:
        wrong = [row for row in csv.DictReader(lines) if row["true"] != row["predicted"]]
    answer = ask("resnet", "explain", "--images", "3")
    assert len(rows(answer)) == min(3, len(wrong))
    for row in rows(answer):
        picture = runs["resnet"].folder / "dissections" / str(row["picture"])
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("resnet", "lesions"), 'no question "lesions"; did you mean "lesion"?'),
        (("resnet", "paths", "--beside", "plain"), "paths takes one run; leave out --beside"),
        (("resnet", "paths", "--swap", "a,b"), "--swap applies only to lesion, not to paths"),
        (("resnet", "lesion", "--swap", "a"), 'expected two units, as in stages.0.1,stages.0.2; got "a"'),
        (("resnet", "lesion", "--swap", "stages.0.0,stages.1.0"), "only units of the same shape can be swapped"),
        (("resnet", "lesion", "--swap", "stages.0.0,stages.9.0"), 'no unit "stages.9.0"'),
        (("resnet", "lesion", "--replay"), "--replay applies only to flow, not to lesion"),
        (("resnet", "capacity", "--images", "9"), "capacity needs no images"),
        (("resnet", "surface", "--images", "1"), "--images must be at least 2; got 1"),
        (("resnet", "streams"), "the network has one stream"),
        (("resnet", "similarity", "--beside", "bare"), "have different validation images"),
        (("nowhere", "paths"), "nowhere is neither a run folder nor a saved network: it does not exist"),
    ],
)
def test_refusals(
    words: tuple[str, ...], sentence: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints one line with the reason and exits with code 2."""
    arguments = [str(runs[word].folder) if word in runs else word for word in words]
    assert main(["dissect", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_unfinished_runs_are_refused(tmp_path: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is not finished is refused."""
    (tmp_path / "run").mkdir()
    text = (runs["resnet"].folder / "experiment.json").read_text(encoding="utf-8")
    (tmp_path / "run" / "experiment.json").write_text(text, encoding="utf-8")
    assert main(["dissect", str(tmp_path / "run"), "paths"]) == 2
    assert "is not finished" in capsys.readouterr().err


def test_capacity_needs_no_torch(runs: dict[str, Run]) -> None:
    """The capacity probe does not import torch."""
    program = "import sys; from resatlas.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    words = ["dissect", str(runs["resnet"].folder), "capacity", "--quiet"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0 False\n", "")
