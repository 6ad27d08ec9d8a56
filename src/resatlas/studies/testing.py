"""Finished runs tested again: under any protocol, alone or as an ensemble, on their own images or on others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Parts
from resatlas.errors import DataError, FolderError, UsageError
from resatlas.evaluation import protocol as protocols
from resatlas.evaluation.portions import check_test_batch
from resatlas.evaluation.protocol import Protocol
from resatlas.runs.decoding import read_finished
from resatlas.runs.experiment import distinct_name, folder_name, short_digest
from resatlas.runs.names import PREDICTIONS
from resatlas.runs.record import RunRecord
from resatlas.runs.store import check_writable
from resatlas.studies.own_images import Standing, resolve_data
from resatlas.studies.subject import DEFAULT_OPTIONS, EvaluationOptions, RunUnderTest, run_under_test
from resatlas.training.threads import PASS, computing, threads_of
from resatlas.values.progress import Progress, silent

if TYPE_CHECKING:  # a wrong word is answered before torch is there
    from contextlib import AbstractContextManager

    from resatlas.evaluation.confusion import Missed, Taken
    from resatlas.evaluation.logits import Predictions
    from resatlas.training.distributed import World

Same = Literal["yes", "no", "another test"]
Filing = Literal["written", "kept", "not written"]

ROUNDING = 1e-3
"""By which share of it a loss may differ where it was computed otherwise, as on another machine."""

MOST_LETTERS = 80
"""Of a data set's path in the name of a file."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation: of which runs, on what and how, its values by name, its classes, and its file of predictions.

    `standing` is that of the images to those of the run; `same` says whether the test that the training ended with
    found the same. `filing` says what became of the file. `note` has what there is to say of these.
    """

    runs: tuple[str, ...]
    data: str
    protocol: Protocol
    size: int
    values: dict[str, float]
    classes: tuple[str, ...]
    missed: tuple["Missed", ...]
    taken: tuple["Taken", ...]
    file: Path
    filing: Filing
    standing: Standing
    same: Same
    note: str = ""


def evaluate(
    runs: Sequence[str | Path], asked: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[Evaluation]:
    """Each run under each protocol, one after another, and a file of predictions for each.

    Raises: FolderError if there is no run or it is not finished; UsageError, DataError, CheckpointError,
        NonFiniteError.
    """
    wanted = _wanted(runs, asked)
    with _world(asked) as world, computing(_threads(wanted)):
        return [
            world.lead(partial(_told, subject.answers(protocol, world, progress), [subject], protocol, asked))
            for subject, every in _subjects(wanted, asked, world)
            for protocol in every
        ]


def ensemble(
    runs: Sequence[str | Path], asked: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[Evaluation]:
    """The mean softmax of all runs under each protocol, by default under the first one's own.

    Raises: as `evaluate`; UsageError for a single run; DataError if the runs were not tested on the same images.
    """
    wanted = _wanted(runs, asked)
    if len(wanted) < 2:
        raise UsageError("an ensemble has two runs or more; one is given")
    from resatlas.evaluation.logits import mean_predictions

    shared = wanted[0][1]
    found = []
    with _world(asked) as world, computing(_threads(wanted)):
        subjects = [subject for subject, _ in _subjects([(run, shared) for run, _ in wanted], asked, world)]
        _check_alike(subjects)
        for each in shared:
            given = mean_predictions([subject.answers(each, world, progress) for subject in subjects], "softmax")
            found.append(world.lead(partial(_told, given, subjects, each, asked)))
    return found


Wanted = tuple[RunRecord, tuple[Protocol, ...]]


def _wanted(folders: Sequence[str | Path], asked: EvaluationOptions) -> list[Wanted]:
    """The runs and the protocols of each, checked before any image is read.

    Raises: FolderError, also where --out cannot be written; UsageError.
    """
    runs = [read_finished(Path(folder)) for folder in folders]
    if asked.test_batch is not None:
        check_test_batch(asked.test_batch)
    if asked.out:
        check_writable(asked.out)
    return [(run, protocols.resolve(asked.protocols, run.experiment.recipe)) for run in runs]


def _world(asked: EvaluationOptions) -> "AbstractContextManager[World]":
    from resatlas.training.distributed import joined

    return joined(rank_timeout=asked.rank_timeout)


def _threads(wanted: Sequence[Wanted]) -> int:
    """The threads of the runs' trainings, or of the largest network's test."""
    return max(threads_of(run.folder, run.plan, images=PASS) for run, _ in wanted)


def _subjects(
    wanted: Sequence[Wanted], asked: EvaluationOptions, world: "World"
) -> Iterator[tuple[RunUnderTest, tuple[Protocol, ...]]]:
    """The runs ready to be tested, and the protocols of each, which their images can be seen under."""
    read = cache(_read)
    for run, each in wanted:
        subject = run_under_test(run, asked, read, world)
        for protocol in each:
            protocols.check(protocol, subject.data, subject.test)
        yield subject, each


def _read(text: str) -> tuple[DataSet, Parts]:
    data = resolve_data(text)
    return data, data.read()


def _check_alike(subjects: Sequence[RunUnderTest]) -> None:
    """Refuse runs that were not tested on the same images.

    Raises: DataError
    """
    first = subjects[0]
    for other in subjects[1:]:
        if (_images(other), other.classes) != (_images(first), first.classes):
            raise DataError(
                f"the runs of an ensemble answer to the same images: {first.run.folder} to those of {first.data.name}, "
                f"{other.run.folder} to those of {other.data.name}"
            )


def _images(subject: RunUnderTest) -> str:
    """What tells the test images of two subjects apart: the fingerprint of files, else the name without its knobs."""
    return subject.identity or datasets.separated(subject.data.name)[0]


def _told(
    given: "Predictions", subjects: Sequence[RunUnderTest], protocol: Protocol, asked: EvaluationOptions
) -> Evaluation:
    """The measures of answers, and their file written.

    Raises: NonFiniteError if a measure is no number.
    """
    from resatlas.evaluation.calibration import calibration
    from resatlas.evaluation.classification import classification, prediction_rows
    from resatlas.evaluation.confusion import confusion, missed, taken
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.evaluation.ranking import top5
    from resatlas.training.loop import finite

    first = subjects[0]
    measures = (*classification(given), *top5(given), *calibration(given))
    values: dict[str, float] = finite(dict(measures), of=f"on the test images under {protocol.name}")
    counts = confusion(given)
    same = _same(values, subjects, protocol, asked)
    notes = [each.note for each in subjects if each.note] + [line for each in subjects for line in each.said]
    filing: Filing = "written"
    own = first.run.folder / PREDICTIONS
    kept = same == "yes" and own.exists() and asked.probabilities == "auto"
    file = own if kept else (asked.out or first.run.folder) / _file_name(subjects, protocol, asked)
    if same == "no":
        error = first.run.outcome.test.error_percent
        notes.append(f"results.json has another error, {error:.6g} %, or loss")
    if same == "yes":
        notes.append("the same as in results.json" + (f"; {own} is kept" if kept else ""))
    if kept:
        filing = "kept"
    else:
        names = first.test.files if isinstance(first.test, ImageFiles) else ()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(file, prediction_rows(given, asked.probabilities), first.classes, names)
        except (OSError, FolderError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            notes.append(f"no file is written: {file.parent} cannot be written ({reason}); --out gives another folder")
            filing = "not written"
    return Evaluation(
        runs=tuple(str(each.run.folder) for each in subjects),
        data=first.data.name,
        protocol=protocol,
        size=first.data.image.height,
        values=values,
        classes=first.classes,
        missed=missed(counts),
        taken=taken(counts),
        file=file,
        filing=filing,
        standing=first.standing,
        same=same,
        note="; ".join(dict.fromkeys(notes)),
    )


def _same(
    values: Mapping[str, float], subjects: Sequence[RunUnderTest], protocol: Protocol, asked: EvaluationOptions
) -> Same:
    """Whether a test that was the run's own found what its results say, up to rounding."""
    first = subjects[0]
    own = first.standing in ("own", "unrecorded") and first.classes == first.run.classes
    usual = len(subjects) == 1 and asked.statistics == "stored" and protocol.view == first.run.experiment.recipe.view
    if not (own and usual):
        return "another test"
    before = first.run.outcome.test
    equal = (values["error_percent"], values["images"]) == (before.error_percent, before.images)
    return "yes" if equal and isclose(values["loss"], before.loss, rel_tol=ROUNDING) else "no"


def _file_name(subjects: Sequence[RunUnderTest], protocol: Protocol, asked: EvaluationOptions) -> str:
    """The name of a file of predictions by what is tested; predictions.csv is the training's own, and no other's."""
    first = subjects[0]
    words = []
    if len(subjects) > 1:
        names = "\n".join(f"{each.run.name} {each.run.digest} {each.run.network}" for each in subjects)
        words.append(f"ensemble-{len(subjects)}-{short_digest(names)}")
    if first.standing in ("other", "mended"):
        words.append("-".join(filter(None, (distinct_name(first.data.name)[-MOST_LETTERS:], first.identity))))
    if len(first.columns) < len(first.run.classes):
        words.append("restricted")
    if asked.statistics == "reestimated":
        words.append("reestimated")
    if asked.probabilities == "every":
        words.append("probabilities")
    name = folder_name("-".join(["predictions", *words, protocol.name]))
    if len(name) > 2 * MOST_LETTERS:
        name = f"{name[: 2 * MOST_LETTERS]}-{short_digest(name)}"
    return f"{name}.csv"
