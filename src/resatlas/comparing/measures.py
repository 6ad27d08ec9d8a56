"""What is compared: the test error, the training loss in evaluation mode, or the seconds to a validation error."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from resatlas.errors import FolderError, UsageError, unknown
from resatlas.recipes.detection import Classify
from resatlas.runs.record import Beginning, RunRecord
from resatlas.values.language import said

Metric = Literal["test_error", "train_loss", "time_to_error"]

_METRICS: tuple[Metric, ...] = ("test_error", "train_loss", "time_to_error")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric; `target_percent` is the validation error of time_to_error, None for other metrics.

    Raises: UsageError for time_to_error without a target, or another metric with one.
    """

    metric: Metric = "test_error"
    target_percent: float | None = None

    def __post_init__(self) -> None:
        if self.metric != "time_to_error":
            if self.target_percent is not None:
                raise UsageError(f"{self.metric} takes no target; only time_to_error does, as in time_to_error=5")
        elif self.target_percent is None:
            raise UsageError("time_to_error needs a validation error in percent, as in time_to_error=5")
        elif not 0 <= self.target_percent < 100:
            raise UsageError(f"the target error must be from 0 to below 100 percent; got {self.target_percent:g}")

    @property
    def noun(self) -> str:
        """The quantity in words."""
        match self.metric:
            case "test_error":
                return said("test error")
            case "train_loss":
                return said("training loss")
            case "time_to_error":
                return said("time to a validation error of {target:g} %", target=self.target_percent)
            case _:
                assert_never(self.metric)

    @property
    def digits(self) -> int:
        """Number of decimals with which a value is written."""
        return {"test_error": 2, "train_loss": 4, "time_to_error": 1}[self.metric]

    @property
    def unit(self) -> str:
        """The unit of a difference, with a space before it; empty if there is none."""
        return {"test_error": said(" points"), "train_loss": "", "time_to_error": " s"}[self.metric]

    @property
    def usual_difference(self) -> float:
        """The default of the difference for which the seeds needed are computed."""
        return {"test_error": 0.5, "train_loss": 0.02, "time_to_error": 1.0}[self.metric]

    def written(self, value: float, sign: str = "") -> str:
        """A value as text, without its unit; a `sign` of "+" also marks positive values."""
        return f"{value:{sign},.{self.digits}f}"


TEST_ERROR = Measure()


def measure_of(text: str) -> Measure:
    """The measure of a text such as test_error, train_loss or time_to_error=5.

    Raises: UsageError
    """
    name, _, target = text.partition("=")
    if name not in _METRICS:
        raise UsageError(unknown("metric", name, _METRICS))
    try:
        percent = float(target) if target else None
    except ValueError:
        raise UsageError(
            f'the target must be a number of percent, as in time_to_error=5; got "{target[:40]}"'
        ) from None
    return Measure(metric=name, target_percent=percent)


def value_of(run: RunRecord, measure: Measure) -> float:
    """The value of a finished run.

    Raises: FolderError if the run does not have it.
    """
    match measure.metric:
        case "test_error":
            return run.outcome.test.error_percent
        case "train_loss":
            if run.outcome.test.measure:
                raise FolderError(
                    f"{run.name} has learnt objects, and has no training loss in evaluation mode; use the metric "
                    "test_error"
                )
            if run.outcome.train_evaluated is None:
                raise FolderError(
                    f"{run.name} has no training loss in evaluation mode: its results.json has no train_evaluated, "
                    "which earlier versions did not write; train the run again, or use the metric test_error"
                )
            return run.outcome.train_evaluated.loss
        case "time_to_error":
            return _seconds_to(run, measure.target_percent or 0.0)
        case _:
            assert_never(measure.metric)


def value_at_chance(run: Beginning, measure: Measure) -> float:
    """The value of a run that diverged: that of a network at chance level.

    Raises: FolderError for a time, which such a run does not have.
    """
    classes = max(len(run.classes), 2)
    match measure.metric:
        case "test_error":
            return 100 * (1 - 1 / classes) if isinstance(run.experiment.recipe.task, Classify) else 100.0
        case "train_loss":
            return math.log(classes)
        case "time_to_error":
            raise FolderError(
                f"{run.folder.name} diverged, so it never reaches the target error; use the metric test_error"
            )
        case _:
            assert_never(measure.metric)


def _seconds_to(run: RunRecord, percent: float) -> float:
    """Seconds of training up to the end of the first epoch with at most this validation error."""
    seconds = 0.0
    for metrics, timing in zip(run.metrics, run.timing, strict=False):
        if metrics.validation_error_percent is None:
            raise FolderError(f"{run.name} has no validation images, so it has no time to a validation error")
        seconds += timing.seconds
        if metrics.validation_error_percent <= percent:
            return seconds
    raise FolderError(f"{run.name} never reaches a validation error of {percent:g} %; choose a higher target")
