"""`resatlas evaluate`: test finished runs again, under any protocol, alone or as an ensemble."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from resatlas.cli import launching
from resatlas.cli.display import meter
from resatlas.cli.launching import SEVERAL, rank_timeout, run_in_processes, workers
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.evaluation.predictions import MOST_CLASSES, Probabilities
from resatlas.evaluation.protocol import KNOBS
from resatlas.recipes.text import view_text
from resatlas.runs.environment import processes
from resatlas.studies.testing import Evaluation, EvaluationOptions, ensemble, evaluate
from resatlas.training.execution import Device
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

FEW = 12
"""Classes that a terminal shows all of, with a column each."""

SEVERAL_RUNS = Requirement(
    what="two RUNs or more", holds=lambda options: len(options.runs) > 1, otherwise="with a single RUN"
)
OTHER_DATA = Requirement(what="--data", holds=lambda options: options.data is not None, otherwise="without --data")

OPTIONS: Requirements = {
    "--test-batch": ALWAYS,
    "--out": ALWAYS,
    "--probabilities": ALWAYS,
    "--protocol": ALWAYS,
    "--ensemble": SEVERAL_RUNS,
    "--data": ALWAYS,
    "--among": OTHER_DATA,
    "--norm-statistics": ALWAYS,
    "--device": ALWAYS,
    "--processes": ALWAYS,
    "--workers": ALWAYS,
    "--rank-timeout": SEVERAL,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of finished runs")
    parser.add_argument(
        "--protocol",
        action="append",
        default=[],
        metavar="NAME",
        help=f"{', '.join(KNOBS)}, full-320, each with knobs, as in ten-crops:mean_of=logits; recipe: all that the "
        "recipe names (default: its first); repeatable",
    )
    parser.add_argument("--ensemble", action="store_true", help="the mean softmax of all runs, in place of each alone")
    parser.add_argument("--data", metavar="DATA", help="images of other data, whose classes the run knows by name")
    parser.add_argument(
        "--among",
        choices=("data", "run"),
        default="data",
        help="where the run knows more classes than the data have: choose from the data's (default), or from all",
    )
    parser.add_argument(
        "--norm-statistics",
        choices=("stored", "reestimated"),
        default="stored",
        help="as training left them (default), or averaged exactly over the training images",
    )
    parser.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images shown at once (default: as many as training had memory for, 256 at most)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the predictions (default: the run's)")
    parser.add_argument(
        "--probabilities",
        choices=get_args(Probabilities),
        default="auto",
        help=f"classes whose probabilities the file of predictions holds: every, or auto: every if there are at most "
        f"{MOST_CLASSES} (default)",
    )
    parser.add_argument("--device", choices=get_args(Device), help="default: the GPU where there is one")
    launching.arguments(parser, does="test")


def run(options: argparse.Namespace) -> Outcome:
    """The values of each evaluation by name, and a file of predictions for each."""
    if options.processes not in (None, 1) and processes() == 1:
        return run_in_processes(options)
    asked = EvaluationOptions(
        protocols=tuple(options.protocol),
        data=options.data,
        among=options.among,
        statistics=options.norm_statistics,
        workers=workers(options),
        device=options.device,
        rank_timeout=rank_timeout(options),
        test_batch=options.test_batch,
        out=options.out,
        probabilities=options.probabilities,
    )
    with meter("images", quiet=options.quiet) as progress:
        found = (ensemble if options.ensemble else evaluate)(options.runs, asked, progress)
    if len(found) == 1:
        return Outcome(_data(found[0]), "\n".join(_alone(found[0])))
    data = [{"runs": list(each.runs), "protocol": each.protocol.name, **_data(each)} for each in found]
    return Outcome(data, _beside(found))


def _data(tested: Evaluation) -> dict[str, Any]:
    names = tested.classes
    return {
        **tested.values,
        "classes": [
            {"class": names[each.label], "images": each.images, "error_percent": each.error_percent}
            for each in tested.missed
        ],
        "confusion": [
            {"true": names[each.true], "predicted": names[each.predicted], "images": each.images}
            for each in tested.taken
        ],
        "predictions": None if tested.filing == "not written" else str(tested.file),
        "test_images": tested.standing,
        "same_as_results": {"yes": True, "no": False, "another test": None}[tested.same],
        "note": tested.note,
    }


def _beside(found: list[Evaluation]) -> str:
    """A line an evaluation."""
    names = list(dict.fromkeys(name for each in found for name in each.values))
    rows = [
        (" + ".join(each.runs), each.protocol.name, *(_number(each.values.get(name)) for name in names))
        for each in found
    ]
    notes = [f"{' + '.join(each.runs)}, {each.protocol.name}: {each.note}" for each in found if each.note]
    table = Table(columns=(*words("run", "protocol"), *numbers(*names)), rows=tuple(rows))
    return "\n".join([aligned(table), *map(plain, notes)])


def _alone(tested: Evaluation) -> Iterator[str]:
    """Everything of one evaluation."""
    yield from (f"{name} {_number(value)}" for name, value in tested.values.items())
    yield ""
    yield f"{tested.protocol.name}: {view_text(tested.protocol.view, size=tested.size)}"
    if tested.filing != "not written":
        yield plain(f"predictions of every image: {tested.file}")
    if tested.note:
        yield plain(tested.note)
    yield ""
    yield _classes(tested)


def _classes(tested: Evaluation) -> str:
    """All classes of few with what they were taken for, or the worst of many and the most frequent confusions."""
    names = tested.classes
    if len(names) <= FEW:
        counts = {(each.true, each.predicted): each.images for each in tested.taken}
        rows = [
            (names[each.label], each.images, f"{each.error_percent:.2f}", *_row(each.label, counts, len(names)))
            for each in tested.missed
        ]
        columns = (*words("class"), *numbers("images", "error_percent", *(f"as {name}" for name in names)))
        return aligned(Table(columns=columns, rows=tuple(rows)))
    worst = sorted(tested.missed, key=lambda each: -each.error_percent)[:FEW]
    errors = Table(
        columns=(*words(f"worst of {len(names):,} classes"), *numbers("images", "error_percent")),
        rows=tuple((names[each.label], each.images, f"{each.error_percent:.2f}") for each in worst),
    )
    confusions = Table(
        columns=(*words("most often taken", "for"), *numbers("images")),
        rows=tuple((names[each.true], names[each.predicted], each.images) for each in tested.taken[:FEW]),
    )
    return f"{aligned(errors)}\n\n{aligned(confusions)}"


def _row(label: int, counts: dict[tuple[int, int], int], classes: int) -> Iterator[str]:
    """How many images of a class were given each other one."""
    for k in range(classes):
        yield "-" if k == label else str(counts.get((label, k), 0))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
