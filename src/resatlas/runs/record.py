"""The contents of a run's files, as frozen values that check themselves."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from resatlas.arch import plan as plans
from resatlas.arch.plan import Plan
from resatlas.errors import BlueprintError, FolderError, UsageError
from resatlas.recipes.detection import Classify
from resatlas.recipes.task_text import noun
from resatlas.runs.departures import Departures
from resatlas.runs.experiment import Experiment
from resatlas.runs.names import RESULTS, checkpoint_name
from resatlas.runs.seal import Sealed

Status = Literal["running", "stopped", "failed", "finished"]

Keep = Literal["last", "best,last"]
"""The checkpoints that a run keeps: its newest ones, or also that of its best epoch; chosen when it begins."""

Epoch = Literal["last", "best"]
"""The epoch whose weights are used. Results are those of the last; the best has the least validation error."""

LABELS = ""
"""The measure of classification, which files do not name."""

Images = str | tuple[tuple[str, str], ...]
"""Digests of the files that a run learns from: one of all, or one for each part by its name; empty without files."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The contents of experiment.json: the experiment, its data and the plan of its network.

    `digest` is what its checkpoints know it by: that of its experiment as it was written down. `departures` are the
    differences from the recipe, `note` is the caveat of the data set.
    """

    folder: Path
    experiment: Experiment
    digest: str
    plan: Plan = field(repr=False)
    network: str
    classes: tuple[str, ...]
    images: Images
    note: str
    departures: tuple[str, ...]
    keep: Keep = "last"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The measures on one part: mean cross-entropy, error in percent, number of images.

    The error is the share of images with another label, or what `measure` says of objects, which have no loss here.
    """

    error_percent: float
    images: int
    loss: float | None = None
    measure: str = LABELS

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.error_percent > 100:
            raise BlueprintError(f"error_percent must be between 0 and 100; got {self.error_percent:g}")
        if self.images < 1:
            raise BlueprintError(f"images must be at least 1; got {self.images}")


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """The measures on training images; the error is missing where objects are learnt, which have none there."""

    loss: float
    images: int
    error_percent: float | None = None
    skipped_steps: int | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.error_percent is not None and self.error_percent > 100:
            raise BlueprintError(f"error_percent must be between 0 and 100; got {self.error_percent:g}")
        if self.images < 1:
            raise BlueprintError(f"images must be at least 1; got {self.images}")


@dataclass(frozen=True, kw_only=True)
class Best:
    """The epoch of least validation error, the earliest of several, and the name of its checkpoint."""

    epoch: int
    checkpoint: str
    validation_error_percent: float

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The contents of results.json of a finished run.

    `train` are the means over the last epoch's batches, `train_evaluated` the measures of the finished network on
    training images without augmentation; None where an earlier version did not write them. `best` is the best epoch of
    a run that keeps its checkpoint.
    """

    design: str
    family: str
    depth: int
    data: str
    recipe: str
    seed: int
    epochs: int
    parameters: int
    multiply_adds: int
    mean_path_length: float
    seconds: float
    images_per_second: float
    train: Learnt
    test: Figures
    validation: Figures | None = None
    train_evaluated: Learnt | None = None
    weights: str | None = None
    best: Best | None = None
    departures: Departures = Departures()  # noqa: RUF009 - a frozen value

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """A row of metrics.jsonl: the measures of an epoch, without times, so that a resume reproduces it."""

    epoch: int
    step: int
    train_loss: float
    train_error_percent: float | None = None
    gradient_norm: float | None = None
    largest_gradient_norm: float | None = None
    learning_rate: float | None = None
    validation_loss: float | None = None
    validation_error_percent: float | None = None
    skipped_steps: int | None = None
    substituted_images: int | None = None
    overflows: int | None = None
    loss_scale: float | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)


def best_of(rows: Iterable[EpochRow]) -> Best | None:
    """The best of some epochs; None if there are no validation images, or no epochs."""
    best: Best | None = None
    for row in rows:
        error = row.validation_error_percent
        if error is not None and (best is None or error < best.validation_error_percent):
            best = Best(epoch=row.epoch, checkpoint=checkpoint_name(row.step), validation_error_percent=error)
    return best


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """A row of timing.jsonl: how long an epoch took, and for how much of it, at least, the training was paused."""

    epoch: int
    images: int
    seconds: float
    images_per_second: float
    paused_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a run, as env.json has it: its attempt, the steps done before, its time and its machine."""

    attempt: int
    step: int
    since: str
    host: str
    processor: str
    cores: int | None
    threads: str
    packages: dict[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The contents of env.json. `entries` are all values of its first start but the command, as text, in order.

    `starts` are all starts; runs of earlier versions have none.
    """

    processor: str
    cores: str
    threads: str
    packages: tuple[tuple[str, str], ...]
    command: tuple[str, ...]
    entries: tuple[tuple[str, str], ...]
    starts: tuple[Start, ...] = ()

    def version(self, package: str) -> str:
        """The version of a package, empty if unknown."""
        return dict(self.packages).get(package, "")


@dataclass(frozen=True, kw_only=True)
class StatusRecord:
    """The contents of status.json: the status, the process that wrote it, the class of the error that ended the run."""

    status: Status
    pid: int | None = None
    epoch: int | None = None
    error: str = ""
    reason: str = ""


class Guess(NamedTuple):
    """The prediction for a test image: its id, its class, the predicted class and its probability."""

    image: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """A run, read once. `results` are None before its end; `predictions` are None without a file.

    `written` is results.json unchanged, for output; `seal` is the content of SEAL.json, None without one.
    """

    beginning: Beginning
    environment: Environment | None
    status: StatusRecord | None
    metrics: tuple[EpochRow, ...]
    timing: tuple[TimingRow, ...]
    results: Results | None
    written: Mapping[str, Any]
    predictions: tuple[Guess, ...] | None
    seal: Sealed | None

    @property
    def folder(self) -> Path:
        """The path of the folder."""
        return self.beginning.folder

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.folder / "checkpoints"

    @property
    def experiment(self) -> Experiment:
        """Its experiment."""
        return self.beginning.experiment

    @property
    def digest(self) -> str:
        """The digest of its experiment, which its checkpoints contain."""
        return self.beginning.digest

    @property
    def plan(self) -> Plan:
        """The plan of its network, for its data."""
        return self.beginning.plan

    @property
    def network(self) -> str:
        """The identity of its network: equal for two runs only if their plans are equal but for the first weights."""
        return self.beginning.network

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, in the order of the outputs."""
        return self.beginning.classes

    @property
    def images(self) -> Images:
        """Digests of the files of its data; empty if its data have no files."""
        return self.beginning.images

    @property
    def finished(self) -> bool:
        """Whether it has results."""
        return self.results is not None

    @property
    def outcome(self) -> Results:
        """The results of a finished run.

        Raises: FolderError if it has none.
        """
        if self.results is None:
            raise FolderError(f"{self.folder} is not finished: it has no {RESULTS}")
        return self.results


def check_labels(run: RunRecord) -> None:
    """Refuse a run that has not learnt labels.

    Raises: UsageError
    """
    task = run.experiment.recipe.task
    if not isinstance(task, Classify):
        raise UsageError(
            f"{run.folder} finds {noun(task)}, not one label per image; resatlas evaluate, predict and report take it"
        )


def identity(plan: Plan) -> str:
    """A digest that two plans share only if they are equal; how their first weights are drawn is the recipe's."""
    table = {key: value for key, value in plans.to_json(plan).items() if key != "initial"}
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _check_numbers(row: object) -> None:
    """Refuse a number that is not finite or less than 0.

    Raises: BlueprintError with its key.
    """
    for own in fields(row):  # type: ignore[arg-type]
        value = getattr(row, own.name)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            raise BlueprintError(f"{own.name} is a finite number from 0; got {value:g}")
