"""Sets of runs that are compared together, read from run folders and from the folders of studies."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from resatlas.comparing.rows import data_identity
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError, NonFiniteError, quoted
from resatlas.runs.collection import FILE, Question, read_collection
from resatlas.runs.decoding import read_beginning, read_run, read_status
from resatlas.runs.frozen_plan import FrozenPlan, read_plan
from resatlas.runs.names import FIRST, RESULTS
from resatlas.runs.record import Beginning, RunRecord

_MOST_NAMED = 3
"""Unfinished runs that a message names."""


class RunSet(NamedTuple):
    """A question with its finished runs; `unfinished` are the others as "name: status", `diverged` some of these."""

    question: Question
    runs: tuple[RunRecord, ...]
    unfinished: tuple[str, ...] = ()
    diverged: tuple[Beginning, ...] = ()


def read_run_sets(folders: Sequence[Path]) -> tuple[RunSet, ...]:
    """One set for each question of the studies among the folders, then one set of all single runs.

    A folder that is neither a run nor a study stands for the runs and studies in it.

    Raises: FolderError if a folder is neither and contains none, if no run is finished, or for runs of another plan.
    """
    studies: list[Path] = []
    single: list[Path] = []
    read = cache(read_run)  # a run of several questions is read once
    for folder in {inner.resolve(): inner for named in folders for inner in _runs_and_studies(named)}.values():
        if (folder / FILE).is_file():
            studies.append(folder)
        elif (folder / FIRST).is_file():
            single.append(folder.resolve())
        else:
            raise FolderError(f"{folder} is neither a run nor a study: {_why_neither(folder)}")
    run_sets = [run_set for folder in studies for run_set in _of_study(folder, read)]
    if single:
        names = tuple(folder.name for folder in single)
        run_sets.append(_run_set(Question(name="runs", title="Runs", view="runs", runs=names), single, read))
    if not any(run_set.runs for run_set in run_sets):
        waiting = list(dict.fromkeys(name for run_set in run_sets for name in run_set.unfinished))
        shown = [*waiting[:_MOST_NAMED], *([f"and {len(waiting) - _MOST_NAMED} more"] if waiting[_MOST_NAMED:] else [])]
        raise FolderError(f"nothing to report: no run is finished ({', '.join(shown) or 'no run was named'})")
    return tuple(run_sets)


def split_by_images(run_sets: Iterable[RunSet]) -> tuple[RunSet, ...]:
    """The sets, each split into one part per data set, so that all errors of a part are of the same images.

    Unfinished runs belong to the first part.
    """
    return tuple(part for run_set in run_sets for part in _parts(run_set))


def _parts(run_set: RunSet) -> list[RunSet]:
    by_data: dict[Hashable, list[RunRecord]] = {}
    for run in run_set.runs:
        by_data.setdefault(data_identity(run.beginning), []).append(run)
    if len(by_data) < 2:
        return [run_set]
    name, title = run_set.question.name, run_set.question.title
    questions = [
        replace(run_set.question, name=f"{name}-{k}", title=f"{title} ({presentable(runs[0].experiment.data)})")
        for k, runs in enumerate(by_data.values(), start=1)
    ]
    return [
        RunSet(question, tuple(runs), run_set.unfinished if k == 0 else (), run_set.diverged)
        for k, (question, runs) in enumerate(zip(questions, by_data.values(), strict=True))
    ]


def _runs_and_studies(folder: Path) -> list[Path]:
    """The folder itself if it is a run or a study, or contains none; else the runs and studies in it."""
    if not folder.is_dir() or (folder / FIRST).is_file() or (folder / FILE).is_file():
        return [folder]
    inner = sorted(path for path in folder.iterdir() if (path / FIRST).is_file() or (path / FILE).is_file())
    return inner or [folder]


def _of_study(folder: Path, read: Callable[[Path], RunRecord]) -> Iterator[RunSet]:
    """The run sets of a study, held to its frozen plan if it has one.

    Raises: FolderError for a run outside the folder, or for questions and runs of another plan.
    """
    plan = read_plan(folder)
    for question in read_collection(folder).questions:
        for name in question.runs:
            if Path(name).name != name:
                raise FolderError(f"{folder / FILE} names a run outside its folder: {quoted(name)}")
        run_set = _run_set(question, [folder.resolve() / name for name in question.runs], read)
        if plan:
            _check_kept(folder, plan, run_set)
        yield run_set


def _check_kept(folder: Path, plan: FrozenPlan, run_set: RunSet) -> None:
    try:
        plan.check_question(run_set.question)
        for begun in (*(run.beginning for run in run_set.runs), *run_set.diverged):
            plan.check_run(begun)
    except FolderError as error:
        raise FolderError(f"{folder}: {error}") from None


def _run_set(question: Question, folders: Sequence[Path], read: Callable[[Path], RunRecord]) -> RunSet:
    unfinished = [folder for folder in folders if not (folder / RESULTS).exists()]
    return RunSet(
        question=question,
        runs=tuple(read(folder) for folder in folders if (folder / RESULTS).exists()),
        unfinished=tuple(f"{folder.name}: {_status(folder)}" for folder in unfinished),
        diverged=tuple(read_beginning(folder) for folder in unfinished if _diverged(folder)),
    )


def _diverged(folder: Path) -> bool:
    """Whether a run ended because its loss, gradient or weights were not finite."""
    status = read_status(folder)
    return status is not None and status.error == NonFiniteError.__name__


def _status(folder: Path) -> str:
    status = read_status(folder)
    if status is None:
        return "not begun"
    return f"its {RESULTS} is missing" if status.status == "finished" else status.status


def _why_neither(folder: Path) -> str:
    if not folder.is_dir():
        return "it is a file" if folder.exists() else "it does not exist"
    deeper = sorted({str(file.parent.parent) for name in (FIRST, FILE) for file in folder.glob(f"*/*/{name}")})
    hint = f"; runs are in {', '.join(deeper[:3])}{', …' if len(deeper) > 3 else ''}" if deeper else ""
    return f"there is no {FIRST} or {FILE} in it or in its folders{hint}"
