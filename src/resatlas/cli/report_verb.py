"""`resatlas report`: write one self-contained HTML page about runs, or about networks without a run."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.cli.study_options import language_option
from resatlas.comparing.run_sets import read_run_sets
from resatlas.comparing.words import presentable
from resatlas.errors import UsageError
from resatlas.page.figure import Figure
from resatlas.page.looks import Look
from resatlas.page.network_page import write_network_page
from resatlas.page.page import page_figures, write_page
from resatlas.page.picture import check_folder, write_figures
from resatlas.runs.record import RunRecord
from resatlas.studies.looks import looks
from resatlas.studies.network_facts import described
from resatlas.studies.pictures import pictures
from resatlas.studies.predictors import has_no_run
from resatlas.values.language import in_language, said

_MOST_NAMED = 3
"""Folders named in the title."""

OPTIONS: Requirements = {
    "--out": ALWAYS,
    "--figures": ALWAYS,
    "--lang": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN|FOLDER|WORD",
        help="folders of runs or studies, or folders that contain them; or saved networks and words for published "
        "weights, which are described without reading the weights",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="page.html", help="HTML file to write (required)")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="also write all charts of the page as SVG and PNG into this folder"
    )
    language_option(parser)


def run(options: argparse.Namespace) -> Outcome:
    """Write the page about runs, or about networks without a run."""
    if options.out.suffix not in (".html", ".htm"):
        raise UsageError(f"a page must be an .html file; got {options.out}; files of other types are not overwritten")
    if options.figures is not None:
        check_folder(options.figures)
    networks = [name for name in options.runs if has_no_run(name)]
    if not networks:
        return _about_runs(options)
    if len(networks) < len(options.runs):
        raise UsageError(
            f"a page is about runs or about networks without a run, and {networks[0]} is a saved network or a word: "
            "write two pages"
        )
    if options.lang != "en":
        raise UsageError(f"a page about networks without a run is in English; leave out --lang {options.lang}")
    return _about_networks(options)


def _about_networks(options: argparse.Namespace) -> Outcome:
    """What the files of saved networks, and the table of published weights, say."""
    networks = [described(name) for name in options.runs]
    names = [network.name for network in networks]
    figures = write_network_page(options.out, title=f"resatlas: {_shortened(names)}", networks=networks)
    return _written(options, {"page": str(options.out), "networks": names}, figures)


def _about_runs(options: argparse.Namespace) -> Outcome:
    """The runs; images with mistakes are shown if the data set is available."""
    run_sets, look = read_run_sets(options.runs), looks()
    replies: dict[RunRecord, Look | str] = {}

    def again(run: RunRecord) -> Look | str:
        if run not in replies:
            replies[run] = look(run)
        return replies[run]

    with in_language(options.lang):
        title = f"resatlas: {_names(options.runs)}"
    write_page(
        options.out,
        title=title,
        run_sets=run_sets,
        pictures=pictures(),
        looks=again,
        language=options.lang,
    )
    missing = [presentable(reply) for reply in replies.values() if isinstance(reply, str)]
    finders = list(dict.fromkeys(run for run_set in run_sets for run in run_set.runs if run.outcome.test.measure))
    data = {
        "page": str(options.out),
        "questions": [run_set.question.name for run_set in run_sets],
        **({"found": [_measures(run) for run in finders], "missing": missing} if finders else {}),
    }
    figures = () if options.figures is None else page_figures(run_sets, again, language=options.lang)
    return _written(options, data, figures, missing)


def _measures(run: RunRecord) -> dict[str, Any]:
    """The measures of the whole of a run that finds objects, as its results.json has them."""
    return {"run": str(run.folder), **{key: value for key, value in run.written["test"].items() if key != "classes"}}


def _written(
    options: argparse.Namespace, data: dict[str, Any], figures: Sequence[Figure], missing: Sequence[str] = ()
) -> Outcome:
    """The outcome of a written page, whose charts are also written if that is wished."""
    text = "\n".join([f"{options.out}: open it in a browser; it works offline", *missing])
    if options.figures is None:
        return Outcome(data, text)
    names = write_figures(options.figures, figures)
    files = [str(options.figures / name) for name in names]
    return Outcome({**data, "figures": files}, f"{text}\n{options.figures}: {len(files)} figures, SVG and PNG")


def _names(folders: Sequence[Path]) -> str:
    return _shortened([folder.resolve().name for folder in folders])


def _shortened(folders: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    names = [presentable(name) for name in folders]
    more = [said("{count} more", count=len(names) - _MOST_NAMED)] if len(names) > _MOST_NAMED else []
    return said(", ").join([*names[:_MOST_NAMED], *more])
