"""Learning rates over a training, as functions of its progress and of its errors so far."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Literal, assert_never

from resatlas.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The state of a schedule: everything that its rate depends on besides the progress.

    `warm` is the step at which a warm-up ended, `drops` counts a plateau's falls, `best` is its lowest error, in
    percent, and `stale` counts the epochs since.
    """

    warm: int | None = None
    drops: int = 0
    best: float | None = None
    stale: int = 0


START = Pace()


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """A lower rate at first, until the error of the current epoch is low or a share of the training is over."""

    rate: Fraction
    share: Fraction
    below_percent: Fraction | None = None

    def __post_init__(self) -> None:
        _between("a warm-up's rate", self.rate, Fraction(0), Fraction(1000))
        _between("a warm-up's share of the training", self.share, Fraction(0), Fraction(1))


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """Learning rate over the progress p in [0, 1]: a linear rise to the peak, then half a cosine to zero.

    rate(p) = peak·p/rise for p < rise, else peak·(1 + cos(pi·(p - rise)/(1 - rise)))/2.
    """

    peak: float
    rise: Fraction = Fraction(1, 4)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise RecipeError(f"schedule.peak must be finite and above 0; got {self.peak}")
        if not 0 < self.rise < 1:
            raise RecipeError(f"a one-cycle schedule rises for a share between 0 and 1; got {self.rise}")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """peak·factor^k after k drops; a drop stands at a share of the training, so that it scales exactly.

    `momentum` says what a drop does to it.
    """

    peak: Fraction
    drops: tuple[Fraction, ...]
    factor: Fraction = Fraction(1, 10)
    momentum: Literal["kept", "reset"] = "kept"
    warm_up: WarmUp | None = None

    def __post_init__(self) -> None:
        _between("a schedule's peak", self.peak, Fraction(0), Fraction(1000))
        _between("the factor of a drop", self.factor, Fraction(0), Fraction(1))
        if not all(earlier < later for earlier, later in pairwise((Fraction(0), *self.drops, Fraction(1)))):
            drops = ", ".join(map(str, self.drops))
            raise RecipeError(f"drops are growing shares between 0 and 1 of the training; {drops} are not")


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """peak·factor^k after k drops, each when the error has not fallen for `patience` epochs in a row.

    The error is that of the validation images if there are any, else that of training; never of the test images.
    """

    peak: Fraction
    patience: int
    factor: Fraction = Fraction(1, 10)

    def __post_init__(self) -> None:
        _between("a schedule's peak", self.peak, Fraction(0), Fraction(1000))
        _between("the factor of a drop", self.factor, Fraction(0), Fraction(1))
        if self.patience < 1:
            raise RecipeError(f"a plateau lasts 1 epoch or more; got {self.patience}")


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """A line from `start` to the peak over the share `warm_up` of the training, then half a cosine to the floor.

    rate(p) = start + (peak - start)·p/warm_up for p < warm_up, else floor + (peak - floor)·(1 + cos(pi·q))/2, where
    q = (p - warm_up)/(1 - warm_up); or q = p, if the cosine counts from the start of the training: then the line ends a
    little above it. It moves with every step, or with every epoch: then p is the share of the finished epochs.
    """

    peak: Fraction
    warm_up: Fraction = Fraction(0)
    start: Fraction = Fraction(0)
    floor: Fraction = Fraction(0)
    counts_from: Literal["warm-up", "start"] = "warm-up"
    moves: Literal["steps", "epochs"] = "steps"

    def __post_init__(self) -> None:
        _between("a schedule's peak", self.peak, Fraction(0), Fraction(1000))
        if not 0 <= self.warm_up < 1:
            raise RecipeError(f"a warm-up lasts a share from 0 to below 1 of the training; got {self.warm_up}")
        for name in ("start", "floor"):
            if not 0 <= getattr(self, name) <= self.peak:
                rate, peak = float(getattr(self, name)), float(self.peak)
                raise RecipeError(f"schedule.{name} must be between 0 and the peak, {peak:g}; got {rate:g}")


Schedule = OneCycle | Steps | Plateau | Cosine


def rate(schedule: Schedule, progress: Fraction, pace: Pace = START) -> float:
    """The learning rate of the step at a progress from 0 (first step) to 1 (end)."""
    match schedule:
        case OneCycle():
            return _one_cycle(schedule, float(progress))
        case Cosine():
            return _cosine(schedule, progress)
        case Steps(warm_up=WarmUp() as warm_up) if _warming(schedule, progress, pace):
            return float(warm_up.rate)
        case Steps() | Plateau():
            return float(schedule.peak * schedule.factor ** fallen(schedule, progress, pace))
        case _:
            assert_never(schedule)


def fallen(schedule: Schedule, progress: Fraction, pace: Pace = START) -> int:
    """The number of drops before a progress."""
    match schedule:
        case OneCycle() | Cosine():
            return 0
        case Steps(drops=drops):
            return sum(drop <= progress for drop in drops)
        case Plateau():
            return pace.drops
        case _:
            assert_never(schedule)


def waits_for_errors(schedule: Schedule) -> bool:
    """Whether the rate depends on errors so far, not on the progress alone."""
    match schedule:
        case OneCycle() | Cosine():
            return False
        case Steps(warm_up=warm_up):
            return warm_up is not None and warm_up.below_percent is not None
        case Plateau():
            return True
        case _:
            assert_never(schedule)


def momentum_after_drop(schedule: Schedule) -> Literal["kept", "reset"]:
    """The effect of a drop on the momentum."""
    return schedule.momentum if isinstance(schedule, Steps) else "kept"


def _warming(schedule: Schedule, progress: Fraction, pace: Pace = START) -> bool:
    """Whether the warm-up is still running at a progress."""
    warm_up = schedule.warm_up if isinstance(schedule, Steps) else None
    return warm_up is not None and pace.warm is None and progress < warm_up.share


def after_step(schedule: Schedule, progress: Fraction, pace: Pace, *, step: int, error_percent: float) -> Pace:
    """The pace after a step: a warm-up ends once the error of the current epoch is low enough."""
    if isinstance(schedule, Steps) and schedule.warm_up and _warming(schedule, progress, pace):
        below = schedule.warm_up.below_percent
        if below is not None and error_percent < below:
            return replace(pace, warm=step)
    return pace


def after_epoch(schedule: Schedule, pace: Pace, *, error_percent: float) -> Pace:
    """The pace after an epoch: a plateau counts the epochs without a lower error, and falls."""
    if not isinstance(schedule, Plateau):
        return pace
    if pace.best is None or error_percent < pace.best:
        return replace(pace, best=error_percent, stale=0)
    if pace.stale + 1 < schedule.patience:
        return replace(pace, stale=pace.stale + 1)
    return replace(pace, drops=pace.drops + 1, stale=0)


def progress(schedule: Schedule, *, step: int, steps: int, epoch: int) -> Fraction:
    """The progress that determines the rate of a step; `epoch` is the number of steps of an epoch.

    It is the share of the training before the step; for a schedule that moves with epochs, before the step's epoch.
    """
    moves = schedule.moves if isinstance(schedule, Cosine) else "steps"
    return Fraction(step - step % epoch if moves == "epochs" else step, steps)


def turns(schedule: Schedule) -> Iterator[Fraction]:
    """The shares of the training at which its rate changes in any case: 0, the end of a warm-up, the drops."""
    yield Fraction(0)
    if isinstance(schedule, Steps):
        if schedule.warm_up:
            yield schedule.warm_up.share
        yield from schedule.drops
    if isinstance(schedule, Cosine) and schedule.warm_up:
        yield schedule.warm_up


def shares(*finished: int, of: int) -> tuple[Fraction, ...]:
    """Drops after so many finished epochs or iterations of a training."""
    return tuple(Fraction(count, of) for count in finished)


def _one_cycle(schedule: OneCycle, progress: float) -> float:
    rise = float(schedule.rise)
    if progress < rise:
        return schedule.peak * progress / rise
    return schedule.peak * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


def _cosine(schedule: Cosine, progress: Fraction) -> float:
    peak, start, floor = float(schedule.peak), float(schedule.start), float(schedule.floor)
    if progress < schedule.warm_up:
        return start + (peak - start) * float(progress / schedule.warm_up)
    passed = schedule.warm_up if schedule.counts_from == "warm-up" else Fraction(0)
    return floor + (peak - floor) * (1 + math.cos(math.pi * float((progress - passed) / (1 - passed)))) / 2


def _between(name: str, value: Fraction, least: Fraction, most: Fraction) -> None:
    if not least < value < most:
        raise RecipeError(f"{name} must be between {least} and {most}; got {value}")
