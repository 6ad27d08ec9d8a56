"""The common part of `study` and `demo`: execution of a study, its progress, its tables and its page."""

import argparse
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resatlas.cli.display import display, line_width, say
from resatlas.cli.outcome import Outcome
from resatlas.cli.study_options import folder_of
from resatlas.comparing.comparison import compare_run_set
from resatlas.comparing.run_sets import RunSet, read_run_sets
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError, NonFiniteError, ResatlasError, UsageError
from resatlas.page import effects_text
from resatlas.page.answer import answer
from resatlas.page.contents import introduction
from resatlas.page.page import Link, write_page
from resatlas.page.table import grid_text
from resatlas.page.verdict import notes
from resatlas.runs.store import Run
from resatlas.studies.looks import looks
from resatlas.studies.pictures import pictures
from resatlas.studies.ray_tasks import carry_out_on_ray
from resatlas.studies.runner import OnProgress, StudyProgress, carry_out_study
from resatlas.studies.sharing import WHOLE
from resatlas.studies.slurm import carry_out_on_slurm
from resatlas.studies.study import Study
from resatlas.studies.study_dissections import dissect_study
from resatlas.studies.submitting import ClusterProgress
from resatlas.studies.submitting import OnProgress as OnClusterProgress
from resatlas.values.language import Language, in_language, said
from resatlas.values.text import counted

_ALL_EFFECTS = "all effects with their intervals: `resatlas effects` with the folder of the study"

CLASSIFYING = "classify.html"
"""The page next to the report that classifies drawings."""


def carry_out_part(study: Study, options: argparse.Namespace) -> Outcome:
    """Carry out the unfinished runs of --share and --blocks; the page is written by the command without them."""
    folder, share, blocks = folder_of(study, options), options.share or WHOLE, options.blocks
    with _progress(quiet=options.quiet) as on_progress:
        carry_out_study(study, folder, share=share, blocks=blocks, workers=options.workers, on_progress=on_progress)
    runs = [folder / name for name in study.distinct_experiments()]
    finished = sum(Run(run).concluded for run in runs)
    part = f"share {share}" + (f" of the blocks {', '.join(map(str, blocks))}" if blocks else "")
    text = f"{part} is finished; of the whole study, {finished:,} of {counted(len(runs), 'run')}"
    if finished == len(runs):
        text += ": the command without --share and --blocks writes its page"
    return Outcome({"share": str(share), "blocks": blocks, "finished": finished, "runs": len(runs)}, text)


def carry_out_on_slurm_and_show(study: Study, options: argparse.Namespace) -> Outcome:
    """Submit the unfinished runs to SLURM, watch them to their end, and show the study; or only submit them.

    Raises: UsageError for words of --sbatch that a shell cannot split.
    """
    try:
        words = [word for text in options.sbatch for word in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"--sbatch cannot be split into words: {str(error).lower()}") from None
    folder, waiting = folder_of(study, options), "detached" if options.detach else "attached"
    with _cluster_progress(quiet=options.quiet) as on_progress:
        job = carry_out_on_slurm(
            study, options.file, folder, jobs=options.jobs, words=words, waiting=waiting, on_progress=on_progress
        )
    if job and options.detach:
        text = f"job {job.number} is submitted; the same command attaches to it, and --status says how far it is"
        return Outcome({"job": job.number, "shares": job.shares}, text)
    return carry_out_and_show(study, options)


def carry_out_on_ray_and_show(study: Study, options: argparse.Namespace) -> Outcome:
    """Carry out the unfinished runs by the tasks of a Ray cluster, and show the study."""
    address = options.on.partition(":")[2] or None
    with _cluster_progress(quiet=options.quiet) as on_progress:
        carry_out_on_ray(
            study,
            options.file,
            folder_of(study, options),
            address=address,
            jobs=options.jobs,
            gpus=options.gpus,
            on_progress=on_progress,
        )
    return carry_out_and_show(study, options)


def carry_out_and_show(study: Study, options: argparse.Namespace, *, drawing: str = "") -> Outcome:
    """Carry out the unfinished runs of a study, write its page to report.html, and return its tables.

    `drawing` is a DATA text: the best network of this data gets a page that classifies drawings, next to the report.
    """
    folder = folder_of(study, options)
    page = folder / "report.html"
    failure: NonFiniteError | None = None
    try:
        with _progress(quiet=options.quiet) as on_progress:
            carry_out_study(study, folder, workers=options.workers, on_progress=on_progress)
    except NonFiniteError as error:  # the other runs are finished, and the page names this one
        failure = error
    _dissect(study, folder, quiet=options.quiet)
    if failure:
        with suppress(FolderError):  # raised if no run is finished
            _write_page(page, study, read_run_sets([folder]), language=options.lang)
        raise failure
    answers = read_run_sets([folder])
    links = _links(answers, folder, drawing, language=options.lang) if drawing else ()
    _write_page(page, study, answers, links, language=options.lang)
    results = {answer.question.name: [dict(run.written) for run in answer.runs] for answer in answers}
    files = [f"page: {page}", *(f"draw a digit: {folder / link.file}" for link in links)]
    data = {"page": str(page), "pages_beside": [str(folder / link.file) for link in links], "questions": results}
    return Outcome(data, "\n\n".join([*map(_text, answers), "\n".join(files)]))


def _write_page(
    page: Path, study: Study, answers: Sequence[RunSet], links: Sequence[Link] = (), *, language: Language
) -> None:
    title = f"resatlas {study.name}"
    write_page(page, title=title, run_sets=answers, pictures=pictures(), looks=looks(), links=links, language=language)


def _links(answers: Sequence[RunSet], folder: Path, data: str, *, language: Language = "en") -> tuple[Link, ...]:
    """The page that classifies drawings; a failure is printed, and the report is written without it."""
    from resatlas.studies.classifying_page import best_run, write_classifying_page

    run = best_run([run for answer in answers for run in answer.runs], data=data)
    if run is None:
        return ()
    design, error = run.outcome.design, run.outcome.test.error_percent
    try:
        write_classifying_page(run.folder, folder / CLASSIFYING, title=f"{data.partition(':')[0]}: {design}")
    except ResatlasError as failure:
        say(f"no {CLASSIFYING}: {failure}")
        return ()
    with in_language(language):
        about = said(
            "{design} classifies it; of the networks trained on {data} it has the lowest test error, {error:.2f} %.",
            design=design,
            data=data,
            error=error,
        )
        return (Link(file=CLASSIFYING, words=said("Draw a digit"), about=about),)


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
    comparison = compare_run_set(run_set) if run_set.runs else None
    reply = answer(run_set, comparison)
    effects = (*map(presentable, effects_text.remarks(reply.analysis)), _ALL_EFFECTS) if reply.analysis else ()
    shared = (*comparison.warnings, *notes(view, comparison)) if comparison else ()
    remarks = [f"- {note}" for note in (*effects, *shared)]
    introduced = introduction(run_set.question.about, comparison.question.groups) if comparison else ""
    blocks = [
        "\n".join(filter(None, [run_set.question.title, introduced])),
        grid_text(view, run_set.runs, width=line_width()),
        "\n".join(reply.sentences),
        "\n".join(remarks),
    ]
    return "\n\n".join(blocks)


@contextmanager
def _cluster_progress(*, quiet: bool) -> Iterator[OnClusterProgress]:
    with display(quiet=quiet) as screen:

        def on_progress(progress: ClusterProgress) -> None:
            if progress.note:
                screen.note(progress.note)
            states = ", ".join(f"{count} {state}" for state, count in progress.states.most_common())
            screen.show(f"{progress.states['finished']} of {progress.states.total()} runs  {states}", progress.share)

        yield on_progress


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
