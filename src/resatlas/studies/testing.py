"""Further tests of finished runs: under any protocol, alone or as an ensemble, on their own or on other images."""

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
from resatlas.runs.record import RunRecord, check_labels
from resatlas.runs.store import check_writable
from resatlas.studies.own_images import Standing, resolve_data
from resatlas.studies.predictors import has_no_run, kind_of
from resatlas.studies.subject import (
    DEFAULT_OPTIONS,
    EvaluationOptions,
    RunUnderTest,
    check_engine_for,
    check_protocol_for,
    run_under_test,
)
from resatlas.training.threads import PASS, computing, threads_of
from resatlas.values.progress import Progress, silent

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from contextlib import AbstractContextManager

    from resatlas.evaluation.confusion import Missed, Taken
    from resatlas.evaluation.logits import Predictions
    from resatlas.training.distributed import World

Same = Literal["yes", "no", "another test"]
Filing = Literal["written", "kept", "not written"]

_ROUNDING = 1e-3
"""The relative difference that a loss may have if it is computed on another machine or in batches of another size."""

_MOST_LETTERS = 80
"""The length of a data set's path in the name of a file."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of one test: values by name, errors of the classes, and the file of predictions.

    standing: how the images relate to those of the run.
    same: whether the results equal those of the test at the end of the training.
    filing: whether the file was written, or kept because it has the same content, or could not be written.
    note: remarks on these three.
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
    runs: Sequence[str | Path], options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[Evaluation]:
    """Each run under each protocol, one after another, and a file of predictions for each.

    A run may also be the folder of a saved network or a WORD, which are tested on the data named there, or on --data.
    Raises: FolderError if there is no run or it is not finished; UnknownName, UsageError, DataError, CheckpointError,
        NonFiniteError.
    """
    if any(kind_of(run) != "run" for run in runs):
        return [evaluation for run in runs for evaluation in _alone(run, options, progress)]
    pairs = _runs_and_protocols(runs, options)
    with _world(options) as world, computing(_threads(pairs)):
        return [
            world.lead(
                partial(_evaluation, subject.predictions(protocol, world, progress), [subject], protocol, options)
            )
            for subject, chosen in _subjects(pairs, options, world)
            for protocol in chosen
        ]


def ensemble(
    runs: Sequence[str | Path], options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[Evaluation]:
    """The mean softmax of all runs under each protocol, by default under the protocols of the first run.

    Raises: as `evaluate`; UsageError for a single run; DataError if the runs are not tested on the same images.
    """
    if others := [str(run) for run in runs if has_no_run(run)]:
        raise UsageError(f"an ensemble is made of finished runs; {others[0]} is a saved network or a word")
    pairs = _runs_and_protocols(runs, options)
    if len(pairs) < 2:
        raise UsageError("an ensemble needs two runs or more; got one")
    from resatlas.evaluation.logits import mean_predictions

    shared = pairs[0][1]
    evaluations = []
    with _world(options) as world, computing(_threads(pairs)):
        subjects = [subject for subject, _ in _subjects([(run, shared) for run, _ in pairs], options, world)]
        _check_same_images(subjects)
        for protocol in shared:
            members = [subject.predictions(protocol, world, progress) for subject in subjects]
            predictions = mean_predictions(members, "softmax")
            evaluations.append(world.lead(partial(_evaluation, predictions, subjects, protocol, options)))
    return evaluations


def _alone(where: str | Path, options: EvaluationOptions, progress: Progress) -> list[Evaluation]:
    """The tests of one run, saved network or word."""
    if kind_of(where) == "run":
        return evaluate([where], options, progress)
    from resatlas.studies.testing_predictors import predictor_evaluations

    with _world(options) as world:
        return list(predictor_evaluations(where, options, progress, world))


RunAndProtocols = tuple[RunRecord, tuple[Protocol, ...]]


def _runs_and_protocols(folders: Sequence[str | Path], options: EvaluationOptions) -> list[RunAndProtocols]:
    """The runs and the protocols of each run, checked before any image is read.

    Raises: FolderError, also if --out cannot be written; UsageError.
    """
    runs = [read_finished(Path(folder)) for folder in folders]
    for run in runs:
        check_labels(run)
    if options.test_batch is not None:
        check_test_batch(options.test_batch)
    check_engine_for(options)
    if options.out:
        check_writable(options.out)
    pairs = [(run, protocols.resolve(options.protocols, run.experiment.recipe)) for run in runs]
    for protocol in (protocol for _, chosen in pairs for protocol in chosen):
        check_protocol_for(options.engine, protocol)
    return pairs


def _world(options: EvaluationOptions) -> "AbstractContextManager[World]":
    from resatlas.training.distributed import joined

    return joined(rank_timeout=options.rank_timeout)


def _threads(pairs: Sequence[RunAndProtocols]) -> int:
    """The largest number of threads that one of the runs needs."""
    return max(threads_of(run.folder, run.plan, images=PASS) for run, _ in pairs)


def _subjects(
    pairs: Sequence[RunAndProtocols], options: EvaluationOptions, world: "World"
) -> Iterator[tuple[RunUnderTest, tuple[Protocol, ...]]]:
    """The prepared runs with the protocols of each, which are checked against its images."""
    read = cache(_read)
    for run, chosen in pairs:
        subject = run_under_test(run, options, read, world)
        for protocol in chosen:
            protocols.check(protocol, subject.data, subject.test)
        yield subject, chosen


def _read(text: str) -> tuple[DataSet, Parts]:
    data = resolve_data(text)
    return data, data.read()


def _check_same_images(subjects: Sequence[RunUnderTest]) -> None:
    """Refuse runs that are not tested on the same images.

    Raises: DataError
    """
    first = subjects[0]
    for other in subjects[1:]:
        if (_images(other), other.classes) != (_images(first), first.classes):
            raise DataError(
                f"an ensemble needs runs with the same test images: {first.run.folder} has those of {first.data.name}, "
                f"{other.run.folder} those of {other.data.name}"
            )


def _images(subject: RunUnderTest) -> str:
    """The identity of the test images: the fingerprint of files, else the data's name without its knobs."""
    return subject.identity or datasets.separated(subject.data.name)[0]


def _evaluation(
    predictions: "Predictions", subjects: Sequence[RunUnderTest], protocol: Protocol, options: EvaluationOptions
) -> Evaluation:
    """The measures of predictions; their file is written.

    Raises: NonFiniteError if a measure is not finite.
    """
    from resatlas.evaluation.classification import prediction_rows
    from resatlas.evaluation.confusion import confusion, missed, taken
    from resatlas.evaluation.predictions import write_predictions

    first = subjects[0]
    values = measured(predictions, protocol)
    counts = confusion(predictions)
    same = _same(values, subjects, protocol, options)
    notes = [subject.note for subject in subjects if subject.note]
    notes += [remark for subject in subjects for remark in subject.remarks]
    filing: Filing = "written"
    own = first.run.folder / PREDICTIONS
    kept = same == "yes" and own.exists() and options.probabilities == "auto"
    file = own if kept else (options.out or first.run.folder) / _file_name(subjects, protocol, options)
    if same == "no":
        error = first.run.outcome.test.error_percent
        notes.append(f"differs from results.json in its error, there {error:.6g} %, or in its loss")
    if same == "yes":
        notes.append("same as results.json" + (f"; {own} is kept" if kept else ""))
    if kept:
        filing = "kept"
    else:
        names = first.test.files if isinstance(first.test, ImageFiles) else ()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(file, prediction_rows(predictions, options.probabilities), first.classes, names)
        except (OSError, FolderError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            notes.append(f"no file written: {file.parent} cannot be written ({reason}); choose a folder with --out")
            filing = "not written"
    return Evaluation(
        runs=tuple(str(subject.run.folder) for subject in subjects),
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


def measured(predictions: "Predictions", protocol: Protocol) -> dict[str, float]:
    """The measures of predictions by name.

    Raises: NonFiniteError if a measure is not finite.
    """
    from resatlas.evaluation.calibration import calibration
    from resatlas.evaluation.classification import classification
    from resatlas.evaluation.ranking import top5
    from resatlas.training.loop import finite

    measures = (*classification(predictions), *top5(predictions), *calibration(predictions))
    return finite(dict(measures), of=f"on the test images under {protocol.name}")


def _same(
    values: Mapping[str, float], subjects: Sequence[RunUnderTest], protocol: Protocol, options: EvaluationOptions
) -> Same:
    """Whether a test on the run's own images under its own protocol agrees with its results, up to rounding."""
    first = subjects[0]
    own = first.standing in ("own", "unrecorded") and first.classes == first.run.classes
    stored = options.statistics == "stored" and options.of == "last"
    usual = len(subjects) == 1 and stored and protocol.view == first.run.experiment.recipe.view
    if not (own and usual):
        return "another test"
    before = first.run.outcome.test
    equal = (values["error_percent"], values["images"]) == (before.error_percent, before.images)
    near = before.loss is not None and isclose(values["loss"], before.loss, rel_tol=_ROUNDING)
    return "yes" if equal and near else "no"


def _file_name(subjects: Sequence[RunUnderTest], protocol: Protocol, options: EvaluationOptions) -> str:
    """The name of a file of predictions, made of what is tested; only the training itself writes predictions.csv."""
    first = subjects[0]
    words = []
    if len(subjects) > 1:
        names = "\n".join(f"{subject.run.name} {subject.run.digest} {subject.run.network}" for subject in subjects)
        words.append(f"ensemble-{len(subjects)}-{short_digest(names)}")
    if first.standing in ("other", "mended"):
        words.append("-".join(filter(None, (distinct_name(first.data.name)[-_MOST_LETTERS:], first.identity))))
    if len(first.columns) < len(first.run.classes):
        words.append("restricted")
    if options.of == "best":
        words.append("best")
    if options.statistics == "reestimated":
        words.append("reestimated")
    if options.engine != "torch":
        words.append(options.engine)
    if options.probabilities == "every":
        words.append("probabilities")
    name = folder_name("-".join(["predictions", *words, protocol.name]))
    if len(name) > 2 * _MOST_LETTERS:
        name = f"{name[: 2 * _MOST_LETTERS]}-{short_digest(name)}"
    return f"{name}.csv"
