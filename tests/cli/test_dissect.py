"""What dissect answers, prints, writes and refuses."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.analysis.questions import QUESTIONS
from resatlas.cli.main import main
from resatlas.runs.store import Run
from tests.training.small import EXPERIMENT, carried_out

Ask = Callable[..., dict[str, object]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Finished runs: a residual network, its plain twin, a net of streams, and the first without validation images."""
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
    """Puts a question to a run; the JSON of its answer, which is in the run's folder too."""

    def asked(run: str, question: str, *words: str) -> dict[str, object]:
        folder = runs[run].folder
        given = [str(runs[word].folder) if word in runs else word for word in words]
        assert main(["dissect", str(folder), question, *given, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer == json.loads((folder / "dissections" / f"{question}.json").read_text(encoding="utf-8"))
        return answer

    return asked


def rows(answer: dict[str, object], table: int = 0) -> list[dict[str, object]]:
    """The rows of one of its tables, by the names of their columns."""
    tables = answer["tables"]
    assert isinstance(tables, list)
    names = [column["name"] for column in tables[table]["columns"]]
    return [dict(zip(names, row, strict=True)) for row in tables[table]["rows"]]


def facts(answer: dict[str, object]) -> dict[str, object]:
    """Its facts by name."""
    found = answer["facts"]
    assert isinstance(found, list)
    return {fact["name"]: fact["value"] for fact in found}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_answer_with_names_and_units(
    question: str, ask: Ask, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each value stands under a name; numbers have a unit, words have none; the text names the run and the images."""
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
    told = capsys.readouterr().out
    assert told.startswith(f"{run}: {answer['title']} ({answer['images']})")
    assert all(table["title"] in told for table in tables)


def test_images_are_those_held_back_or_said_to_be_others(ask: Ask) -> None:
    """Validation images where there are some; never the test's, explain apart, which shows what the test found."""
    assert ask("resnet", "surface")["images"] == "12 of 12 validation images"
    assert ask("bare", "surface")["images"] == "96 of 96 training images"
    assert ask("resnet", "paths", "--images", "5")["images"] == "5 of 12 validation images"
    assert str(ask("resnet", "explain")["images"]).endswith(" test images")


def test_the_middle_of_the_surface_is_the_stored_loss(ask: Ask, runs: dict[str, Run]) -> None:
    """What the training noted of its validation images, and what is measured at (0, 0)."""
    answer = ask("resnet", "surface")
    middle = next(row for row in rows(answer) if row["first"] == row["second"] == 0)
    stored = runs["resnet"].record().written["validation"]["loss"]
    assert middle["loss"] == pytest.approx(stored, rel=1e-6)
    assert facts(answer)["loss_stored_by_the_run"] == stored


def test_lesions_compare_networks(ask: Ask) -> None:
    """A contrast for each run and a mean for each design, whose n counts runs; a pair may change places."""
    answer = ask("resnet", "lesion", "--beside", "bare", "plain")
    assert [row["run"] for row in rows(answer)] == ["resnet", "bare", "plain"]
    told = answer["facts"]
    assert isinstance(told, list)
    assert {fact["unit"] for fact in told if fact["name"] == "mean contrast_frozen of resnet:depth=8,base=2"} == {
        "percentage points, n = 2 networks"
    }
    assert [row["unit"] for row in rows(answer, 1)] == ["stages.0.0", "stages.1.0", "stages.2.0"]


def test_flow_tells_of_the_start_and_of_what_is_kept(ask: Ask, runs: dict[str, Run]) -> None:
    """Start and the last checkpoints, or every epoch of a replay, which ends with the same weights; runs together."""
    kept = ask("resnet", "flow", "--beside", "plain")
    moments = list(dict.fromkeys((row["run"], row["moment"]) for row in rows(kept)))
    assert moments == [(run, when) for run in ("resnet", "plain") for when in ("start", "step 10", "step 15")]
    replay = ask("resnet", "flow", "--replay")
    assert list(dict.fromkeys(row["moment"] for row in rows(replay))) == ["start", "epoch 1", "epoch 2", "epoch 3"]
    assert facts(replay)["replay ends with the weights of resnet"] == "yes"

    def last(answer: dict[str, object], when: str) -> list[dict[str, object]]:
        found = [row for row in rows(answer) if (row["run"], row["moment"]) == ("resnet", when)]
        return [{key: value for key, value in row.items() if key != "moment"} for row in found]

    assert last(replay, "epoch 3") == last(kept, "step 15")
    assert last(replay, "start") == last(kept, "start")
    assert last(replay, "epoch 2") == last(kept, "step 10") != last(replay, "epoch 3")
    assert not (runs["resnet"].folder / "run").exists()


def test_streams_name_the_runs_that_are_missing(ask: Ask, runs: dict[str, Run]) -> None:
    """A command for every matrix without a run; each of them is understood."""
    from resatlas.designs.catalog import resolve

    notes = ask("merged", "streams")["notes"]
    assert isinstance(notes, list)
    commands = [line.split() for line in notes[0].splitlines()[1:]]
    assert [command[2].split(",")[-1] for command in commands] == ["base=2"] * 4
    assert len({resolve(command[2]).blueprint for command in commands}) == 4
    assert {command[4] for command in commands} == {EXPERIMENT.data}
    assert runs["merged"].finished


def test_pictures_of_errors(ask: Ask, runs: dict[str, Run]) -> None:
    """One for each wrong image, which the predictions name."""
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
        (("resnet", "lesion", "--swap", "a"), "is not two units, as in stages.0.1,stages.0.2"),
        (("resnet", "lesion", "--swap", "stages.0.0,stages.1.0"), "units change places only where they are of one"),
        (("resnet", "lesion", "--swap", "stages.0.0,stages.9.0"), 'no unit "stages.9.0"'),
        (("resnet", "lesion", "--replay"), "--replay applies only to flow, not to lesion"),
        (("resnet", "capacity", "--images", "9"), "capacity needs no images"),
        (("resnet", "surface", "--images", "1"), "--images must be at least 2; got 1"),
        (("resnet", "streams"), "the network has one stream"),
        (("resnet", "similarity", "--beside", "bare"), "hold back different images"),
        (("nowhere", "paths"), "nowhere is not a run folder: it does not exist"),
    ],
)
def test_refusals(
    words: tuple[str, ...], sentence: str, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that finishes the sentence, exit code 2."""
    given = [str(runs[word].folder) if word in runs else word for word in words]
    assert main(["dissect", *given]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert sentence in told.err


def test_unfinished_runs_are_refused(tmp_path: Path, runs: dict[str, Run], capsys: pytest.CaptureFixture[str]) -> None:
    """What is not trained to its end is not dissected."""
    (tmp_path / "run").mkdir()
    text = (runs["resnet"].folder / "experiment.json").read_text(encoding="utf-8")
    (tmp_path / "run" / "experiment.json").write_text(text, encoding="utf-8")
    assert main(["dissect", str(tmp_path / "run"), "paths"]) == 2
    assert "is not finished" in capsys.readouterr().err


def test_capacity_needs_no_torch(runs: dict[str, Run]) -> None:
    """It is there at once."""
    program = "import sys; from resatlas.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    words = ["dissect", str(runs["resnet"].folder), "capacity", "--quiet"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0 False\n", "")
