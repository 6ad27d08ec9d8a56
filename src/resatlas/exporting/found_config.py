"""The config.json of a saved detector or segmenter: what it finds, around the config of its network. Needs no torch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

from resatlas.arch.expand import LARGEST_SIDE, MOST_CLASSES
from resatlas.errors import BlueprintError, quoted
from resatlas.exporting import config as configs
from resatlas.exporting.config import CONFIG, FINDS, SCHEMA, Config, read_as
from resatlas.exporting.found_description import Finds
from resatlas.recipes.detection import C4, DeepLab, Detect, Resized, Segment
from resatlas.runs.experiment import TrainedWeights
from resatlas.runs.record import Learnt
from resatlas.values.codec import decode, encode

_MOST_POOLED = 64
_LARGEST_RATIO = 1000
_MOST_LAYERS = 64
_MOST_ANCHORS = 64
_MOST_REGIONS = 20_000
_MOST_RATE = 4096


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Results on the images of one part, in percent by name, of all and of each class by its name.

    `error_percent` is 100 - AP, or 100 - mean IoU; a result is None where nothing is to be found.
    """

    images: int
    values: dict[str, float | None]
    classes: dict[str, dict[str, float | None]]

    def __post_init__(self) -> None:
        if self.images < 1:
            raise BlueprintError(f"results need at least 1 image; got {self.images}")
        for name, value in (*self.values.items(), *(item for own in self.classes.values() for item in own.items())):
            if value is not None and not (math.isfinite(value) and 0 <= value <= 100):
                raise BlueprintError(f"results are from 0 to 100 %; {name} is {value:g}")
        if self.values.get("error_percent") is None:
            raise BlueprintError("results need an error_percent")

    @property
    def error_percent(self) -> float:
        """100 - AP, or 100 - mean IoU."""
        error = self.values["error_percent"]
        assert error is not None  # noqa: S101 - checked above
        return error


@dataclass(frozen=True, kw_only=True)
class FoundTraining:
    """The run that trained the weights, as `Training` has it; `test` is None for the weights of the best epoch."""

    data: str
    note: str
    recipe: str
    departures: tuple[str, ...]
    epochs: int
    seed: int
    begun_from: TrainedWeights | None
    train: Learnt
    validation: Measures | None
    test: Measures | None


@dataclass(frozen=True, kw_only=True)
class FoundConfig:
    """A saved detector or segmenter without its weights.

    `network` is the config of the network inside, without a classifier; its sha256 is that of all weights.
    `class_names` are those of labels from 1 on, or of pixels from 0 on. `parameters` are those of the network and of
    its heads, `multiply_adds` those of `recipes.task_cost` for one image.
    """

    task: Detect | Segment
    class_names: tuple[str, ...]
    parameters: int
    multiply_adds: int
    training: FoundTraining | None
    network: Config

    def __post_init__(self) -> None:
        network = self.network
        if (network.classes, network.class_names, network.view, network.training) != (0, None, None, None):
            raise BlueprintError("the network of a detector or segmenter has no classes, view or training of its own")
        least = 2 if isinstance(self.task, Segment) else 1
        if not least <= len(self.class_names) <= MOST_CLASSES:
            raise BlueprintError(f"{least} to {MOST_CLASSES:,} names of classes; got {len(self.class_names):,}")
        for name, value, most in _bounded(self.task):
            if not (math.isfinite(value) and value <= most):
                raise BlueprintError(f"task: {name} is at most {most:,}; got {value:,}")


def to_json(config: FoundConfig) -> dict[str, Any]:
    """The config as JSON values."""
    bare = encode(replace(config, network=_bare(config.network)))
    return {"schema": SCHEMA, FINDS: kind_found(config.task), **bare, "network": configs.to_json(config.network)}


def from_json(data: object) -> FoundConfig:
    """The config for the output of `to_json`.

    Raises: UsageError if the data is not such a config of this schema.
    """
    table = configs.checked_table(data)
    network = configs.from_json(table.get("network"))
    rest = {key: value for key, value in table.items() if key not in ("schema", FINDS)}
    bare = decode(FoundConfig, {**rest, "network": encode(_bare(network))}, where="config")
    if table.get(FINDS) != kind_found(bare.task):
        raise BlueprintError(
            f"its task finds {kind_found(bare.task)}, but the config says {quoted(str(table.get(FINDS)))}"
        )
    return replace(bare, network=network)


def kind_found(task: Detect | Segment) -> Finds:
    """What a network of this task finds."""
    if isinstance(task, Segment):
        return "classes of pixels"
    return "boxes" if task.masks is None else "boxes and masks"


def read_found_config(folder: str | Path) -> FoundConfig:
    """The description of a saved detector or segmenter: its task, classes, network, training and results.

    Raises: FolderError if the folder is not a saved network; CheckpointError if its config.json is invalid.
    """
    return read_as(Path(folder), from_json)


def is_found(folder: str | Path) -> bool:
    """Whether this is the folder of a saved detector or segmenter.

    Raises: CheckpointError if its config.json cannot be read.
    """
    return (Path(folder) / CONFIG).is_file() and read_as(Path(folder), has_found)


def has_found(data: object) -> bool:
    """Whether this is the config of a detector or segmenter, right or wrong."""
    return isinstance(data, Mapping) and FINDS in data


def _bare(network: Config) -> Config:
    return replace(network, plan=replace(network.plan, stages=()))


def _bounded(task: Detect | Segment) -> Iterator[tuple[str, float, float]]:
    """Each number of a task that decides how much memory a test takes beside the weights, and its limit."""
    match task:
        case Segment(head=head):
            yield "stride", task.stride, LARGEST_SIDE
            yield from (("rates", rate, _MOST_RATE) for rate in (head.rates if isinstance(head, DeepLab) else ()))
            yield from (("weights", weight, math.inf) for weight in task.weights)
        case Detect(head=head):
            yield "pooled", head.pooled, _MOST_POOLED
            if isinstance(head, C4):
                yield "number of anchors", len(head.anchors), _MOST_ANCHORS
            yield "number of ratios", len(task.ratios), _MOST_ANCHORS
            yield from (("ratios", ratio, _LARGEST_RATIO) for ratio in task.ratios)
            if isinstance(task.sides, Resized):
                yield "longest", task.sides.longest, LARGEST_SIDE
            yield from (
                ("proposals", number, _MOST_REGIONS) for number in (*task.proposals.before, *task.proposals.after)
            )
            yield "detections.most", task.detections.most, _MOST_REGIONS
            if task.masks:
                yield "masks.pooled", task.masks.pooled, _MOST_POOLED
                yield "masks.layers", task.masks.layers, _MOST_LAYERS
        case _:
            assert_never(task)
