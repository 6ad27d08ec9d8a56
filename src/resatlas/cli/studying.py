"""The common part of `study` and `demo`: execution of a study, its progress, its tables and its page."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resatlas.cli.display import display, say
from resatlas.cli.outcome import Outcome
from resatlas.comparing.comparison import compare_run_set
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError, NonFiniteError
from resatlas.page import effects_text
from resatlas.page.answer import answer
from resatlas.page.contents import introduction
from resatlas.page.page import write_page
from resatlas.page.table import grid_text
from resatlas.page.verdict import notes
from resatlas.studies.pictures import pictures
from resatlas.studies.runner import OnProgress, StudyProgress, carry_out_study
from resatlas.studies.study import Study
from resatlas.studies.study_dissections import dissect_study

_ALL_EFFECTS = "all effects with their intervals: `resatlas effects` with the folder of the study"


def add_options(parser: argparse.ArgumentParser, *, name: str) -> None:
    """Declare the options of a study; `name` is its name in the help."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"folder for its runs and its page (default: runs/{name})"
    )


def carry_out_and_show(study: Study, options: argparse.Namespace) -> Outcome:
    """Carry out the unfinished runs of a study, write its page to report.html, and return its tables."""
    folder = options.out or Path("runs") / study.name
    page = folder / "report.html"
    failure: NonFiniteError | None = None
    try:
        with _progress(quiet=options.quiet) as on_progress:
            carry_out_study(study, folder, on_progress=on_progress)
    except NonFiniteError as error:  # the other runs are finished, and the page names this one
        failure = error
    _dissect(study, folder, quiet=options.quiet)
    if failure:
        with suppress(FolderError):  # raised if no run is finished
            write_page(page, title=f"resatlas {study.name}", run_sets=read_run_sets([folder]), pictures=pictures())
        raise failure
    answers = read_run_sets([folder])
    write_page(page, title=f"resatlas {study.name}", run_sets=answers, pictures=pictures())
    results = {answer.question.name: [dict(run.written) for run in answer.runs] for answer in answers}
    return Outcome({"page": str(page), "questions": results}, "\n\n".join([*map(_text, answers), f"page: {page}"]))


def _dissect(study: Study, folder: Path, *, quiet: bool) -> None:
    """Carry out the dissections of a study; a failure is printed, and the page is written without its answer."""

    def on_question(question: str) -> None:
        if not quiet:
            say(f"dissecting {question}")

    for failure in dissect_study(study, folder, on_question=on_question):
        say(failure)


def _text(run_set: RunSet) -> str:
    """A question with its table, its answer and its notes."""
    view = run_set.question.view
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    comparison = compare_run_set(run_set) if run_set.runs else None
    reply = answer(run_set, comparison)
    effects = (*map(presentable, effects_text.remarks(reply.analysis)), _ALL_EFFECTS) if reply.analysis else ()
    shared = (*comparison.warnings, *notes(view, comparison)) if comparison else ()
    remarks = [f"- {note}" for note in (*effects, *shared)]
    introduced = introduction(run_set.question.about, comparison.question.groups) if comparison else ""
    blocks = [
        "\n".join(filter(None, [run_set.question.title, introduced])),
        grid_text(view, run_set.runs, width=width),
        "\n".join(reply.sentences),
        "\n".join(remarks),
    ]
    return "\n\n".join(blocks)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    started = time.monotonic()
    with display(quiet=quiet) as screen:

        def on_progress(progress: StudyProgress) -> None:
            left = _time_left(started, progress)
            if progress.note:
                screen.note(progress.note)
            if progress.results:
                screen.note(f"{_result_line(progress, progress.results)}  {left}")
            screen.show(f"{progress.finished} of {progress.total} runs  {left}", progress.share)

        yield on_progress


def _result_line(progress: StudyProgress, results: dict[str, Any]) -> str:
    return (
        f"{progress.finished} of {progress.total}  {results['design']} seed {results['seed']}  "
        f"train loss {results['train']['loss']:.4f}  test error {results['test']['error_percent']:.2f} %  "
        f"{results['images_per_second']:,.0f} images/s"
    )


def _time_left(started: float, progress: StudyProgress) -> str:
    if progress.share <= 0:
        return "time left unknown"
    minutes, seconds = divmod(int((time.monotonic() - started) * (1 / progress.share - 1)), 60)
    return f"{minutes}:{seconds:02d} left"
