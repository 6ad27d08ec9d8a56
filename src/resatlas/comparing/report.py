"""What a user names, as questions with their runs: run folders, and folders of a study."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from resatlas.comparing.comparison import same_data
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError, NonFiniteError, quoted
from resatlas.runs.collection import FILE, Question, read_collection
from resatlas.runs.decoding import read_beginning, read_run, read_status
from resatlas.runs.names import FIRST, RESULTS
from resatlas.runs.record import Beginning, RunRecord


class Answer(NamedTuple):
    """A question, its finished runs, its other runs in words (name and status), and those of them that diverged."""

    question: Question
    runs: tuple[RunRecord, ...]
    unfinished: tuple[str, ...] = ()
    diverged: tuple[Beginning, ...] = ()


def report(folders: Sequence[Path]) -> tuple[Answer, ...]:
    """The questions of the studies among the folders, then one question over the single runs.

    A folder that is neither stands for the runs and studies in it.
    Raises: FolderError if a folder is no run, no study and holds none, or if no run is finished.
    """
    studies: list[Path] = []
    single: list[Path] = []
    read = cache(read_run)  # a run that answers several questions is read once
    for folder in {inner.resolve(): inner for named in folders for inner in _inside(named)}.values():
        if (folder / FILE).is_file():
            studies.append(folder)
        elif (folder / FIRST).is_file():
            single.append(folder.resolve())
        else:
            raise FolderError(f"{folder} is neither a run nor a study: {_what_it_is(folder)}")
    answers = [_answer(folder, question, read) for folder in studies for question in read_collection(folder).questions]
    if single:
        names = tuple(folder.name for folder in single)
        answers.append(_sorted_out(Question(name="runs", title="Runs", view="runs", runs=names), single, read))
    if not any(answer.runs for answer in answers):
        waiting = dict.fromkeys(name for answer in answers for name in answer.unfinished)
        raise FolderError(f"nothing to report: no run is finished ({', '.join(waiting) or 'none was named'})")
    return tuple(answers)


def parted(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The questions, each as many times as its runs are of different images: no two errors of one are apart in these.

    The unfinished runs stand with the first part.
    """
    return tuple(part for answer in answers for part in _parts(answer))


def _parts(answer: Answer) -> list[Answer]:
    found: dict[Hashable, list[RunRecord]] = {}
    for run in answer.runs:
        found.setdefault(same_data(run.beginning), []).append(run)
    if len(found) < 2:
        return [answer]
    name, title = answer.question.name, answer.question.title
    questions = [
        replace(answer.question, name=f"{name}-{k}", title=f"{title} ({presentable(runs[0].experiment.data)})")
        for k, runs in enumerate(found.values(), start=1)
    ]
    return [
        Answer(question, tuple(runs), answer.unfinished if k == 0 else (), answer.diverged)
        for k, (question, runs) in enumerate(zip(questions, found.values(), strict=True))
    ]


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir() or (folder / FIRST).is_file() or (folder / FILE).is_file():
        return [folder]
    inner = sorted(each for each in folder.iterdir() if (each / FIRST).is_file() or (each / FILE).is_file())
    return inner or [folder]


def _answer(folder: Path, question: Question, read: Callable[[Path], RunRecord]) -> Answer:
    for name in question.runs:
        if Path(name).name != name:
            raise FolderError(f"{folder / FILE} names a run outside its folder: {quoted(name)}")
    return _sorted_out(question, [folder.resolve() / name for name in question.runs], read)


def _sorted_out(question: Question, folders: Sequence[Path], read: Callable[[Path], RunRecord]) -> Answer:
    return Answer(
        question=question,
        runs=tuple(read(folder) for folder in folders if (folder / RESULTS).exists()),
        unfinished=tuple(f"{each.name}: {_status(each)}" for each in folders if not (each / RESULTS).exists()),
        diverged=tuple(read_beginning(each) for each in folders if not (each / RESULTS).exists() and _diverged(each)),
    )


def _diverged(folder: Path) -> bool:
    """Whether a run ended because its loss, gradient or weights were not finite."""
    found = read_status(folder)
    return found is not None and found.error == NonFiniteError.__name__


def _status(folder: Path) -> str:
    found = read_status(folder)
    if found is None:
        return "not begun"
    return f"its {RESULTS} is missing" if found.status == "finished" else found.status


def _what_it_is(folder: Path) -> str:
    if not folder.is_dir():
        return "it is a file" if folder.exists() else "it does not exist"
    deeper = sorted({str(file.parent.parent) for name in (FIRST, FILE) for file in folder.glob(f"*/*/{name}")})
    hint = f"; runs lie in {', '.join(deeper[:3])}{', …' if len(deeper) > 3 else ''}" if deeper else ""
    return f"it has neither {FIRST} nor {FILE}, nor has a folder in it{hint}"
