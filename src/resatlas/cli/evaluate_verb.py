"""`resatlas evaluate`: test finished runs again, under any protocol, alone or as an ensemble."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from resatlas.cli import launching
from resatlas.cli.device_option import device_option
from resatlas.cli.display import meter
from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.evaluate_found import all_find, found_outcome
from resatlas.cli.launching import SEVERAL, rank_timeout, run_in_processes, workers
from resatlas.cli.offline import RUN_HELP, access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.evaluation.predictions import MOST_CLASSES, Probabilities
from resatlas.evaluation.protocol import KNOBS
from resatlas.inference.engines.packages import Engine
from resatlas.recipes.text import view_text
from resatlas.runs.environment import processes
from resatlas.studies.testing import Evaluation, EvaluationOptions, ensemble, evaluate
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

_MOST_COLUMNS = 12
"""The largest number of classes whose confusions are printed in full, with a column for each class."""

_SEVERAL_RUNS = Requirement(
    what="two RUNs or more", holds=lambda options: len(options.runs) > 1, otherwise="with a single RUN"
)
_OTHER_DATA = Requirement(what="--data", holds=lambda options: options.data is not None, otherwise="without --data")

OPTIONS: Requirements = {
    "--test-batch": ALWAYS,
    "--out": ALWAYS,
    "--probabilities": ALWAYS,
    "--protocol": ALWAYS,
    "--ensemble": _SEVERAL_RUNS,
    "--data": ALWAYS,
    "--among": _OTHER_DATA,
    "--of": ALWAYS,
    "--norm-statistics": ALWAYS,
    "--device": ALWAYS,
    "--engine": ALWAYS,
    "--processes": ALWAYS,
    "--workers": ALWAYS,
    "--rank-timeout": SEVERAL,
    "--offline": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN|FOLDER|WORD", help=RUN_HELP)
    parser.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="NAME",
        help=f"views of an image: {', '.join(KNOBS)} or full-320, with knobs as in ten-crops:mean_of=logits; of "
        "objects centre, flips, multi-scale and refined (boxes are classified and regressed once more); recipe "
        "stands for every view that the run's recipe names; repeatable (default: the recipe's first view)",
    )
    parser.add_argument(
        "--ensemble", action="store_true", help="average the softmax of all runs (default: test each run alone)"
    )
    parser.add_argument(
        "--data", metavar="DATA", help="test on other data with the same class names (default: the run's own data)"
    )
    parser.add_argument(
        "--among",
        choices=("data", "run"),
        default="data",
        help="classes to predict: those of --data, or all classes of the run (default: data)",
    )
    epoch_option(parser)
    parser.add_argument(
        "--norm-statistics",
        choices=("stored", "reestimated"),
        default="stored",
        help="BN statistics: from the checkpoint, or averaged over the training images (default: stored)",
    )
    parser.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images per forward pass (default: as many as the training had memory for, at most 256)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the files of predictions (default: the run's folder)"
    )
    parser.add_argument(
        "--probabilities",
        choices=get_args(Probabilities),
        default="auto",
        help="probabilities to write: of every class, or auto: of every class if there are at most "
        f"{MOST_CLASSES:,}, else of the predicted class (default: auto)",
    )
    device_option(parser)
    offline_option(parser)
    parser.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="torch",
        help="library that computes: torch, or onnxruntime or openvino on the CPU in float32 (default: torch)",
    )
    launching.arguments(parser, does="test")


def run(options: argparse.Namespace) -> Outcome:
    """The values of each evaluation by name, and a file of predictions for each."""
    if options.processes not in (None, 1) and processes() == 1:
        return run_in_processes(options)
    evaluation_options = EvaluationOptions(
        protocols=tuple(options.protocol),
        data=options.data,
        among=options.among,
        of=options.of,
        statistics=options.norm_statistics,
        workers=workers(options),
        device=options.device,
        engine=options.engine,
        rank_timeout=rank_timeout(options),
        test_batch=options.test_batch,
        out=options.out,
        probabilities=options.probabilities,
        access=access(options),
    )
    if all_find(options.runs, ensemble=options.ensemble):
        with meter("images", quiet=options.quiet) as progress:
            return found_outcome(options.runs, evaluation_options, progress)
    with meter("images", quiet=options.quiet) as progress:
        evaluations = (ensemble if options.ensemble else evaluate)(options.runs, evaluation_options, progress)
    if len(evaluations) == 1:
        return Outcome(_data(evaluations[0]), "\n".join(_text_of_one(evaluations[0])))
    data = [
        {"runs": list(evaluation.runs), "protocol": evaluation.protocol.name, **_data(evaluation)}
        for evaluation in evaluations
    ]
    return Outcome(data, _table_of_several(evaluations))


def _data(evaluation: Evaluation) -> dict[str, Any]:
    names = evaluation.classes
    return {
        **evaluation.values,
        "classes": [
            {"class": names[row.label], "images": row.images, "error_percent": row.error_percent}
            for row in evaluation.missed
        ],
        "confusion": [
            {"true": names[row.true], "predicted": names[row.predicted], "images": row.images}
            for row in evaluation.taken
        ],
        "predictions": None if evaluation.filing == "not written" else str(evaluation.file),
        "test_images": evaluation.standing,
        "same_as_results": {"yes": True, "no": False, "another test": None}[evaluation.same],
        "note": evaluation.note,
    }


def _table_of_several(evaluations: list[Evaluation]) -> str:
    """A table with one line for each evaluation, then their notes."""
    names = list(dict.fromkeys(name for evaluation in evaluations for name in evaluation.values))
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for evaluation in evaluations:
        runs, protocol = " + ".join(evaluation.runs), evaluation.protocol.name
        rows.append((runs, protocol, *(_number(evaluation.values.get(name)) for name in names)))
        if evaluation.note:
            notes.append(plain(f"{runs}, {protocol}: {evaluation.note}"))
    table = Table(columns=(*words("run", "protocol"), *numbers(*names)), rows=tuple(rows))
    return "\n".join([aligned(table), *notes])


def _text_of_one(evaluation: Evaluation) -> Iterator[str]:
    """The lines of one evaluation: values, protocol, file, note and errors of the classes."""
    yield from (f"{name} {_number(value)}" for name, value in evaluation.values.items())
    yield ""
    yield f"{evaluation.protocol.name}: {view_text(evaluation.protocol.view, size=evaluation.size)}"
    if evaluation.filing != "not written":
        yield plain(f"predictions of every image: {evaluation.file}")
    if evaluation.note:
        yield plain(evaluation.note)
    yield ""
    yield _classes(evaluation)


def _classes(evaluation: Evaluation) -> str:
    """All classes with their confusions if they are few, else the worst classes and the most frequent confusions."""
    names = evaluation.classes
    if len(names) <= _MOST_COLUMNS:
        counts = {(confusion.true, confusion.predicted): confusion.images for confusion in evaluation.taken}
        rows = [
            (names[row.label], row.images, f"{row.error_percent:.2f}", *_confusions(row.label, counts, len(names)))
            for row in evaluation.missed
        ]
        columns = (*words("class"), *numbers("images", "error_percent", *(f"as {name}" for name in names)))
        return aligned(Table(columns=columns, rows=tuple(rows)))
    worst = sorted(evaluation.missed, key=lambda row: -row.error_percent)[:_MOST_COLUMNS]
    errors = Table(
        columns=(*words(f"worst of {len(names):,} classes"), *numbers("images", "error_percent")),
        rows=tuple((names[row.label], row.images, f"{row.error_percent:.2f}") for row in worst),
    )
    confusions = Table(
        columns=(*words("most frequent confusion", "predicted as"), *numbers("images")),
        rows=tuple((names[row.true], names[row.predicted], row.images) for row in evaluation.taken[:_MOST_COLUMNS]),
    )
    return f"{aligned(errors)}\n\n{aligned(confusions)}"


def _confusions(label: int, counts: dict[tuple[int, int], int], classes: int) -> Iterator[str]:
    """The number of images of a class that were predicted as each class; "-" for its own."""
    for k in range(classes):
        yield "-" if k == label else str(counts.get((label, k), 0))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
