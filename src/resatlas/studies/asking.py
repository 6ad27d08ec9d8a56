"""The questions that a study puts to its trained networks, each answer kept in the folder of the first of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from resatlas.analysis.probes import FOLDER, result_from_json
from resatlas.errors import FolderError, ResatlasError
from resatlas.runs.decoding import read_run
from resatlas.runs.files import read_json
from resatlas.runs.names import RESULTS
from resatlas.runs.record import RunRecord
from resatlas.runs.store import Run
from resatlas.studies.dissection import dissect
from resatlas.studies.study import Study


def ask(study: Study, folder: Path, *, on_question: Callable[[str], None]) -> tuple[str, ...]:
    """Put every question of a study whose answer is not there yet; what could not be answered, in words.

    A question to a run that has no results is passed over: its page names that run.
    """
    read = cache(read_run)
    asked = [(question, [Run(folder / name) for name in names]) for question, names in study.questions_inside()]
    finished = [
        (question, [read(run.folder) for run in runs]) for question, runs in asked if all(run.finished for run in runs)
    ]
    todo = [(question, runs) for question, runs in finished if not _answered(question, runs)]
    failed: list[str] = []
    for k, (question, runs) in enumerate(todo, start=1):
        on_question(f"{question} of {_designs(runs)} ({k} of {len(todo)})")
        try:
            dissect(runs[0].folder, question, beside=[run.folder for run in runs[1:]])
        except ResatlasError as error:
            failed.append(f"{question} of {runs[0].name} is not answered: {error}")
    return tuple(failed)


def _designs(runs: list[RunRecord]) -> str:
    """The designs of some runs, each once."""
    return ", ".join(dict.fromkeys(run.experiment.design for run in runs))


def _answered(question: str, runs: list[RunRecord]) -> bool:
    """Whether the answer of just these runs is there, and was given after all of them had ended."""
    file = runs[0].folder / FOLDER / f"{question}.json"
    if not file.is_file():
        return False
    ended = max((run.folder / RESULTS).stat().st_mtime_ns for run in runs)
    try:
        return (
            result_from_json(read_json(file)).runs == tuple(run.name for run in runs)
            and file.stat().st_mtime_ns >= ended
        )
    except FolderError:
        return False
