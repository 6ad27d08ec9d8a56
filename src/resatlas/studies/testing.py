"""Finished runs tested again: under any protocol, alone or as an ensemble, on their own images or on others."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.errors import DataError, FolderError, UsageError, quoted
from resatlas.evaluation import protocol as protocols
from resatlas.evaluation.protocol import Protocol
from resatlas.runs.decoding import read_run
from resatlas.runs.experiment import distinct_name, folder_name
from resatlas.runs.record import PREDICTIONS, RunRecord
from resatlas.studies.checks import check_classes, check_plan
from resatlas.training.execution import Device, device_of
from resatlas.training.threads import PASS, computing, threads_of
from resatlas.training.watch import RANK_TIMEOUT

if TYPE_CHECKING:  # a wrong word is answered before torch is there
    from contextlib import AbstractContextManager

    from resatlas.data.normalisation import Normaliser
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.answers import Answers
    from resatlas.evaluation.confusion import Missed, Taken
    from resatlas.nets.network import Network
    from resatlas.training.distributed import World

Statistics = Literal["stored", "reestimated"]
Among = Literal["data", "run"]

Progress = Callable[[str, int, int], None]
"""Told which run is tested under which protocol, and how many images of how many it has been shown."""


def unwatched(what: str, shown: int, total: int) -> None:
    """Nobody looks."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How runs are tested.

    `protocols` are texts; none means the recipe's first view. `data` is a DATA text, where it is not the run's own.
    `among` is whose classes a network chooses from, where it knows more than the data have. `statistics` are those
    of the normalisations: as training left them, or averaged over the training images. `device` is the GPU where there
    is one.
    """

    protocols: tuple[str, ...] = ()
    data: str | None = None
    among: Among = "data"
    statistics: Statistics = "stored"
    workers: int = 1
    device: Device | None = None
    rank_timeout: float = RANK_TIMEOUT


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One evaluation: of which runs, on what and how, its values by name, its classes, and its file of predictions.

    `note` says what became of the file if that needs words.
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
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A run ready to be tested: its network, the images, and which of its outputs are the data's classes."""

    run: RunRecord
    network: "Network"
    data: DataSet
    test: Part
    pipeline: "Pipeline"
    classes: tuple[str, ...]
    columns: tuple[int, ...]
    labels: tuple[int, ...]

    def answers(self, protocol: Protocol, world: "World", progress: Progress) -> "Answers":
        """What it answers under a protocol, each image's by one of the processes; the first tells of its share."""
        import torch

        from resatlas.evaluation.answers import answered_together, answers, restricted, unheard

        share = f" share 1 of {world.size}" if world.size > 1 else ""
        heard = partial(progress, f"{self.run.folder} {protocol.name}{share}") if world.leads else unheard
        found = answered_together(
            self.test, world, lambda own: answers(self.network, own, self.pipeline, protocol.view, heard)
        )
        return restricted(found._replace(labels=torch.tensor(self.labels)[found.labels]), self.columns)


def evaluate(runs: Sequence[str | Path], asked: Asked = Asked(), progress: Progress = unwatched) -> list[Tested]:
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


def ensemble(runs: Sequence[str | Path], asked: Asked = Asked(), progress: Progress = unwatched) -> list[Tested]:
    """The mean softmax of all runs under each protocol, by default under the first one's own.

    Raises: as `evaluate`; UsageError for a single run; DataError if the runs were not tested on the same images.
    """
    wanted = _wanted(runs, asked)
    if len(wanted) < 2:
        raise UsageError("an ensemble has two runs or more; one is given")
    from resatlas.evaluation.answers import mean_answers

    shared = wanted[0][1]
    found = []
    with _world(asked) as world, computing(_threads(wanted)):
        subjects = [subject for subject, _ in _subjects([(run, shared) for run, _ in wanted], asked, world)]
        _check_alike(subjects)
        for each in shared:
            given = mean_answers([subject.answers(each, world, progress) for subject in subjects], "softmax")
            found.append(world.lead(partial(_told, given, subjects, each, asked)))
    return found


def finished(folder: Path) -> RunRecord:
    """The run of a folder, which is finished and whose results are not edited.

    Raises: FolderError
    """
    run = read_run(folder)
    if not run.finished:
        raise FolderError(f"{folder} is not finished; the test set is touched once, after the last epoch")
    return run


Wanted = tuple[RunRecord, tuple[Protocol, ...]]


def _wanted(folders: Sequence[str | Path], asked: Asked) -> list[Wanted]:
    """The runs and the protocols of each, checked before any image is read."""
    runs = [finished(Path(folder)) for folder in folders]
    return [(run, protocols.resolve(asked.protocols, run.experiment.recipe)) for run in runs]


def _world(asked: Asked) -> "AbstractContextManager[World]":
    from resatlas.training.distributed import joined

    return joined(rank_timeout=asked.rank_timeout)


def _threads(wanted: Sequence[Wanted]) -> int:
    """The threads of the runs' trainings, or of the largest network's test."""
    return max(threads_of(run.folder, run.plan, images=PASS) for run, _ in wanted)


def _subjects(wanted: Sequence[Wanted], asked: Asked, world: "World") -> Iterator[tuple[Subject, tuple[Protocol, ...]]]:
    """The runs ready to be tested, and the protocols of each, which their images can be seen under."""
    read = cache(_read)
    for run, each in wanted:
        subject = _subject(run, asked, read, world)
        for protocol in each:
            protocols.check(protocol, subject.data, subject.test)
        yield subject, each


def _read(text: str) -> tuple[DataSet, Parts]:
    data = datasets.resolve(text)
    return data, data.read()


def _subject(run: RunRecord, asked: Asked, read: Callable[[str], tuple[DataSet, Parts]], world: "World") -> Subject:
    experiment = run.experiment
    known = datasets.resolve(asked.data or experiment.data)
    columns = _columns(run, known)
    data, parts = read(known.name)
    from resatlas.data.batches import pipeline_for
    from resatlas.training.session import normaliser_of, trained

    check_plan(run)
    pipeline = pipeline_for(
        experiment.recipe,
        data,
        parts.train,
        normaliser=normaliser_of(run) or _measured(run, read),
        unreadable=experiment.unreadable,
        workers=asked.workers,
    )
    network = trained(run, experiment).to(device_of(asked.device))
    if asked.statistics == "reestimated":
        _reestimate(run, network, read(experiment.data), asked, world)
    whole = asked.among == "run"
    return Subject(
        run=run,
        network=network,
        data=data,
        test=parts.test,
        pipeline=pipeline,
        classes=run.classes if whole else data.classes,
        columns=tuple(range(len(run.classes))) if whole else columns,
        labels=columns if whole else tuple(range(len(columns))),
    )


def _measured(run: RunRecord, read: Callable[[str], tuple[DataSet, Parts]]) -> "Normaliser":
    """How a run normalises its images that does not say so: as they are measured again."""
    from resatlas.training.session import material

    data, parts = read(run.experiment.data)
    return material(parts, run.experiment, data).pipeline.normaliser


def _columns(run: RunRecord, data: DataSet) -> tuple[int, ...]:
    """Which of a run's outputs each class of the data is.

    Raises: DataError if the run has not learnt one of them, or its own data have others now; UsageError if its network
        does not take the images.
    """
    if data.name == run.experiment.data:
        check_classes(run, data)
    places = {name: k for k, name in enumerate(run.classes)}
    strange = [name for name in data.classes if name not in places]
    if strange:
        more = f" and {len(strange) - 1:,} other{'s' if len(strange) > 2 else ''}" if len(strange) > 1 else ""
        raise DataError(
            f"{run.folder} has not learnt {quoted(strange[0])}{more} of {data.name}; test it on classes that it knows "
            "by the same names"
        )
    if data.image != run.plan.image:
        raise UsageError(
            f"images of {data.name} are {data.image}, and {run.folder} takes {run.plan.image}; size is a knob of most "
            f"data, as in {datasets.separated(data.name)[0]}:size={run.plan.image.height}"
        )
    return tuple(places[name] for name in data.classes)


def _reestimate(run: RunRecord, network: "Network", own: tuple[DataSet, Parts], asked: Asked, world: "World") -> None:
    """Give the network statistics averaged over its training images, each shown once as in one more epoch."""
    from resatlas.data.batches import batches, source
    from resatlas.evaluation.norm_statistics import averaged_statistics, batch_of, set_statistics
    from resatlas.training.session import material, normaliser_of

    experiment, (data, parts) = run.experiment, own
    images = material(parts, experiment, data, normaliser=normaliser_of(run), workers=asked.workers)
    once = replace(images.pipeline, repeats=1)
    shown = batches(
        source(images.train, once),
        once,
        seed=experiment.seed,
        epoch=run.outcome.epochs,
        batch=batch_of(len(images.train), experiment.recipe.norm_group or experiment.recipe.batch),
        leftover="kept",
    )
    set_statistics(network, world.lead(lambda: averaged_statistics(network, (each.images for each in shown))))


def _check_alike(subjects: Sequence[Subject]) -> None:
    """Refuse runs that were not tested on the same images.

    Raises: DataError
    """
    first = subjects[0]
    for other in subjects[1:]:
        if (_source(other.data), other.classes) != (_source(first.data), first.classes):
            raise DataError(
                f"the runs of an ensemble answer to the same images: {first.run.folder} to those of {first.data.name}, "
                f"{other.run.folder} to those of {other.data.name}"
            )


def _source(data: DataSet) -> str:
    """The name without its knobs, which change no image's place."""
    return datasets.separated(data.name)[0]


def _told(given: "Answers", subjects: Sequence[Subject], protocol: Protocol, asked: Asked) -> Tested:
    """The measures of answers, and their file written.

    Raises: NonFiniteError if a measure is no number.
    """
    from resatlas.evaluation.calibration import calibration
    from resatlas.evaluation.classification import classification, predictions
    from resatlas.evaluation.confusion import confusion, missed, taken
    from resatlas.evaluation.predictions import write_predictions
    from resatlas.evaluation.ranking import top5
    from resatlas.training.loop import finite

    first = subjects[0]
    measures = (*classification(given), *top5(given), *calibration(given))
    values: dict[str, float] = finite(dict(measures), of=f"on the test images under {protocol.name}")
    counts = confusion(given)
    file = _file(subjects, protocol, asked)
    note = ""
    if file.name == PREDICTIONS and first.run.predictions is not None:
        if values["error_percent"] != first.run.outcome.test.error_percent:
            note = f"{file} stays as the run wrote it; this evaluation has another error than results.json"
    else:
        names = first.test.files if isinstance(first.test, ImageFiles) else ()
        write_predictions(file, predictions(given), first.classes, names)
    return Tested(
        runs=tuple(str(each.run.folder) for each in subjects),
        data=first.data.name,
        protocol=protocol,
        size=first.data.image.height,
        values=values,
        classes=first.classes,
        missed=missed(counts),
        taken=taken(counts),
        file=file,
        note=note,
    )


def _file(subjects: Sequence[Subject], protocol: Protocol, asked: Asked) -> Path:
    """predictions.csv for the test that results.json tells of; for any other its words follow in the name."""
    run = subjects[0].run
    words = []
    if len(subjects) > 1:
        names = "\n".join(f"{each.run.digest} {each.run.network}" for each in subjects)
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        words.append(f"ensemble-{len(subjects)}-{digest}")
    if subjects[0].data.name != run.experiment.data:
        words.append(distinct_name(subjects[0].data.name))
    if len(subjects[0].columns) < len(run.classes):
        words.append("restricted")
    if asked.statistics == "reestimated":
        words.append("reestimated")
    if words or protocol.view != run.experiment.recipe.view:
        words.append(protocol.name)
    return run.folder / f"{folder_name('-'.join(['predictions', *words]))[:200]}.csv"
