"""The growth of step time, first-step time and memory of a training step over a knob, compared with the cost model.

It tells a user who scales up a network, before training the large one, for which knobs time and memory grow on this
machine as `describe` counts them, and for which they grow less.

Each point is trained in its own process, which first trains a tiny network, so that start-up time and memory of the
libraries do not count.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import NamedTuple

from scipy import stats

from resatlas.analysis.probes import Fact
from resatlas.arch.cost import cost
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.crew import FORKED, PRELOADED
from resatlas.bench.rows import Measured
from resatlas.bench.stopwatch import spread
from resatlas.bench.tasks import Ours, Peer, context_of, step_of
from resatlas.errors import ProcessLost, UsageError
from resatlas.recipes.recipe import Precision
from resatlas.training.distributed import ALONE
from resatlas.training.loop import CPU
from resatlas.training.precision import automatic_precision
from resatlas.values.room import SETTLING, peak_memory, settled_memory
from resatlas.values.table import of_unit, table
from resatlas.values.workers import Lost, end, exit_cause, messages, start


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points along a knob: a DESIGN with {} instead of the value; without {} the batch is the knob."""

    knob: str
    design: str
    values: tuple[int, ...]
    batch: int = 8


SERIES = (
    Series(knob="depth", design="resnet:depth={}", values=(20, 56, 110, 302, 602, 1202), batch=4),
    Series(knob="width", design="wide-resnet:depth=16,widen={}", values=(1, 2, 3, 4, 6, 8)),
    Series(knob="alpha", design="pyramidnet:depth=56,alpha={}", values=(24, 48, 96, 192, 270)),
    Series(knob="streams", design="dmrnet:depth=20,streams={}", values=(1, 2, 3, 4, 6, 8)),
    Series(knob="cardinality", design="resnext:depth=29,cardinality={},width=4", values=(4, 8, 16, 24, 32)),
    Series(knob="batch", design="resnet-20", values=(8, 16, 32, 64, 128, 256)),
)

_TINY = "resnet:depth=8,base=4"

_ROUNDS = 7
_FEWEST_ROUNDS = 3
_MOST_SECONDS = 5.0
"""Time limit of the steps of a point, if their number is not given; `_FEWEST_ROUNDS` take place in any case."""

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row: medians over steps with quartiles low and high; memory is the process's peak minus its memory before."""

    knob: str
    design: str
    value: int
    batch: int = of_unit("images")
    step_seconds: float = of_unit("s")
    step_seconds_low: float = of_unit("s")
    step_seconds_high: float = of_unit("s")
    first_step_seconds: float = of_unit("s")
    peak_memory_bytes: int = of_unit("bytes")
    multiply_adds: int = of_unit("1")
    activations: int = of_unit("1")
    parameters: int = of_unit("1")
    rounds: int = of_unit("steps")

    @property
    def products(self) -> int:
        """Multiply-adds of a batch."""
        return self.multiply_adds * self.batch

    @property
    def values(self) -> int:
        """The activations that the backward pass reads, and three values per parameter: itself, gradient, momentum."""
        return self.activations * self.batch + 3 * self.parameters


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """b of measured = a·value^b with its interval, and b of the cost model over the same points."""

    knob: str
    measured: str
    exponent: float = of_unit("1")
    low: float | None = of_unit("1")
    high: float | None = of_unit("1")
    model: str
    model_exponent: float = of_unit("1")
    points: int = of_unit("points")


_MODELS: Mapping[str, str] = {
    "step_seconds": "products",
    "first_step_seconds": "products",
    "peak_memory_bytes": "values",
}
"""Measured quantities, and the corresponding quantities of the cost model."""


class Timed(NamedTuple):
    """The result of a process: seconds of the first step and of the others, bytes that they needed, and of all."""

    first: float
    others: tuple[float, ...]
    memory: int
    peak: int


def measure(options: Options, on_advance: Advance) -> Measured:
    """All points of all series, one process after another, and the exponents.

    Raises: UsageError, DesignError before anything is measured; ProcessLost.
    """
    if not SETTLING.exists():
        raise UsageError(f"growth needs Linux: it reads memory from {SETTLING.parent}")
    precision, reason = automatic_precision(CPU)
    FORKED.set_forkserver_preload(PRELOADED)
    planned = [(series, value) for series in SERIES for value in series.values]
    for series, value in planned:
        contest.plan_of(series.design.format(value))
    points = []
    for k, (series, value) in enumerate(planned):
        batch = _batch(series, value, options)
        on_advance("points", k, len(planned))
        points.append(_point(series, value, batch, precision, options.rounds))
    on_advance("points", len(planned), len(planned))
    return Measured(
        question="growth",
        title=f"How a training step grows, in {precision}",
        rows=table("Points", Point, points),
        further=(table("Exponents over a knob", Exponent, list(exponents(points))),),
        facts=(
            Fact(name="threads, of one process", unit="", value=contest.threads()),
            Fact(name="precision", unit="", value=f"{precision}: {reason}"),
        ),
        notes=(
            "Each point has its own process, which trains a tiny network first. The first step includes the set-up of "
            "libraries for new shapes. Peak memory is the largest resident memory minus that before the network was "
            "built. Multiply-adds are those of one image, forward; activations and parameters are the cost model's.",
            f"An exponent b is fitted to a·value^b by least squares over the logarithms, with its {_CONFIDENCE:.0%} "
            "interval by Student's t. The exponent of the model is fitted in the same way to products = multiply-adds "
            "x batch, or to values = activations x batch + 3 x parameters. For a sum of a constant and a power, b is "
            "below the power.",
        ),
    )


def _batch(series: Series, value: int, options: Options) -> int:
    return value if series.knob == "batch" else options.batch or series.batch


def _point(series: Series, value: int, batch: int, precision: Precision, rounds: int | None) -> Point:
    design = series.design.format(value)
    timed = time_in_own_process(Ours(designs=(design,), batch=batch, norm_group=None, precision=precision), rounds)
    price, (low, median, high) = cost(contest.plan_of(design)), spread(timed.others)
    return Point(
        knob=series.knob,
        design=design,
        value=value,
        batch=batch,
        step_seconds=median,
        step_seconds_low=low,
        step_seconds_high=high,
        first_step_seconds=timed.first,
        peak_memory_bytes=timed.memory,
        multiply_adds=price.multiply_adds,
        activations=price.activations,
        parameters=price.parameters,
        rounds=len(timed.others),
    )


def exponents(points: Sequence[Point]) -> Iterator[Exponent]:
    """The exponent of each measured quantity over each knob, and that of the model."""
    for knob in dict.fromkeys(point.knob for point in points):
        selected = [point for point in points if point.knob == knob]
        values = [point.value for point in selected]
        for measured, model in _MODELS.items():
            exponent, half = fitted(values, [getattr(point, measured) for point in selected])
            counted, _ = fitted(values, [getattr(point, model) for point in selected])
            yield Exponent(
                knob=knob,
                measured=measured,
                exponent=exponent,
                low=None if half is None else exponent - half,
                high=None if half is None else exponent + half,
                model=model,
                model_exponent=counted,
                points=len(selected),
            )


def fitted(x: Sequence[float], y: Sequence[float]) -> tuple[float, float | None]:
    """B of y = a·x^b by least squares over logarithms, and half the width of its interval; None for two points."""
    line = stats.linregress([math.log(value) for value in x], [math.log(value) for value in y])
    if len(x) < 3:
        return float(line.slope), None
    return float(line.slope), float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(x) - 2) * line.stderr)


def time_in_own_process(
    task: Ours | Peer,
    rounds: int | None,
    *,
    context: SpawnContext | ForkServerContext = FORKED,
    target: Callable[[Connection, Ours | Peer, int, int | None], None] | None = None,
) -> Timed:
    """The times and memory of a task's steps in its own process, which calls `target`, by default `train`.

    Raises: ProcessLost.
    """
    worker = start(context, target or train, task, contest.threads(), rounds)
    try:
        [(_, answer)] = messages([worker])
        if isinstance(answer, Lost):
            raise ProcessLost(
                f"the process that trained {task} was ended by {exit_cause([worker])}; "
                "a smaller --batch needs less memory"
            )
        return answer
    finally:
        end([worker])


def train(pipe: Connection, task: Ours | Peer, threads: int, rounds: int | None) -> None:
    """Take the steps of a task, and send their times and the memory that they needed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that waits for the answer
    import torch

    torch.set_num_threads(threads)
    tiny = Ours(designs=(_TINY,), batch=task.batch, norm_group=None, precision=task.precision)
    with context_of(tiny):
        step_of(tiny, ALONE)()
    before = settled_memory()
    seconds: list[float] = []
    with context_of(task):
        step = step_of(task, ALONE)
        while not _enough(seconds[1:], rounds):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
            if pipe.poll():  # nothing is ever sent to this process: the other end is closed
                return
    peak = peak_memory()
    pipe.send(Timed(first=seconds[0], others=tuple(seconds[1:]), memory=max(peak - before, 1), peak=peak))
    pipe.close()


def _enough(seconds: Sequence[float], rounds: int | None) -> bool:
    if rounds:
        return len(seconds) >= rounds
    return len(seconds) >= _ROUNDS or (len(seconds) >= _FEWEST_ROUNDS and sum(seconds) > _MOST_SECONDS)
