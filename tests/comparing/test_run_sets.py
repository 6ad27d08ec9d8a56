"""Reading of run sets from the folders that a user names."""

import re
from pathlib import Path

import pytest

from resatlas.comparing.run_sets import read_run_sets, split_by_images
from resatlas.errors import FolderError
from resatlas.runs.collection import Collection, Question, read_collection, write_collection
from resatlas.runs.files import write_json
from resatlas.runs.frozen_plan import digest_of
from resatlas.values.codec import encode
from tests.comparing.folders import EQUAL, write_run, write_runs, write_stopped, write_study
from tests.comparing.planted import write_factorial


def test_single_runs_are_one_question(tmp_path: Path) -> None:
    """Each run is read once, however often it is named, in the order of the arguments."""
    runs = write_runs(tmp_path, EQUAL[:2])
    (run_set,) = read_run_sets([runs[1].folder, runs[0].folder, runs[1].folder / ".." / runs[1].name])
    assert (run_set.question.title, run_set.question.view) == ("Runs", "runs")
    assert [run.name for run in run_set.runs] == [runs[1].name, runs[0].name]
    assert run_set.unfinished == ()


def test_studies_come_first_and_name_what_is_missing(tmp_path: Path) -> None:
    """Runs that were stopped or not begun are named with their status."""
    runs = write_runs(tmp_path / "study", EQUAL[:1])
    names = (runs[0].name, write_stopped(tmp_path / "study" / "halted").name, "later")
    question = Question(name="budget", title="Which?", view="budget", runs=names)
    write_collection(tmp_path / "study", Collection(name="study", questions=(question,)))
    first, second = read_run_sets([runs[2].folder, tmp_path / "study"])
    assert (first.question, [run.name for run in first.runs]) == (question, [runs[0].name])
    assert first.unfinished == ("halted: stopped", "later: not begun")
    assert [run.name for run in second.runs] == [runs[2].name]


def test_a_folder_stands_for_the_runs_and_studies_in_it(tmp_path: Path) -> None:
    """A run that is named twice counts once."""
    runs = write_runs(tmp_path / "all", EQUAL[:2])
    write_study(tmp_path / "all" / "study")
    run_sets = read_run_sets([tmp_path / "all", runs[0].folder])
    assert [run_set.question.name for run_set in run_sets] == ["depth", "budget", "runs"]
    assert sorted(run.name for run in run_sets[2].runs) == sorted(run.name for run in runs)


def test_runs_on_other_images_are_other_questions(tmp_path: Path) -> None:
    """There is one part for each data set; unfinished runs are named once."""
    subject = EQUAL[0][0]
    runs = [write_run(tmp_path / data, subject, seed=0, wrong=[True, False], data=data) for data in ("digits", "svhn")]
    [whole] = read_run_sets([*(run.folder for run in runs), write_stopped(tmp_path / "halted").folder])
    first, second = split_by_images([whole])
    assert (first.question.title, second.question.title) == ("Runs (digits)", "Runs (svhn)")
    assert [[run.name for run in part.runs] for part in (first, second)] == [[run.name] for run in runs]
    assert (first.unfinished, second.unfinished) == (("halted: stopped",), ())
    assert split_by_images([first]) == (first,)


def test_other_folders_are_refused_with_a_hint(tmp_path: Path) -> None:
    """The error says what is missing, and where runs lie deeper."""
    (run,) = write_runs(tmp_path / "deep", [(EQUAL[0][0], 1)])
    with pytest.raises(
        FolderError, match=r"there is no experiment.json or study.json in it or in its folders; runs are in .*deep$"
    ):
        read_run_sets([tmp_path])
    with pytest.raises(FolderError, match=r"nowhere is neither a run nor a study: it does not exist$"):
        read_run_sets([tmp_path / "nowhere"])
    with pytest.raises(FolderError, match=r"it is a file$"):
        read_run_sets([run.folder / "env.json"])


def test_nothing_finished_is_nothing_to_report(tmp_path: Path) -> None:
    """The error names the status of each run."""
    run = write_stopped(tmp_path / "halted")
    with pytest.raises(FolderError, match=re.escape("nothing to report: no run is finished (halted: stopped)")):
        read_run_sets([run.folder])


def test_a_finished_run_without_results_is_named(tmp_path: Path) -> None:
    """Its status says which file is missing."""
    lost, _ = (run.folder for run in write_runs(tmp_path, [(EQUAL[0][0], 2)]))
    (lost / "results.json").unlink()
    [run_set] = read_run_sets([tmp_path])
    assert run_set.unfinished == (f"{lost.name}: its results.json is missing",)


def test_a_study_stays_in_its_folder(tmp_path: Path) -> None:
    """A downloaded study cannot refer to other folders."""
    question = Question(name="runs", title="Runs", view="runs", runs=("../private",))
    write_collection(tmp_path, Collection(name="study", questions=(question,)))
    with pytest.raises(FolderError, match=r"names a run outside its folder: \"../private\""):
        read_run_sets([tmp_path])


def test_every_reader_holds_a_study_to_its_plan(tmp_path: Path) -> None:
    """Runs that the frozen plan does not have are refused before anything is compared or shown."""
    write_factorial(tmp_path)
    assert read_run_sets([tmp_path])
    [question] = read_collection(tmp_path).questions
    content: dict[str, object] = {
        "schema": 1,
        "study": {"questions": [encode(question)]},
        "networks": dict[str, object](),
        "recipes": list[object](),
    }
    write_json(tmp_path / "plan.json", {**content, "sha256": digest_of(content)})
    with pytest.raises(FolderError, match=r"---0 trains another network than the frozen plan\.json"):
        read_run_sets([tmp_path])
    write_json(tmp_path / "plan.json", content)
    with pytest.raises(FolderError, match=r"plan\.json was changed: its content has another sha256 than it says"):
        read_run_sets([tmp_path])
