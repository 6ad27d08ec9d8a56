"""What is compared: the test error, the training loss in evaluation mode, or the seconds to a validation error."""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from resatlas.errors import FolderError, UsageError, unknown
from resatlas.runs.record import Beginning, RunRecord

Metric = Literal["test_error", "train_loss", "time_to_error"]

METRICS: tuple[Metric, ...] = ("test_error", "train_loss", "time_to_error")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric; `target_percent` is the validation error to which the time is taken.

    Raises: UsageError for a time without a target, or a target of another metric.
    """

    metric: Metric = "test_error"
    target_percent: float | None = None

    def __post_init__(self) -> None:
        if self.metric != "time_to_error":
            if self.target_percent is not None:
                raise UsageError(f"{self.metric} has no target; time_to_error has, as in time_to_error=5")
        elif self.target_percent is None:
            raise UsageError("time_to_error needs a validation error in percent, as in time_to_error=5")
        elif not 0 <= self.target_percent < 100:
            raise UsageError(f"an error lies between 0 and 100 percent; {self.target_percent:g} does not")

    @property
    def noun(self) -> str:
        """What is measured, in words."""
        match self.metric:
            case "test_error":
                return "test error"
            case "train_loss":
                return "training loss"
            case "time_to_error":
                return f"time to a validation error of {self.target_percent:g} %"
            case _:
                assert_never(self.metric)

    @property
    def digits(self) -> int:
        """Digits behind the point that a value is written with."""
        return {"test_error": 2, "train_loss": 4, "time_to_error": 1}[self.metric]

    @property
    def unit(self) -> str:
        """The unit of a difference, with a blank before it; nothing where there is none."""
        return {"test_error": " points", "train_loss": "", "time_to_error": " s"}[self.metric]

    @property
    def usual_difference(self) -> float:
        """The difference for which seeds are counted where no other is asked for."""
        return {"test_error": 0.5, "train_loss": 0.02, "time_to_error": 1.0}[self.metric]

    def written(self, value: float, sign: str = "") -> str:
        """A value without its unit."""
        return f"{value:{sign},.{self.digits}f}"


TEST_ERROR = Measure()


def measure_of(text: str) -> Measure:
    """The measure that a text means: test_error, train_loss or time_to_error=5.

    Raises: UsageError
    """
    name, _, target = text.partition("=")
    if name not in METRICS:
        raise UsageError(unknown("metric", name, METRICS))
    try:
        percent = float(target) if target else None
    except ValueError:
        raise UsageError(f'a target is a number of percent, as in time_to_error=5; "{target[:40]}" is not') from None
    return Measure(metric=name, target_percent=percent)


def value_of(run: RunRecord, measure: Measure) -> float:
    """The value of a finished run.

    Raises: FolderError if the run does not have it.
    """
    match measure.metric:
        case "test_error":
            return run.outcome.test.error_percent
        case "train_loss":
            if run.outcome.train_evaluated is None:
                raise FolderError(
                    f"{run.name} has no training loss in evaluation mode: results.json has no train_evaluated, which "
                    "earlier versions did not write; train the run again, or compare by test_error"
                )
            return run.outcome.train_evaluated.loss
        case "time_to_error":
            return _seconds_to(run, measure.target_percent or 0.0)
        case _:
            assert_never(measure.metric)


def value_of_guessing(run: Beginning, measure: Measure) -> float:
    """The value of a run that diverged: that of a network that guesses.

    Raises: FolderError for a time, which such a run has not.
    """
    classes = max(len(run.classes), 2)
    match measure.metric:
        case "test_error":
            return 100 * (1 - 1 / classes)
        case "train_loss":
            return math.log(classes)
        case "time_to_error":
            raise FolderError(f"{run.folder.name} diverged, so it never reaches the error; compare by test_error")
        case _:
            assert_never(measure.metric)


def _seconds_to(run: RunRecord, percent: float) -> float:
    """The seconds of training up to the end of the first epoch with such a validation error."""
    seconds = 0.0
    for metrics, timing in zip(run.metrics, run.timing, strict=False):
        if metrics.validation_error_percent is None:
            raise FolderError(f"{run.name} has no validation images, so no time to a validation error")
        seconds += timing.seconds
        if metrics.validation_error_percent <= percent:
            return seconds
    raise FolderError(f"{run.name} never reaches a validation error of {percent:g} %; name a higher one")
