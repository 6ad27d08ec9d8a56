"""The dissections of a study's trained networks; each answer is kept in the folder of the first network."""

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


def dissect_study(study: Study, folder: Path, *, on_question: Callable[[str], None]) -> tuple[str, ...]:
    """Answer every question of a study that has no valid answer yet; return a sentence for each failure.

    A question about a run without results is skipped; the page names that run.
    """
    read = cache(read_run)
    questions = [(question, [Run(folder / name) for name in names]) for question, names in study.dissected_runs()]
    finished = [
        (question, [read(run.folder) for run in runs])
        for question, runs in questions
        if all(run.finished for run in runs)
    ]
    todo = [(question, runs) for question, runs in finished if not _is_answered(question, runs)]
    failures: list[str] = []
    for k, (question, runs) in enumerate(todo, start=1):
        on_question(f"{question} of {_designs(runs)} ({k} of {len(todo)})")
        try:
            dissect(runs[0].folder, question, beside=[run.folder for run in runs[1:]])
        except ResatlasError as error:
            failures.append(f"{question} of {runs[0].name} failed: {error}")
    return tuple(failures)


def _designs(runs: list[RunRecord]) -> str:
    """The designs of some runs, each once."""
    return ", ".join(dict.fromkeys(run.experiment.design for run in runs))


def _is_answered(question: str, runs: list[RunRecord]) -> bool:
    """Whether there is an answer for exactly these runs that is newer than their results."""
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
