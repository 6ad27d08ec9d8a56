"""What `study` and `demo` share: carrying a study out, its progress, its tables and its page."""

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
from resatlas.comparing.answering import answered
from resatlas.comparing.report import Answer, report
from resatlas.errors import FolderError, NonFiniteError
from resatlas.page.page import write_page
from resatlas.page.table import grid_text
from resatlas.page.verdict import notes, verdict
from resatlas.studies.asking import ask
from resatlas.studies.pictures import pictures
from resatlas.studies.runner import Advance, OnAdvance, carry_out_study
from resatlas.studies.study import Study


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a study."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where its runs go (default: runs/<study>)")


def carry_out_and_show(study: Study, options: argparse.Namespace) -> Outcome:
    """Every run of the study that is not finished yet, then its tables, and its page in report.html."""
    folder = options.out or Path("runs") / study.name
    page = folder / "report.html"
    failure: NonFiniteError | None = None
    try:
        with _progress(quiet=options.quiet) as on_advance:
            carry_out_study(study, folder, on_advance=on_advance)
    except NonFiniteError as error:  # the other runs are finished, and the page names this one
        failure = error
    _ask(study, folder, quiet=options.quiet)
    if failure:
        with suppress(FolderError):  # where no run is finished
            write_page(page, title=f"resatlas {study.name}", run_sets=report([folder]), pictures=pictures())
        raise failure
    answers = report([folder])
    write_page(page, title=f"resatlas {study.name}", run_sets=answers, pictures=pictures())
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
        grid_text(view, answer.runs, width=width),
        "\n".join(verdict(view, told)),
        "\n".join(said),
    ]
    return "\n\n".join(whole)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnAdvance]:
    started = time.monotonic()
    with display(quiet=quiet) as shown:

        def on_advance(advance: Advance) -> None:
            left = _left(started, advance)
            if advance.note:
                shown.note(advance.note)
            if advance.results:
                shown.note(f"{_words(advance, advance.results)}  {left}")
            shown.show(f"{advance.finished} of {advance.total} runs  {left}", advance.share)

        yield on_advance


def _words(advance: Advance, results: dict[str, Any]) -> str:
    return (
        f"{advance.finished} of {advance.total}  {results['design']} seed {results['seed']}  "
        f"train loss {results['train']['loss']:.4f}  test error {results['test']['error_percent']:.2f} %  "
        f"{results['images_per_second']:,.0f} images/s"
    )


def _left(started: float, advance: Advance) -> str:
    if advance.share <= 0:
        return "time left unknown"
    minutes, seconds = divmod(int((time.monotonic() - started) * (1 / advance.share - 1)), 60)
    return f"{minutes}:{seconds:02d} left"
