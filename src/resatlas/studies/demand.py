"""The memory and the disk that a training asks for, what the machine has, and the nearest setting that fits."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from resatlas.arch.plan import Plan
from resatlas.data.boxes import AnnotatedParts, DetectionData
from resatlas.data.dataset import DataSet, ImageFiles, ImageSet, Parts
from resatlas.errors import UsageError
from resatlas.evaluation.portions import images_at_once
from resatlas.nets.peak import Kept
from resatlas.nets.scene_sizes import SceneSizes
from resatlas.recipes.detection import Detect
from resatlas.recipes.images import Whiten
from resatlas.recipes.recipe import Precision, Recipe
from resatlas.runs.record import Keep
from resatlas.studies.scene_sizing import NAME, annotated_bytes, found_bytes, scene_sizes
from resatlas.training.execution import Device
from resatlas.training.footprint import Footprint, Load, Where, checkpoint_bytes, footprint, machine_bytes
from resatlas.values.cores import cores
from resatlas.values.room import Room, disk_free, memory_room
from resatlas.values.text import size_text

_CHECKPOINTS = 3
"""Checkpoints at once: the newest two, and the next one while it is written."""

_PREDICTION = 40
"""Bytes of a line of predictions.csv, about."""

_FEWEST_REGIONS = 8
"""Regions of an image that a suggestion leaves at least."""

_WITHIN = ("norm_group", "repeats")
"""Fields of a recipe that are at most its batch."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A training, and the options that determine its memory."""

    plan: Plan
    recipe: Recipe
    precision: Precision
    where: Where = "cpu"
    processes: int = 1
    machines: int = 1
    kept: Kept = "all"
    readers: int = 0
    data_bytes: int = 0
    photographs: bool = False
    keep: Keep = "last"
    scenes: SceneSizes | None = None
    """Sizes of images with objects."""
    results: int = 0
    """Bytes of what a test writes."""

    @property
    def load(self) -> Load:
        """What one process has at once."""
        return Load(
            batch=self.recipe.batch,
            processes=self.processes,
            precision=self.precision,
            kept=self.kept,
            where=self.where,
            tested=images_at_once(self.plan, self.recipe, photographs=self.photographs, processes=self.processes),
            data_bytes=self.data_bytes,
            readers=self.readers,
            scenes=self.scenes,
        )

    @cached_property
    def footprint(self) -> Footprint:
        """The memory of one process."""
        return footprint(self.plan, self.recipe, self.load)

    @property
    def needed(self) -> int:
        """Bytes that must fit: of all processes of a machine in its memory, or of one process on its GPU."""
        one = self.footprint
        return machine_bytes(one, self.processes // self.machines) if self.where == "cpu" else one.total

    @property
    def checkpoint(self) -> int:
        """Bytes of one checkpoint."""
        return checkpoint_bytes(self.plan, self.recipe, self.scenes)

    @property
    def disk(self) -> int:
        """Bytes of all checkpoints at once, and of the results."""
        return (_CHECKPOINTS + (self.keep == "best,last")) * self.checkpoint + self.results


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change of the command with which the training fits, and the bytes that it then needs."""

    option: str
    bytes: int


def setting_of(
    plan: Plan,
    recipe: Recipe,
    data: DataSet | DetectionData,
    parts: Parts | AnnotatedParts,
    *,
    precision: Precision,
    where: Where,
    processes: int,
    machines: int = 1,
    kept: Kept,
    workers: int,
    keep: Keep,
) -> Setting:
    """The setting of a training on the images of a data set, read by at most so many workers.

    Images with objects are read by threads of the training itself.
    Raises: TypeError if these are not the images of the data set.
    """
    photographs = isinstance(parts.train, ImageFiles)
    match data, parts:
        case DataSet(), Parts():
            size, scenes, results = data_bytes(parts, recipe), None, _PREDICTION * len(parts.test)
        case DetectionData(), AnnotatedParts():
            size, scenes = annotated_bytes(data, parts), scene_sizes(data, parts, recipe)
            results = found_bytes(parts, recipe.task)
        case _:
            raise TypeError(f"{data.name} does not have the images {type(parts).__name__}")
    return Setting(
        plan=plan,
        recipe=recipe,
        precision=precision,
        where=where,
        processes=processes,
        machines=machines,
        kept=kept,
        readers=min(workers, cores()) if photographs else 0,
        data_bytes=size,
        photographs=photographs,
        keep=keep,
        scenes=scenes,
        results=results,
    )


def data_bytes(parts: Parts, recipe: Recipe) -> int:
    """Bytes of the images of a data set in memory, or of the names of its files.

    The images that a recipe holds back for validation are copies, and so are those that remain.
    """
    total = 0
    for part in (parts.train, parts.validation, parts.test):
        match part:
            case ImageSet():
                total += part.images.nbytes
            case ImageFiles():
                total += NAME * len(part)
            case None:
                pass
    train = parts.train
    if isinstance(train, ImageSet):
        copied = recipe.validation > 0 and parts.validation is None
        whitened = any(isinstance(step, Whiten) for step in recipe.steps)
        total += train.images.nbytes * (copied + 4 * whitened)
    return total


def where_of(device: Device | None) -> Where:
    """The device that a training would use, without torch.

    Raises: UsageError for a GPU that is missing.
    """
    if device == "cpu":
        return "cpu"
    if gpu_room() is not None:
        return "cuda"
    if device == "cuda":
        raise UsageError("nvidia-smi finds no GPU here; omit --device or give --device cpu")
    return "cpu"


def gpu_room() -> Room | None:
    """The memory of the first GPU; None if there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - fixed words
        most, free = (int(number) << 20 for number in done.stdout.splitlines()[0].split(","))
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return Room(most, free)


def room_of(where: Where) -> Room | None:
    """The memory that a training may use there; None if the system does not say."""
    return memory_room() if where == "cpu" else gpu_room()


def remedies(setting: Setting, most: int) -> Iterator[Remedy]:
    """Changes with each of which the training fits: those that keep its results, then smaller groups and batches."""
    kept: tuple[Kept, ...] = ("convolutions", "segments", "units")
    if setting.kept == "all":
        yield from _first(
            [(f"--checkpoint-activations {stores}", replace(setting, kept=stores)) for stores in kept], most
        )
    counts = range(setting.processes - 1, 0, -1) if setting.where == "cpu" else (2, 4, 8, 16, 32, 64)
    fewer = [(f"--processes {n}", replace(setting, processes=n)) for n in counts if n <= setting.recipe.batch]
    yield from _first([(option, other) for option, other in fewer if other.processes != setting.processes], most)
    whole = min(setting.recipe.norm_group or setting.load.share, setting.load.share)
    if setting.scenes is None:
        groups = [whole >> k for k in range(1, whole.bit_length()) if whole >> k > 1]
        yield from _first([(f"--set norm_group={n}", _with_group(setting, n)) for n in groups], most)
    else:
        yield from _first(_with_fewer_regions(setting), most)
    for other, more in ((setting, ""), (replace(setting, kept="segments"), " --checkpoint-activations segments")):
        if batch := _largest_batch(other, most):
            smaller = _with_batch(other, batch)
            yield Remedy(option=_batch_option(setting.recipe, smaller.recipe) + more, bytes=smaller.needed)
            return


def _batch_option(before: Recipe, after: Recipe) -> str:
    """The words for a smaller batch, and for the fields that must not be larger than it."""
    fields = [
        f" --set {name}={getattr(after, name)}" for name in _WITHIN if getattr(after, name) != getattr(before, name)
    ]
    return f"--batch {after.batch}{''.join(fields)}"


def _first(settings: list[tuple[str, Setting]], most: int) -> Iterator[Remedy]:
    """The first of the settings that fits."""
    for option, setting in settings:
        if (needed := setting.needed) <= most:
            yield Remedy(option=option, bytes=needed)
            return


def _with_group(setting: Setting, group: int) -> Setting:
    return replace(setting, recipe=replace(setting.recipe, norm_group=group))


def _with_fewer_regions(setting: Setting) -> list[tuple[str, Setting]]:
    """Settings of a detector that trains on a half, a quarter … of the regions of each image."""
    task = setting.recipe.task
    if not isinstance(task, Detect):
        return []
    fewer: list[tuple[str, Setting]] = []
    count = task.regions.sampled // 2
    while count >= _FEWEST_REGIONS:
        own = replace(setting.recipe, task=replace(task, regions=replace(task.regions, sampled=count)))
        fewer.append((f"--set task.regions.sampled={count}", replace(setting, recipe=own)))
        count //= 2
    return fewer


def _with_batch(setting: Setting, batch: int) -> Setting:
    group = setting.recipe.norm_group
    recipe = replace(
        setting.recipe,
        batch=batch,
        norm_group=group and min(group, batch),
        repeats=min(setting.recipe.repeats, batch),
    )
    return replace(setting, recipe=recipe)


def _largest_batch(setting: Setting, most: int) -> int:
    """The largest smaller batch that fits, a multiple of 8 above 8; 0 if there is none."""
    low, high = 0, setting.recipe.batch
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _with_batch(setting, middle).needed <= most else (low, middle)
    batch = low if low <= 8 else low // 8 * 8
    return batch if batch >= setting.processes else 0


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """What a training lacks: memory or disk, in words, and whether it cannot fit or is only short at present."""

    words: str
    fits: bool
    remedies: tuple[Remedy, ...] = ()


def shortages(setting: Setting, out: Path, *, taken: int = 0) -> Iterator[Shortage]:
    """What a training lacks here; `taken` are the bytes that it has already."""
    room, needed = room_of(setting.where), setting.needed
    place = "this machine has" if setting.where == "cpu" else "the GPU has"
    if room is not None and needed > room.most:
        found = tuple(remedies(setting, room.most))
        advice = "; ".join(f"{remedy.option} needs {size_text(remedy.bytes)}" for remedy in found)
        yield Shortage(
            words=f"the training needs about {size_text(needed)} of memory, {place} {size_text(room.most)}; "
            + (advice or "no batch fits"),
            fits=False,
            remedies=found,
        )
    elif room is not None and needed - taken > room.free:
        yield Shortage(
            words=f"the training needs about {size_text(needed)} of memory, of which {size_text(room.free)} is free "
            "at present",
            fits=True,
        )
    free = disk_free(out)
    if free is not None and setting.disk > free:
        yield Shortage(
            words=f"checkpoints and results need {size_text(setting.disk)} of disk, {size_text(free)} is free in "
            f"{out}; free some, or give another folder with --out",
            fits=False,
        )
