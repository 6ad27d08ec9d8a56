"""A finished run ready to be tested again: its network, and images known to be its own or said to be others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.data.identity import Role
from resatlas.data.verifying import Looked
from resatlas.errors import DataError, UsageError, quoted
from resatlas.evaluation.predictions import Probabilities
from resatlas.evaluation.protocol import Protocol
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.record import RunRecord
from resatlas.studies.checks import check_classes, check_plan
from resatlas.studies.own_images import (
    ROLES,
    Standing,
    check_own,
    compare_images,
    differ_text,
    resolve_data,
    scan_parts,
)
from resatlas.training.execution import Device, device_of
from resatlas.training.watch import RANK_TIMEOUT
from resatlas.values.progress import Progress

if TYPE_CHECKING:  # a wrong word is answered before torch is there
    from resatlas.data.normalisation import Normaliser
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.logits import Predictions
    from resatlas.evaluation.portions import Portion
    from resatlas.nets.network import Network
    from resatlas.training.distributed import World

Statistics = Literal["stored", "reestimated"]
Among = Literal["data", "run"]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How runs are tested.

    `protocols` are texts; none means the recipe's first view. `data` is a DATA text, where it is not the run's own.
    `among` is whose classes a network chooses from, where it knows more than the data have. `statistics` are those
    of the normalisations: as training left them, or averaged over the training images. `device` is the GPU where there
    is one. `test_batch` is how many images are shown at once, by default what training had memory for, 256 at most.
    `out` is the folder of the files, by default the run's own, and `probabilities` the classes whose probabilities
    these hold. After `rank_timeout` seconds without a sign of one of several processes the test ends.
    """

    protocols: tuple[str, ...] = ()
    data: str | None = None
    among: Among = "data"
    statistics: Statistics = "stored"
    workers: int = 1
    device: Device | None = None
    test_batch: int | None = None
    out: Path | None = None
    probabilities: Probabilities = "auto"
    rank_timeout: float = RANK_TIMEOUT


DEFAULT_OPTIONS = EvaluationOptions()

LEARNT: tuple[Role, ...] = ("train", "validation")
"""The parts that a training has seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunUnderTest:
    """A run ready to be tested: its network, the images, and which of its outputs are the data's classes.

    `standing` is that of the test images to those of the run, of which `note` says in words what there is to say;
    `identity` is the first digits of the fingerprint of images in files.
    """

    run: RunRecord
    network: "Network"
    data: DataSet
    test: Part
    pipeline: "Pipeline"
    classes: tuple[str, ...]
    columns: tuple[int, ...]
    labels: tuple[int, ...]
    standing: Standing
    note: str
    identity: str
    portion: "Portion"
    said: list[str] = field(default_factory=list)
    """What readers of images and a lack of memory gave to say meanwhile."""

    def answers(self, protocol: Protocol, world: "World", progress: Progress) -> "Predictions":
        """Its predictions under a protocol, split among the processes; rank 0 reports the progress of its share."""
        import torch

        from resatlas.evaluation.logits import no_progress, predict, predict_together, restricted

        share = f" share 1 of {world.size}" if world.size > 1 else ""
        on_images = partial(progress, f"{self.run.folder} {protocol.name}{share}") if world.leads else no_progress
        own = predict_together(
            self.test,
            world,
            lambda part: predict(self.network, part, self.pipeline, protocol.view, on_images, self.portion),
        )
        return restricted(own._replace(labels=torch.tensor(self.labels)[own.labels]), self.columns)


Read = Callable[[str], tuple[DataSet, Parts]]


def run_under_test(run: RunRecord, asked: EvaluationOptions, read: Read, world: "World") -> RunUnderTest:
    """A finished run with the images that it is to be tested on.

    Raises: UsageError, CheckpointError; DataError also for images that are others than the run's, unless they were
        asked for by --data.
    """
    experiment = as_carried_out(run.beginning)
    known = _known(run, asked)
    columns = _columns(run, known)
    data, parts = read(known.name)
    looked = scan_parts(parts, roles=ROLES if asked.data is None else ("test",), threads=asked.workers)
    standing, words = _standing(run, asked, data, parts, looked)
    from resatlas.data.batches import pipeline_for
    from resatlas.evaluation.portions import Portion, images_at_once
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import trained

    check_plan(run)
    said: list[str] = []
    pipeline = pipeline_for(
        experiment.recipe,
        data,
        parts.train,
        normaliser=normaliser_of(run) or _measured(run, read),
        unreadable=experiment.unreadable,
        workers=asked.workers,
        on_note=said.append,
    )
    network = trained(run, experiment).to(device_of(asked.device))
    if asked.statistics == "reestimated":
        own = asked.data if asked.data and standing in ("own", "mended") else experiment.data
        _reestimate(run, network, read(own), asked, world)
    whole = asked.among == "run"
    photographs = isinstance(parts.test, ImageFiles)
    size = asked.test_batch or images_at_once(
        run.plan, experiment.recipe, photographs=photographs, processes=world.size
    )
    return RunUnderTest(
        run=run,
        network=network,
        data=data,
        test=parts.test,
        pipeline=pipeline,
        classes=run.classes if whole else data.classes,
        columns=tuple(range(len(run.classes))) if whole else columns,
        labels=columns if whole else tuple(range(len(columns))),
        standing=standing,
        note="; ".join([*([words] if words else []), *parts.notes]),
        identity=looked["test"].fingerprint.short if looked else "",
        portion=Portion(size=size, note=said.append),
        said=said,
    )


def _known(run: RunRecord, asked: EvaluationOptions) -> DataSet:
    """The data set that is asked for, or the run's own."""
    if asked.data:
        return resolve_data(asked.data)
    return resolve_data(run.experiment.data, of=run.beginning)


def _standing(
    run: RunRecord, asked: EvaluationOptions, data: DataSet, parts: Parts, looked: Mapping[Role, Looked]
) -> tuple[Standing, str]:
    """How the test images stand to those of the run, and what there is to say of it.

    Raises: DataError if they are others and were not asked for.
    """
    own = datasets.resolve(run.experiment.data).name if not datasets.is_folder(run.experiment.data) else None
    if own != (None if datasets.is_folder(data.name) else data.name):
        return "other", f"{data.name} is not the data of {run.folder}"
    found = compare_images(run.beginning, parts, looked, roles=("test",))
    match found.standing:
        case "own":
            if run.classes != data.classes:
                return "other", f"{data.name} has other classes than {run.folder}"
            return "own", _learnt_differ(run, data, parts, looked)
        case "mended":
            return "mended", f"{len(found.mended):,} test images that could not be read are replaced since the run"
        case "unrecorded":
            return "unrecorded", f"{run.folder} has no record of its images; whether these are the same is unknown"
        case "other":
            words = f"the images are not those of {run.folder}: {differ_text(found.differences)}"
            if asked.data is None:
                raise DataError(f"{data.name}: {words}; to test on these images anyway, add --data {data.name}")
            return "other", words


def _learnt_differ(run: RunRecord, data: DataSet, parts: Parts, looked: Mapping[Role, Looked]) -> str:
    """What there is to say of images that were trained on or held back, where they have changed since; or nothing."""
    found = compare_images(run.beginning, parts, looked, roles=[role for role in LEARNT if role in looked])
    if found.standing != "other":
        return ""
    return f"the test images are those of {run.folder}, but {data.name} has changed: {differ_text(found.differences)}"


def _measured(run: RunRecord, read: Read) -> "Normaliser":
    """How a run normalises its images that does not say so: as they are measured again.

    Raises: DataError if its training images are others now.
    """
    from resatlas.training.splits import split_images

    data, parts = read(run.experiment.data)
    check_own(run.beginning, data, parts, roles=("train",), purpose="their normalisation cannot be measured again")
    return split_images(parts, run.experiment, data).pipeline.normaliser


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


def _reestimate(
    run: RunRecord, network: "Network", own: tuple[DataSet, Parts], asked: EvaluationOptions, world: "World"
) -> None:
    """Give the network statistics averaged over its training images, each shown once as in one more epoch."""
    from resatlas.data.batches import batches, source
    from resatlas.evaluation.norm_statistics import averaged_statistics, batch_of, set_statistics
    from resatlas.training.splits import normaliser_of, split_images

    experiment, (data, parts) = as_carried_out(run.beginning), own
    check_own(
        run.beginning, data, parts, roles=("train",), purpose="statistics are estimated on the training's images alone"
    )
    images = split_images(parts, experiment, data, normaliser=normaliser_of(run), workers=asked.workers)
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
