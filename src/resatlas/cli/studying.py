"""What `study` and `demo` share: carrying a study out, its progress, its tables and its page."""

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.progress import on_terminal, say
from resatlas.errors import FolderError, NonFiniteError
from resatlas.reporting.answering import answered
from resatlas.reporting.page import write_page
from resatlas.reporting.report import Answer, report
from resatlas.reporting.table import table
from resatlas.reporting.verdict import notes, verdict
from resatlas.studies.asking import ask
from resatlas.studies.pictures import pictures
from resatlas.studies.runner import Advance, carry_out_study
from resatlas.studies.study import Study
from resatlas.values.text import plain

Show = Callable[[Advance], None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a study."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where its runs go (default: runs/<study>)")


def carry_out_and_show(study: Study, options: argparse.Namespace) -> Outcome:
    """Every run of the study that is not finished yet, then its tables, and its page in report.html."""
    folder = options.out or Path("runs") / study.name
    page = folder / "report.html"
    failure: NonFiniteError | None = None
    try:
        with _progress(quiet=options.quiet) as show:
            carry_out_study(study, folder, on_advance=show)
    except NonFiniteError as error:  # the other runs are finished, and the page names this one
        failure = error
    _ask(study, folder, quiet=options.quiet)
    if failure:
        with suppress(FolderError):  # where no run is finished
            write_page(page, title=f"resatlas {study.name}", answers=report([folder]), pictures=pictures())
        raise failure
    answers = report([folder])
    write_page(page, title=f"resatlas {study.name}", answers=answers, pictures=pictures())
    results = {answer.question.name: [dict(run.written) for run in answer.runs] for answer in answers}
    return Outcome({"page": str(page), "questions": results}, "\n\n".join([*map(_shown, answers), f"page: {page}"]))


def _ask(study: Study, folder: Path, *, quiet: bool) -> None:
    """Put the study's questions to its trained networks; what cannot be answered keeps no page from being written."""
    failed = ask(study, folder, on_question=lambda words: None if quiet else say(f"asking {words}"))
    for words in failed:
        say(words)


def _shown(answer: Answer) -> str:
    view = answer.question.view
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    told = answered(answer) if answer.runs else None
    said = [f"- {note}" for note in (*told.warnings, *notes(view, told))] if told else []
    whole = [
        answer.question.title,
        table(view, answer.runs, width=width),
        "\n".join(verdict(view, told)),
        "\n".join(said),
    ]
    return "\n\n".join(whole)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda _: None
    elif on_terminal():
        with _live() as show:
            yield show
    else:
        yield _plain()


def _plain() -> Show:
    started = time.monotonic()

    def show(advance: Advance) -> None:
        if advance.note:
            say(advance.note)
        if advance.results:
            say(f"{_words(advance)}  {_left(started, advance)}")

    return show


@contextmanager
def _live() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    with Progress(
        BarColumn(bar_width=30), TextColumn("{task.fields[words]}", markup=False), console=console, transient=True
    ) as progress:
        task = progress.add_task("", total=1.0, words="starting the workers")

        def show(advance: Advance) -> None:
            if advance.note:
                console.print(plain(advance.note), markup=False, soft_wrap=True)
            if advance.results:
                console.print(_words(advance), markup=False, soft_wrap=True)
            words = f"{advance.finished} of {advance.total} runs  {_left(started, advance)}"
            progress.update(task, completed=advance.share, words=words)

        yield show


def _words(advance: Advance) -> str:
    each = advance.results or {}
    return (
        f"{advance.finished} of {advance.total}  {each['design']} seed {each['seed']}  "
        f"train loss {each['train']['loss']:.4f}  test error {each['test']['error_percent']:.2f} %  "
        f"{each['images_per_second']:,.0f} images/s"
    )


def _left(started: float, advance: Advance) -> str:
    if advance.share <= 0:
        return "time left unknown"
    minutes, seconds = divmod(int((time.monotonic() - started) * (1 / advance.share - 1)), 60)
    return f"{minutes}:{seconds:02d} left"
