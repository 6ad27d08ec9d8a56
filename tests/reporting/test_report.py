"""What a user may name to be reported."""

import re
from pathlib import Path

import pytest

from resatlas.errors import FolderError
from resatlas.reporting.report import report
from resatlas.runs.collection import Collection, Question, write_collection
from tests.reporting.folders import EQUAL, write_runs, write_stopped


def test_single_runs_are_one_question(tmp_path: Path) -> None:
    """Each run once, however often it is named, in the order given."""
    runs = write_runs(tmp_path, EQUAL[:2])
    (answer,) = report([runs[1].folder, runs[0].folder, runs[1].folder / ".." / runs[1].name])
    assert (answer.question.title, answer.question.view) == ("Runs", "runs")
    assert answer.runs == (runs[1], runs[0])
    assert answer.unfinished == ()


def test_studies_come_first_and_name_what_is_missing(tmp_path: Path) -> None:
    """Runs that were stopped or not begun are named with their status, not dropped."""
    runs = write_runs(tmp_path / "study", EQUAL[:1])
    names = (runs[0].name, write_stopped(tmp_path / "study" / "halted").name, "later")
    question = Question(name="budget", title="Which?", view="budget", runs=names)
    write_collection(tmp_path / "study", Collection(name="study", questions=(question,)))
    first, second = report([runs[2].folder, tmp_path / "study"])
    assert (first.question, first.runs) == (question, (runs[0],))
    assert first.unfinished == ("halted: stopped", "later: not begun")
    assert second.runs == (runs[2],)


def test_other_folders_are_refused_with_a_hint(tmp_path: Path) -> None:
    """The error says what is missing, and which runs the folder holds."""
    (run,) = write_runs(tmp_path / "runs", [(EQUAL[0][0], 1)])
    with pytest.raises(FolderError, match=rf"has neither experiment.json nor study.json; it holds {run.name}$"):
        report([tmp_path / "runs"])
    with pytest.raises(FolderError, match=r"nowhere is neither a run nor a study: it does not exist$"):
        report([tmp_path / "nowhere"])
    with pytest.raises(FolderError, match=r"it is a file$"):
        report([run.folder / "env.json"])


def test_nothing_finished_is_nothing_to_report(tmp_path: Path) -> None:
    """The status of what was named is said."""
    run = write_stopped(tmp_path / "halted")
    with pytest.raises(FolderError, match=re.escape("nothing to report: no run is finished (halted: stopped)")):
        report([run.folder])


def test_a_study_stays_in_its_folder(tmp_path: Path) -> None:
    """A study from elsewhere cannot point at other folders."""
    question = Question(name="runs", title="Runs", view="runs", runs=("../private",))
    write_collection(tmp_path, Collection(name="study", questions=(question,)))
    with pytest.raises(FolderError, match=r"names a run outside its folder: \"../private\""):
        report([tmp_path])
