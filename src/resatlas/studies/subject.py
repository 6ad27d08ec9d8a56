"""A finished run prepared for a further test: its network, the test images, and how these relate to the run's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part, Parts
from resatlas.data.layouts import Role
from resatlas.data.verifying import Looked
from resatlas.errors import DataError, UsageError, quoted
from resatlas.evaluation.predictions import Probabilities
from resatlas.evaluation.protocol import Protocol
from resatlas.inference.engines.packages import Engine, check_engine
from resatlas.recipes.images import MultiScale
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.record import Epoch, RunRecord
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
from resatlas.weights.obtaining import Access

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from torch import nn

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

    protocols: names as in `resatlas evaluate --protocol`; by default the recipe's first view.
    data: a DATA text; by default the run's own data.
    among: "data" restricts a network that knows more classes to those of the data; "run" does not.
    of: the epoch whose weights are tested: the last, or the best if the run keeps it.
    statistics: those of the normalisations: as stored by the training, or re-estimated over the training images.
    device: by default the GPU, where there is one.
    engine: the library that computes; onnxruntime and openvino compute on the CPU, in float32.
    test_batch: images per forward pass; by default as many as the training had memory for, at most 256.
    out: the folder of the prediction files; by default the run's own.
    probabilities: the classes whose probabilities these files contain.
    rank_timeout: with several processes, the test ends if one does not respond for so many seconds.
    access: whether the weights of a WORD may be downloaded.
    """

    protocols: tuple[str, ...] = ()
    data: str | None = None
    among: Among = "data"
    of: Epoch = "last"
    statistics: Statistics = "stored"
    workers: int = 1
    device: Device | None = None
    engine: Engine = "torch"
    test_batch: int | None = None
    out: Path | None = None
    probabilities: Probabilities = "auto"
    rank_timeout: float = RANK_TIMEOUT
    access: Access = "online"


DEFAULT_OPTIONS = EvaluationOptions()


def check_engine_for(options: EvaluationOptions) -> None:
    """Refuse an engine that is unknown, not installed, or on another device.

    Raises: UnknownName, UsageError
    """
    check_engine(options.engine)
    if options.engine != "torch" and options.device == "cuda":
        raise UsageError(f"--engine {options.engine} computes on the CPU; leave out --device cuda")


def check_protocol_for(engine: Engine, protocol: Protocol) -> None:
    """Refuse a protocol that reads inside the network, which only torch gives.

    Raises: UsageError
    """
    if engine != "torch" and isinstance(protocol.view, MultiScale) and protocol.view.places == "windows":
        raise UsageError(f"{protocol.name} reads maps inside the network, which only --engine torch gives")


_LEARNT: tuple[Role, ...] = ("train", "validation")
"""The parts that a training uses."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunUnderTest:
    """A run prepared for a test.

    columns: the outputs of the network that are used.
    labels: the position in `columns` of each class of the data.
    standing, note: how the test images relate to those of the run, and remarks about them.
    identity: the first digits of the fingerprint of images in files.
    """

    run: RunRecord
    network: "nn.Module"
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
    remarks: list[str] = field(default_factory=list)
    """Remarks made during the test, about images or about memory."""

    def predictions(self, protocol: Protocol, world: "World", progress: Progress) -> "Predictions":
        """Predictions under a protocol, computed by all processes; rank 0 reports the progress of its share."""
        import torch

        from resatlas.evaluation.logits import no_progress, predict, predict_together, restricted

        share = f" share 1 of {world.size}" if world.size > 1 else ""
        on_images = partial(progress, f"{self.run.folder} {protocol.name}{share}") if world.leads else no_progress
        predictions = predict_together(
            self.test,
            world,
            lambda part: predict(self.network, part, self.pipeline, protocol.view, on_images, self.portion),
        )
        return restricted(predictions._replace(labels=torch.tensor(self.labels)[predictions.labels]), self.columns)


Read = Callable[[str], tuple[DataSet, Parts]]


def run_under_test(run: RunRecord, options: EvaluationOptions, read: Read, world: "World") -> RunUnderTest:
    """A finished run with its network and the images that it is tested on.

    Raises: UsageError, CheckpointError; DataError also if the images are not those of the run and not named by --data.
    """
    experiment = as_carried_out(run.beginning)
    data = _data_set(run, options)
    columns = _columns(run, data)
    data, parts = read(data.name)
    scans = scan_parts(parts, roles=ROLES if options.data is None else ("test",), threads=options.workers)
    standing, note = _standing(run, options, data, parts, scans)
    from resatlas.data.batches import pipeline_for
    from resatlas.evaluation.portions import Portion, images_at_once
    from resatlas.inference.engines.network import run_by
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import best_epoch, trained

    check_plan(run)
    remarks: list[str] = []
    if options.of == "best":
        best = best_epoch(run)
        remarks.append(
            f"weights of epoch {best.epoch} of {run.outcome.epochs}, with the least validation error, "
            f"{best.validation_error_percent:.6g} %"
        )
    pipeline = pipeline_for(
        experiment.recipe,
        data,
        parts.train,
        normaliser=normaliser_of(run) or _measured(run, read),
        unreadable=experiment.unreadable,
        workers=options.workers,
        on_note=remarks.append,
    )
    network = trained(run, experiment, options.of).to(device_of(options.device))
    if options.statistics == "reestimated":
        own = options.data if options.data and standing in ("own", "mended") else experiment.data
        _reestimate(run, network, read(own), options, world)
    every_class = options.among == "run"
    photographs = isinstance(parts.test, ImageFiles)
    size = options.test_batch or images_at_once(
        run.plan, experiment.recipe, photographs=photographs, processes=world.size
    )
    return RunUnderTest(
        run=run,
        network=run_by(options.engine, network, free="size"),
        data=data,
        test=parts.test,
        pipeline=pipeline,
        classes=run.classes if every_class else data.classes,
        columns=tuple(range(len(run.classes))) if every_class else columns,
        labels=columns if every_class else tuple(range(len(columns))),
        standing=standing,
        note="; ".join([*([note] if note else []), *parts.notes]),
        identity=scans["test"].fingerprint.short if scans else "",
        portion=Portion(size=size, note=remarks.append),
        remarks=remarks,
    )


def _data_set(run: RunRecord, options: EvaluationOptions) -> DataSet:
    """The data set of --data, or the run's own."""
    if options.data:
        return resolve_data(options.data)
    return resolve_data(run.experiment.data, of=run.beginning)


def _standing(
    run: RunRecord, options: EvaluationOptions, data: DataSet, parts: Parts, scans: Mapping[Role, Looked]
) -> tuple[Standing, str]:
    """How the test images relate to those of the run, and a remark about it.

    Raises: DataError if they are different and not named by --data.
    """
    own = datasets.resolve(run.experiment.data).name if not datasets.is_folder(run.experiment.data) else None
    if own != (None if datasets.is_folder(data.name) else data.name):
        return "other", f"{data.name} is not the data of {run.folder}"
    comparison = compare_images(run.beginning, parts, scans, roles=("test",))
    match comparison.standing:
        case "own":
            if run.classes != data.classes:
                return "other", f"{data.name} has other classes than {run.folder}"
            return "own", _changed_since_training(run, data, parts, scans)
        case "mended":
            return (
                "mended",
                f"{len(comparison.mended):,} test images that could not be read were replaced since the run",
            )
        case "unrecorded":
            return "unrecorded", f"{run.folder} has no record of its images; whether these are the same is unknown"
        case "other":
            note = f"the images are not those of {run.folder}: {differ_text(comparison.differences)}"
            if options.data is None:
                raise DataError(f"{data.name}: {note}; to test on these images anyway, add --data {data.name}")
            return "other", note


def _changed_since_training(run: RunRecord, data: DataSet, parts: Parts, scans: Mapping[Role, Looked]) -> str:
    """A remark if the training or validation images have changed since the training, else nothing."""
    comparison = compare_images(run.beginning, parts, scans, roles=[role for role in _LEARNT if role in scans])
    if comparison.standing != "other":
        return ""
    changes = differ_text(comparison.differences)
    return f"the test images are those of {run.folder}, but {data.name} has changed: {changes}"


def _measured(run: RunRecord, read: Read) -> "Normaliser":
    """The normalisation of a run without a file of it, measured again on its training images.

    Raises: DataError if these images have changed.
    """
    from resatlas.training.splits import split_images

    data, parts = read(run.experiment.data)
    check_own(run.beginning, data, parts, roles=("train",), purpose="the normalisation cannot be measured again")
    return split_images(parts, run.experiment, data).pipeline.normaliser


def _columns(run: RunRecord, data: DataSet) -> tuple[int, ...]:
    """The output of a run's network for each class of the data.

    Raises: DataError if the run was not trained on one of them, or if the classes of its own data have changed;
        UsageError if the network does not take images of this shape.
    """
    if data.name == run.experiment.data:
        check_classes(run, data)
    outputs = {name: k for k, name in enumerate(run.classes)}
    missing = [name for name in data.classes if name not in outputs]
    if missing:
        more = f" and {len(missing) - 1:,} other{'s' if len(missing) > 2 else ''}" if len(missing) > 1 else ""
        raise DataError(
            f"{run.folder} was not trained on the class {quoted(missing[0])}{more} of {data.name}; its classes must "
            "include those of --data by the same names"
        )
    if data.image != run.plan.image:
        raise UsageError(
            f"images of {data.name} are {data.image}, and {run.folder} takes {run.plan.image}; most data have a knob "
            f"size, as in {datasets.separated(data.name)[0]}:size={run.plan.image.height}"
        )
    return tuple(outputs[name] for name in data.classes)


def _reestimate(
    run: RunRecord, network: "Network", own: tuple[DataSet, Parts], options: EvaluationOptions, world: "World"
) -> None:
    """Set the normalisation statistics to averages over the training images, each used once as in one more epoch."""
    from resatlas.data.batches import batches, source
    from resatlas.evaluation.norm_statistics import averaged_statistics, batch_of, set_statistics
    from resatlas.training.splits import normaliser_of, split_images

    experiment, (data, parts) = as_carried_out(run.beginning), own
    check_own(run.beginning, data, parts, roles=("train",), purpose="re-estimated statistics need the training images")
    images = split_images(parts, experiment, data, normaliser=normaliser_of(run), workers=options.workers)
    once = replace(images.pipeline, repeats=1)
    epoch = batches(
        source(images.train, once),
        once,
        seed=experiment.seed,
        epoch=run.outcome.epochs,
        batch=batch_of(len(images.train), experiment.recipe.norm_group or experiment.recipe.batch),
        leftover="kept",
    )
    set_statistics(network, world.lead(lambda: averaged_statistics(network, (batch.images for batch in epoch))))
