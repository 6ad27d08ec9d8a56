"""The config.json of a saved network, as data classes that check their values. Reading it needs no torch."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeVar

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

T = TypeVar("T")

SCHEMA = 1

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
NORMALISATION = "normalisation.safetensors"

FINDS = "finds"
"""The key that the config.json of a detector or segmenter has beside those of its own; see `found_config`."""

LARGEST = 10_000_000  # bytes of config.json
_MAX_CHANNELS = 1024
_MAX_LAYERS = 200_000
_MAX_ENDS = 64  # stems or heads: one for each stream

_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")

Numbers = tuple[tuple[tuple[float, ...], ...], ...]
"""Channels of rows of numbers; [[[0.5]], [[0.4]], [[0.3]]] is one number per channel."""


@dataclass(frozen=True, kw_only=True)
class Affine:
    """x -> (x - mean)/std for pixels x from 0 to 1, with one number per channel or one per pixel."""

    mean: Numbers
    std: Numbers

    def __post_init__(self) -> None:
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            values = tuple(chain.from_iterable(chain.from_iterable(numbers)))
            shapes = {tuple(map(len, channel)) for channel in numbers}
            if len(shapes) != 1 or len(set(*shapes)) != 1 or not values or not all(map(math.isfinite, values)):
                raise BlueprintError(f"{name} needs the same number of rows and of finite numbers for every channel")
            if name == "std" and min(values) <= 0:
                raise BlueprintError(f"a std must be above 0; got {min(values):g}")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A normalisation with too many numbers for JSON, such as a whitening, stored in normalisation.safetensors."""

    sha256: str

    def __post_init__(self) -> None:
        check_sha256(self.sha256)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Results for the images of one part: mean cross-entropy, top-1 error, and number of images."""

    loss: float
    error_percent: float
    images: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.loss) and 0 <= self.error_percent <= 100 and self.images >= 1):
            raise BlueprintError(
                "results need a finite loss, an error from 0 to 100 % and at least 1 image; got "
                f"{self.loss:g}, {self.error_percent:g} and {self.images}"
            )

    @property
    def wrong(self) -> int:
        """The number of misclassified images."""
        return round(self.error_percent * self.images / 100)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The run that trained the weights; `begun_from` is its file of initial weights, if they were not random.

    `test` is None for the weights of the best epoch, since a run tests those of its last. `note` is a remark on the
    data set; `departures` are differences from the recipe.
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
    test: Figures | None


@dataclass(frozen=True, kw_only=True)
class Config:
    """A saved network without its weights.

    `design` and `family` are the origin of the plan, if known. Only the plan is built, so that a saved network still
    loads after names have changed. `view` and `normalisation` are the preparation of images, if known. `licence` is
    that of the weights, an identifier of SPDX such as Apache-2.0, if its author states one.
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
    licence: str | None = None
    plan: Plan

    def __post_init__(self) -> None:
        check_sha256(self.weights_sha256)
        if self.licence is not None and not _LICENCE.fullmatch(self.licence):
            raise BlueprintError(
                f"a licence is an identifier such as Apache-2.0 or CC-BY-4.0; got {quoted(self.licence)}"
            )
        if not (
            1 <= self.image.channels <= _MAX_CHANNELS and all(1 <= side <= LARGEST_SIDE for side in self.image[1:])
        ):
            raise BlueprintError(f"an image has 1 to {_MAX_CHANNELS} channels and up to {LARGEST_SIDE:,} pixels a side")
        if not 0 <= self.classes <= MOST_CLASSES:
            raise BlueprintError(f"a network has 0 to {MOST_CLASSES:,} classes; {self.classes:,} is outside")
        if (self.image, self.classes) != (self.plan.image, self.plan.classes):
            raise BlueprintError(
                f"its plan is for {self.plan.classes:,} classes and images {self.plan.image}, but the config has "
                f"{self.classes:,} classes and images {self.image}"
            )
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise BlueprintError(f"{self.classes:,} classes need as many names; got {len(self.class_names):,}")
        _check_bounds(self.plan)


def to_json(config: Config) -> dict[str, Any]:
    """The config as JSON values."""
    bare = replace(config, plan=replace(config.plan, stages=()))
    return {"schema": SCHEMA, **encode(bare), "plan": plans.to_json(config.plan)}


def from_json(data: object) -> Config:
    """The config for the output of `to_json`.

    Raises: UsageError if the data is not a config of this schema.
    """
    table = checked_table(data)
    if FINDS in table:
        raise BlueprintError(f"this network finds {quoted(str(table[FINDS]))}; resatlas.read_found_config reads it")
    _check_units(table.get("plan"))
    plan = plans.from_json(table.get("plan"))
    rest = {key: value for key, value in table.items() if key not in ("schema", "plan")}
    bare = decode(Config, {**rest, "plan": encode(replace(plan, stages=()))}, where="config")
    return replace(bare, plan=plan)


def checked_table(data: object) -> Mapping[str, Any]:
    """The table of a saved network.

    Raises: BlueprintError if the data is not a table of this schema.
    """
    table: Mapping[str, Any] = (
        data if isinstance(data, dict) else {"schema": f"not a table but a {type(data).__name__}"}
    )
    if table.get("schema") != SCHEMA:
        raise BlueprintError(f"a saved network has schema {SCHEMA}; this has {quoted(str(table.get('schema')))}")
    return table


def read_config(folder: str | Path) -> Config:
    """The description of a saved network: its classes, images, plan, training and results.

    Raises: FolderError if the folder is not a saved network; CheckpointError if its config.json is invalid.
    """
    return read_as(Path(folder), from_json)


def read_as(folder: Path, parse: Callable[[object], T]) -> T:
    """What a parser makes of the config.json of a saved network.

    Raises: as `read_config`.
    """
    file = file_in(folder, CONFIG)
    try:
        return parse(_json(file))
    except UsageError as error:
        raise CheckpointError(f"{file}: {error}") from None
    except (ValueError, OverflowError, RecursionError):  # of parts that do not match, and of numbers that are too large
        raise CheckpointError(f"{file} does not describe a network") from None


def file_in(folder: Path, name: str) -> Path:
    """The regular file of that name in the folder of a saved network.

    Raises: FolderError if there is none, or if it is a link out of the folder.
    """
    file = folder / name
    if not file.is_file():
        is_run = (folder / "experiment.json").is_file()
        hint = "; it is a run: save it with resatlas.save_pretrained" if is_run else ""
        reason = f"it has no file {name}" if folder.exists() else "it does not exist"
        raise FolderError(f"{folder} is not a saved network: {reason}{hint}")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise FolderError(f"{file} is a link to a place outside the folder; copy the file into the folder")
    return file


def _check_bounds(plan: Plan) -> None:
    """Refuse a plan that is too large, before anything is built from it."""
    if not (1 <= plan.stems <= _MAX_ENDS and 1 <= plan.heads <= _MAX_ENDS):
        raise BlueprintError(f"a plan has 1 to {_MAX_ENDS} stems and heads; got {plan.stems:,} and {plan.heads:,}")
    if next(islice(layers(plan), _MAX_LAYERS, None), None):
        raise BlueprintError(f"a saved network has at most {_MAX_LAYERS:,} layers; this one has more")


def _check_units(plan: object) -> None:
    """Refuse a plan with too many units, before runs of equal units are expanded."""
    stages = plan.get("stages") if isinstance(plan, dict) else None
    runs = [run for stage in stages if isinstance(stage, list) for run in stage] if isinstance(stages, list) else []
    times = [run.get("times") for run in runs if isinstance(run, dict)]
    if sum(number for number in times if isinstance(number, int)) > MOST_UNITS:
        raise BlueprintError(f"a plan has at most {MOST_UNITS:,} units; this one has more")


def _json(file: Path) -> object:
    """The value of a JSON file of limited size, without repeated keys.

    Raises: CheckpointError, BlueprintError
    """
    try:
        return json.loads(text(file, most=LARGEST), object_pairs_hook=_unique)
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{file}: not valid JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON table without repeated keys."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise BlueprintError(f"key {quoted(repeated)} is given twice")
    return table
