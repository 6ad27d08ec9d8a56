"""What a user names, as questions with their runs: run folders, and folders of a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resatlas.errors import FolderError, quoted
from resatlas.runs.collection import FILE, Question, read_collection
from resatlas.runs.files import read_json
from resatlas.runs.store import Run, find


class Answer(NamedTuple):
    """A question, its finished runs, and its other runs in words: name and status."""

    question: Question
    runs: tuple[Run, ...]
    unfinished: tuple[str, ...] = ()


def report(folders: Sequence[Path]) -> tuple[Answer, ...]:
    """The questions of the studies among the folders, then one question over the single runs.

    Raises: FolderError if a folder is neither run nor study, or if no run is finished.
    """
    studies: list[Path] = []
    single: list[Run] = []
    for folder in {folder.resolve(): folder for folder in folders}.values():
        if (folder / FILE).is_file():
            studies.append(folder)
        elif (folder / "experiment.json").is_file():
            single.append(find(folder.resolve()))
        else:
            raise FolderError(f"{folder} is neither a run nor a study: {_what_it_is(folder)}")
    answers = [_answer(folder, question) for folder in studies for question in read_collection(folder).questions]
    if single:
        names = tuple(run.name for run in single)
        answers.append(_sorted_out(Question(name="runs", title="Runs", view="runs", runs=names), single))
    if not any(answer.runs for answer in answers):
        waiting = dict.fromkeys(name for answer in answers for name in answer.unfinished)
        raise FolderError(f"nothing to report: no run is finished ({', '.join(waiting) or 'none was named'})")
    return tuple(answers)


def _answer(folder: Path, question: Question) -> Answer:
    for name in question.runs:
        if Path(name).name != name:
            raise FolderError(f"{folder / FILE} names a run outside its folder: {quoted(name)}")
    return _sorted_out(question, [Run(folder / name) for name in question.runs])


def _sorted_out(question: Question, runs: Sequence[Run]) -> Answer:
    return Answer(
        question=question,
        runs=tuple(run for run in runs if run.finished),
        unfinished=tuple(f"{run.name}: {_status(run)}" for run in runs if not run.finished),
    )


def _status(run: Run) -> str:
    file = run.folder / "status.json"
    if not file.is_file():
        return "not begun"
    status = read_json(file)
    return str(status.get("status", "unknown")) if isinstance(status, dict) else "unknown"


def _what_it_is(folder: Path) -> str:
    if not folder.is_dir():
        return "it is a file" if folder.exists() else "it does not exist"
    near = sorted(file.parent.name for name in ("experiment.json", FILE) for file in folder.glob(f"*/{name}"))
    hint = f"; it holds {', '.join(near[:3])}{', …' if len(near) > 3 else ''}" if near else ""
    return f"it has neither experiment.json nor {FILE}{hint}"
