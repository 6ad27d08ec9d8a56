"""What `resatlas evaluate` prints of runs that find objects."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resatlas.cli.outcome import Outcome
from resatlas.errors import UsageError
from resatlas.studies.finders import finds_objects
from resatlas.studies.subject import EvaluationOptions
from resatlas.studies.testing_found import FoundEvaluation, evaluate_all_found
from resatlas.values.progress import Progress
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain

_LOOKS = {
    "centre": "the whole image",
    "flips": "the whole image and its mirror image",
    "multi-scale": "the whole image at scales of its side, 224 for its own; boxes of all are suppressed together",
    "refined": "the whole image, and once more the regions of the boxes that were found; then box voting",
}


def all_find(runs: Sequence[Path], *, ensemble: bool) -> bool:
    """Whether the runs find objects.

    Raises: UsageError if some do and others classify, or an ensemble of such runs is asked for.
    """
    kinds = {finds_objects(run): run for run in runs}
    if len(kinds) == 2:
        raise UsageError(f"{kinds[True]} finds objects and {kinds[False]} classifies images; evaluate them one by one")
    if True in kinds and ensemble:
        raise UsageError("an ensemble is made of networks that classify images; leave out --ensemble")
    return True in kinds


def found_outcome(runs: Sequence[Path], options: EvaluationOptions, progress: Progress) -> Outcome:
    """The measures of each run."""
    evaluations = evaluate_all_found(runs, options, progress)
    if len(evaluations) == 1:
        return Outcome(_data(evaluations[0]), "\n".join(_text(evaluations[0])))
    names = list(dict.fromkeys(name for one in evaluations for name in _whole(one)))
    rows = tuple((one.run, one.protocol, *(_number(_whole(one).get(name)) for name in names)) for one in evaluations)
    notes = [plain(f"{one.run}, {one.protocol}: {one.note}") for one in evaluations if one.note]
    table = aligned(Table(columns=(*words("run", "protocol"), *numbers(*names)), rows=rows))
    data = [{"run": one.run, "protocol": one.protocol, **_data(one)} for one in evaluations]
    return Outcome(data, "\n".join([table, *notes]))


def _data(evaluation: FoundEvaluation) -> dict[str, Any]:
    return {
        **evaluation.values,
        "detections": None if evaluation.file is None else str(evaluation.file),
        "test_images": evaluation.standing,
        "same_as_results": evaluation.same,
        "note": evaluation.note,
    }


def _text(evaluation: FoundEvaluation) -> Iterator[str]:
    """Figures in percent, a blank line, what the error is, the file, the note, and a line for each class."""
    yield from (f"{name} {_number(value)}" for name, value in _whole(evaluation).items())
    yield ""
    yield f"{evaluation.protocol}: {_LOOKS[evaluation.protocol.partition(':')[0]]}"
    yield f"in percent; error_percent is {evaluation.values['measure']}; - stands where nothing is to be found"
    if evaluation.file:
        yield plain(f"what is found in every image: {evaluation.file}")
    if evaluation.note:
        yield plain(evaluation.note)
    yield ""
    classes: list[dict[str, Any]] = evaluation.values["classes"]
    names = list(dict.fromkeys(name for row in classes for name in row if name != "class"))
    rows = tuple((row["class"], *(_number(row.get(name)) for name in names)) for row in classes)
    yield aligned(Table(columns=(*words("class"), *numbers(*names)), rows=rows))


def _whole(evaluation: FoundEvaluation) -> dict[str, float | None]:
    return {name: value for name, value in evaluation.values.items() if name not in ("classes", "measure")}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
