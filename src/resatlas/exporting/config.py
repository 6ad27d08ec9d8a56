"""What config.json of a saved network says, as values that check themselves. Reading it needs no torch."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from resatlas.arch import plan as plans
from resatlas.arch.blueprint import MOST_UNITS
from resatlas.arch.expand import LARGEST_SIDE, MOST_CLASSES
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan, layers
from resatlas.errors import BlueprintError, CheckpointError, FolderError, UsageError, quoted
from resatlas.exporting.seals import check_sha256
from resatlas.recipes.images import Centre
from resatlas.runs.experiment import TrainedWeights
from resatlas.values.codec import decode, encode
from resatlas.values.reading import text

SCHEMA = 1

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
NORMALISATION = "normalisation.safetensors"

LARGEST = 10_000_000  # bytes of config.json
MOST_CHANNELS = 1024
MOST_LAYERS = 200_000
MOST_ENDS = 64  # stems or heads: one for each stream

Numbers = tuple[tuple[tuple[float, ...], ...], ...]
"""Channels of rows of numbers; one number a channel is [[[0.5]], [[0.4]], [[0.3]]]."""


@dataclass(frozen=True, kw_only=True)
class Affine:
    """x -> (x - mean)/std, for pixels x from 0 to 1; both are a number a channel, or a number a pixel."""

    mean: Numbers
    std: Numbers

    def __post_init__(self) -> None:
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            values = tuple(chain.from_iterable(chain.from_iterable(numbers)))
            shapes = {tuple(map(len, channel)) for channel in numbers}
            if len(shapes) != 1 or len(set(*shapes)) != 1 or not values or not all(map(math.isfinite, values)):
                raise BlueprintError(f"{name} has the same rows of finite numbers for every channel; this has not")
            if name == "std" and min(values) <= 0:
                raise BlueprintError(f"a std lies above 0; {min(values):g} does not")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What has too many numbers for JSON, such as a whitening: normalisation.safetensors holds it."""

    sha256: str

    def __post_init__(self) -> None:
        check_sha256(self.sha256)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The answers to the images of one part: mean cross-entropy, how many are wrong, of how many."""

    loss: float
    error_percent: float
    images: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.loss) and 0 <= self.error_percent <= 100 and self.images >= 1):
            raise BlueprintError(
                f"figures are a loss, an error from 0 to 100 % and a number of images; {self.loss:g}, "
                f"{self.error_percent:g} and {self.images} are not"
            )

    @property
    def wrong(self) -> int:
        """How many answers are wrong."""
        return round(self.error_percent * self.images / 100)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The one run that gave the weights; `begun_from` are other weights, if it did not start at random.

    `note` is what the data set says of its figures, `departures` is what was done otherwise than the recipe says.
    """

    data: str
    note: str
    recipe: str
    departures: tuple[str, ...]
    epochs: int
    seed: int
    begun_from: TrainedWeights | None
    train: Figures
    validation: Figures | None
    test: Figures


@dataclass(frozen=True, kw_only=True)
class Config:
    """A saved network but for its weights.

    `design` and `family` say where the plan comes from, if that is known; the plan alone is built, so that a saved
    network outlives a change of names. `view` and `normalisation` are what an image goes through, if that is known.
    """

    library: str
    design: str | None
    family: str | None
    image: Shape
    classes: int
    class_names: tuple[str, ...] | None
    parameters: int
    multiply_adds: int
    weights_sha256: str
    layout: Literal["channels-last", "contiguous"]
    view: Centre | None
    normalisation: Affine | Stored | None
    training: Training | None
    plan: Plan

    def __post_init__(self) -> None:
        check_sha256(self.weights_sha256)
        if not (
            1 <= self.image.channels <= MOST_CHANNELS and all(1 <= side <= LARGEST_SIDE for side in self.image[1:])
        ):
            raise BlueprintError(f"an image is 1-{MOST_CHANNELS} channels of up to {LARGEST_SIDE:,} pixels a side")
        if not 0 <= self.classes <= MOST_CLASSES:
            raise BlueprintError(f"a network has 0 to {MOST_CLASSES:,} classes; {self.classes:,} is outside")
        if (self.image, self.classes) != (self.plan.image, self.plan.classes):
            raise BlueprintError(
                f"its plan is for {self.plan.classes:,} classes of images {self.plan.image}, "
                f"and it says {self.classes:,} of {self.image}"
            )
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise BlueprintError(f"{self.classes:,} classes have as many names; here are {len(self.class_names):,}")
        _check_bounds(self.plan)


def to_json(config: Config) -> dict[str, Any]:
    """The config as JSON values."""
    bare = replace(config, plan=replace(config.plan, stages=()))
    return {"schema": SCHEMA, **encode(bare), "plan": plans.to_json(config.plan)}


def from_json(data: object) -> Config:
    """The config that `to_json` wrote.

    Raises: UsageError if the data are not those of a config of this schema.
    """
    table: Mapping[str, Any] = data if isinstance(data, dict) else {"schema": f"no table but a {type(data).__name__}"}
    if table.get("schema") != SCHEMA:
        raise BlueprintError(f"a saved network has schema {SCHEMA}; this has {quoted(str(table.get('schema')))}")
    _check_units(table.get("plan"))
    plan = plans.from_json(table.get("plan"))
    rest = {key: value for key, value in table.items() if key not in ("schema", "plan")}
    bare = decode(Config, {**rest, "plan": encode(replace(plan, stages=()))}, where="config")
    return replace(bare, plan=plan)


def read_config(folder: str | Path) -> Config:
    """What is known of a saved network but for its weights: its classes, images, plan, training and figures.

    Raises: FolderError if the folder is no saved network; CheckpointError if its config.json does not read as one.
    """
    file = file_in(Path(folder), CONFIG)
    try:
        return from_json(_json(file))
    except UsageError as error:
        raise CheckpointError(f"{file}: {error}") from None
    except (ValueError, OverflowError, RecursionError):  # of parts that do not fit, and of numbers that nothing has
        raise CheckpointError(f"{file} does not describe a network") from None


def file_in(folder: Path, name: str) -> Path:
    """The regular file of that name in the folder of a saved network.

    Raises: FolderError if there is none, or if it is a link out of the folder.
    """
    file = folder / name
    if not file.is_file():
        run = (
            " but a run, which resatlas.save_pretrained saves as one" if (folder / "experiment.json").is_file() else ""
        )
        reason = f"it has no file {name}" if folder.exists() else "it does not exist"
        raise FolderError(f"{folder} is no saved network{run}: {reason}")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise FolderError(f"{file} is a link out of its folder; copy the file itself there")
    return file


def _check_bounds(plan: Plan) -> None:
    """Refuse a plan that is too large for any use, before anything is built from it."""
    if not (1 <= plan.stems <= MOST_ENDS and 1 <= plan.heads <= MOST_ENDS):
        raise BlueprintError(f"a plan has 1 to {MOST_ENDS} stems and heads; {plan.stems:,} and {plan.heads:,} are not")
    if next(islice(layers(plan), MOST_LAYERS, None), None):
        raise BlueprintError(f"a saved network has at most {MOST_LAYERS:,} layers; this one has more")


def _check_units(plan: object) -> None:
    """The same for the units of a plan, before they are multiplied by their number."""
    stages = plan.get("stages") if isinstance(plan, dict) else None
    runs = [run for stage in stages if isinstance(stage, list) for run in stage] if isinstance(stages, list) else []
    times = [run.get("times") for run in runs if isinstance(run, dict)]
    if sum(number for number in times if isinstance(number, int)) > MOST_UNITS:
        raise BlueprintError(f"a plan has at most {MOST_UNITS:,} units; this one has more")


def _json(file: Path) -> object:
    """The value of a JSON file of bounded size, in which no key stands twice in a table.

    Raises: CheckpointError, BlueprintError
    """
    try:
        return json.loads(text(file, most=LARGEST), object_pairs_hook=_unique)
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{file}: not valid JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON in which no key stands twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BlueprintError(f"key {quoted(twice)} is given twice")
    return table
