"""What a training will need, before it starts: steps, memory, disk, time, and whether it waits for its images."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from resatlas.data.annotated import resolve_any
from resatlas.data.boxes import AnnotatedParts, DetectionData, held_back
from resatlas.data.dataset import DataSet, ImageFiles, Parts, hold_back
from resatlas.errors import UsageError
from resatlas.nets.peak import Kept
from resatlas.recipes.detection import Detect, Segment
from resatlas.recipes.recipe import Precision, epochs_begun, steps_in_all, steps_per_epoch
from resatlas.recipes.task_check import check_pixel_classes
from resatlas.recipes.text import changes
from resatlas.runs.environment import bf16_instructions
from resatlas.runs.experiment import Experiment, default_folder
from resatlas.runs.record import Keep
from resatlas.studies.demand import Setting, Shortage, room_of, setting_of, shortages, where_of
from resatlas.studies.pace import Pace, decoding_seconds, estimated, threads_each
from resatlas.studies.rehearsal import Rehearsal, rehearse
from resatlas.studies.tasks import check_task, masks_for, plan_for
from resatlas.training.execution import Device, Execution
from resatlas.values.codec import encode
from resatlas.values.cores import cores
from resatlas.values.room import Room, disk_free
from resatlas.values.text import counted, duration_text, size_text

_MOST_PROCESSES = 4096

_KEEPS_UP = 0.9
"""A loader keeps up if a batch takes at most this share of the time of a step."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The steps of a training: images of an epoch, steps and epochs, and the learning rate from each epoch on."""

    images: int
    held_back: int
    batch: int
    norm_group: int
    steps_per_epoch: int
    steps: int
    epochs: int
    peak_rate: float
    rates: tuple[tuple[float, float], ...]
    """(epochs finished, learning rate from there on)."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """The images of a training: `seconds` of a step's batch with `workers` processes, and how many would keep up.

    None where it is not known. Images in memory are prepared by the training itself.
    """

    source: str
    seconds: float | None
    workers: int
    needed: int | None
    waits: bool | None
    basis: str


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a training will need, and what the machine has."""

    design: str
    data: str
    recipe: str
    precision: Precision
    where: str
    setting: Setting
    threads: int
    course: Course
    room: Room | None
    disk_free: int | None
    pace: Pace | None
    loader: Loader
    shortages: tuple[Shortage, ...]
    measured_memory: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether memory and disk suffice, as far as they are known."""
        return all(shortage.fits for shortage in self.shortages)

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds of the training steps of an epoch."""
        if self.pace is None:
            return None
        waiting = self.loader.seconds if self.loader.seconds and self.setting.photographs else 0.0
        own = 0.0 if self.setting.photographs else self.loader.seconds or 0.0
        return self.course.steps_per_epoch * max(self.pace.median + own, waiting)

    @property
    def seconds(self) -> float | None:
        """Seconds of all training steps."""
        if self.epoch_seconds is None:
            return None
        return self.epoch_seconds * self.course.steps / self.course.steps_per_epoch

    @property
    def sentence(self) -> str:
        """The result as somebody would say it."""
        of = f" of {_number(self.room.most)}" if self.room else ""
        words = [f"{size_text(self.setting.needed)}{of}"]
        if self.epoch_seconds is not None and self.seconds is not None:
            about = "" if self.measured_memory else "about "
            words.append(f"{about}{duration_text(self.epoch_seconds)} an epoch, {duration_text(self.seconds)}")
        if self.loader.waits:
            limit = "the loader is the limit"
            words.append(f"{limit}: {counted(self.loader.needed, 'worker')}" if self.loader.needed else limit)
        lacks = [shortage.words for shortage in self.shortages if not shortage.fits]
        return "; ".join(words) + (f". Does not fit: {'; '.join(lacks)}" if lacks else "")


def preflight(
    experiment: Experiment,
    *,
    out: str | Path | None = None,
    processes: int = 1,
    device: Device | None = None,
    kept: Kept = "all",
    workers: int | None = None,
    keep: Keep = "last",
    measure: bool = False,
) -> Preflight:
    """What an experiment will need, without training it; `measure` takes some steps in a process of its own.

    Without `measure` it needs no torch, and time is estimated from multiply-adds.
    Raises: UsageError, DesignError, DataError; with `measure` also what a training raises.
    """
    if not 1 <= processes <= min(_MOST_PROCESSES, experiment.recipe.batch):
        most = min(_MOST_PROCESSES, experiment.recipe.batch)
        raise UsageError(f"processes must be between 1 and {most:,}, the images of a batch; got {processes}")
    data, where = _checked_data(experiment), where_of(device)
    parts = data.read()
    plan = plan_for(experiment, data, parts)
    workers = max(cores() - 1, 1) if workers is None else workers
    setting = setting_of(
        plan,
        experiment.recipe,
        data,
        parts,
        precision=precision_here(experiment, where),
        where=where,
        processes=processes,
        kept=kept,
        workers=workers,
        keep=keep,
    )
    folder = default_folder(experiment) if out is None else Path(out)
    threads = threads_each(setting)
    measured: Rehearsal | None = None
    if measure:
        execution = Execution(device=device, kept=kept, workers=workers)
        measured = rehearse(experiment, execution, processes=processes, threads=threads)
    pace = measured_pace(measured) if measured else estimated(setting)
    return Preflight(
        design=experiment.design,
        data=data.name,
        recipe=experiment.recipe.name,
        precision=setting.precision,
        where=where,
        setting=setting,
        threads=threads,
        course=course_of(experiment, parts, processes),
        room=room_of(where),
        disk_free=disk_free(folder),
        pace=pace,
        loader=_loader(setting, parts, workers, pace, measured),
        shortages=tuple(shortages(setting, folder)),
        measured_memory=measured.memory if measured else None,
        notes=tuple(_notes(setting, pace, measure=measure)),
    )


def _checked_data(experiment: Experiment) -> DataSet | DetectionData:
    """The data of an experiment, from which its recipe can learn.

    Raises: UsageError, DataError, RecipeError
    """
    task = experiment.recipe.task
    data = resolve_any(experiment.data, masks=masks_for(task))
    check_task(experiment, data)
    if isinstance(data, DataSet):
        data.check_learnable()
    elif isinstance(task, Segment):
        check_pixel_classes(task, len(data.pixel_classes))
    return data


def precision_here(experiment: Experiment, where: str) -> Precision:
    """The precision of an experiment; `auto` is bf16 on a GPU and on a processor that multiplies in it."""
    return experiment.precision or ("bf16" if where == "cuda" or bf16_instructions() else "fp32")


def course_of(experiment: Experiment, parts: Parts | AnnotatedParts, processes: int) -> Course:
    """The steps and learning rates of an experiment on its images."""
    recipe = experiment.recipe
    images, held = len(parts.train), 0
    if parts.validation is None and recipe.validation:
        if isinstance(parts, Parts):
            _, validation = hold_back(parts.train, recipe.validation)
        else:
            _, validation = held_back(parts.train, recipe.validation)
        held = len(validation) if validation else 0
    images, share = images - held, ceil(recipe.batch / processes)
    each, steps = steps_per_epoch(recipe, images), steps_in_all(recipe, images)
    return Course(
        images=images,
        held_back=held,
        batch=recipe.batch,
        norm_group=min(recipe.norm_group or share, share),
        steps_per_epoch=each,
        steps=steps,
        epochs=epochs_begun(recipe, images),
        peak_rate=float(recipe.schedule.peak),
        rates=tuple((step / each, rate) for step, rate, _ in changes(recipe.schedule, steps)),
    )


def measured_pace(measured: Rehearsal) -> Pace:
    """The pace of measured steps: their quartiles and median."""
    low, median, high = statistics.quantiles(measured.steps, n=4, method="inclusive")
    return Pace(low=low, median=median, high=high, basis=f"{counted(len(measured.steps), 'measured step')}")


def _loader(
    setting: Setting, parts: Parts | AnnotatedParts, workers: int, pace: Pace | None, measured: Rehearsal | None
) -> Loader:
    share, step = setting.load.share, pace.median if pace else None
    if not isinstance(parts.train, ImageFiles):
        seconds = measured.batch_seconds if measured else None
        basis = "measured" if measured else "not measured"
        source = f"{_place(parts, workers)}, prepared by the training itself"
        return Loader(source=source, seconds=seconds, workers=0, needed=None, waits=False, basis=basis)
    workers = min(workers, cores())
    if measured:
        seconds, basis = measured.batch_seconds, f"measured with {counted(workers, 'worker')}"
    else:
        one = decoding_seconds(parts.train)
        seconds = None if one is None else one * share / workers
        basis = "from the time to decode a few; the recipe's steps on images come on top"
    if seconds is None or step is None:
        return Loader(source="files", seconds=seconds, workers=workers, needed=None, waits=None, basis=basis)
    return Loader(
        source="files",
        seconds=seconds,
        workers=workers,
        needed=ceil(seconds * workers / (_KEEPS_UP * step)),
        waits=seconds > _KEEPS_UP * step,
        basis=basis,
    )


def _place(parts: Parts | AnnotatedParts, workers: int) -> str:
    """Where images are that no further process reads."""
    if isinstance(parts, AnnotatedParts) and parts.train.root is not None:
        return f"files, read in {counted(workers, 'thread')}"
    return "in memory"


def _notes(setting: Setting, pace: Pace | None, *, measure: bool) -> Iterator[str]:
    if setting.scenes is not None:
        most = "regions and masks" if isinstance(setting.recipe.task, Detect) else "pixels"
        yield f"memory is estimated for the largest images and as many {most} as a step can have; steps may need less"
    if setting.where == "cuda":
        yield "the memory of a GPU was never compared with a prediction: no GPU was at hand"
    if pace is None:
        where = "for objects" if setting.scenes else "on a GPU, and in a precision that is emulated here"
        yield f"no estimate of time: {where}, only --measure tells"
    elif measure and setting.processes > 1:
        yield f"measured in one process; the exchange between {setting.processes} is not in it"


def to_json(result: Preflight) -> dict[str, Any]:
    """The result as JSON values."""
    setting, pace = result.setting, result.pace
    one = setting.footprint
    return {
        "design": result.design,
        "data": result.data,
        "recipe": result.recipe,
        "device": result.where,
        "precision": result.precision,
        "processes": setting.processes,
        "threads": result.threads,
        "checkpoint_activations": None if setting.kept == "all" else setting.kept,
        "fits": result.fits,
        "sentence": result.sentence,
        "steps": encode(result.course),
        "memory": {
            "needed_bytes": setting.needed,
            "process_bytes": one.total,
            "parts": vars(one),
            "most_bytes": result.room.most if result.room else None,
            "free_bytes": result.room.free if result.room else None,
            "measured_bytes": result.measured_memory,
        },
        "disk": {
            "needed_bytes": setting.disk,
            "checkpoint_bytes": setting.checkpoint,
            "results_bytes": setting.results,
            "free_bytes": result.disk_free,
        },
        "time": {
            "step_seconds": pace.median if pace else None,
            "step_seconds_low": pace.low if pace else None,
            "step_seconds_high": pace.high if pace else None,
            "epoch_seconds": result.epoch_seconds,
            "seconds": result.seconds,
            "basis": pace.basis if pace else None,
        },
        "loader": vars(result.loader),
        "shortages": [encode(shortage) for shortage in result.shortages],
        "notes": list(result.notes),
    }


def _number(size: int) -> str:
    """A size in whole GiB without the unit, if it is that large."""
    return f"{size / 2**30:.0f}" if size >= 1 << 30 else size_text(size)
