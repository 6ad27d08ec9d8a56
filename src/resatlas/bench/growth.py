"""How a training step grows: its time, the first step's and the memory over a knob, beside what the cost model says.

For a user who scales a network up: by which knobs time and memory grow on this machine as `describe` counts them, and
by which they grow less, before the large network is trained.

Each point is trained in a process of its own, which first trains a tiny network, so that neither the libraries' start
nor their memory counts.
"""

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from scipy import stats

from resatlas.analysis.probes import Fact
from resatlas.arch.cost import cost
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.crew import FORKED, PRELOADED
from resatlas.bench.rows import Measured
from resatlas.bench.stopwatch import spread
from resatlas.bench.tasks import Ours, around, stepping
from resatlas.errors import ProcessLost, UsageError
from resatlas.recipes.recipe import Precision
from resatlas.training.distributed import ALONE
from resatlas.training.loop import CPU
from resatlas.training.precision import chosen
from resatlas.values.table import of_unit, table
from resatlas.values.workers import Lost, end, exit_cause, messages, start


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points along a knob: a DESIGN with {} in the place of its value; without one the batch is the knob."""

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

TINY = "resnet:depth=8,base=4"

ROUNDS = 7
FEWEST_ROUNDS = 3
MOST_SECONDS = 5.0
"""What the steps of a point take, unless there are too few; a caller who gives their number gets it."""

CONFIDENCE = 0.95

SETTLING = Path("/proc/self/clear_refs")
"""Where a process sets its peak of memory back to what it holds; source: proc_pid_clear_refs(5) of Linux."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row: medians over steps, low and high are quartiles; memory is the process's peak above what it held before."""

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
        """What the backward pass reads of a batch; and of each parameter itself, its gradient and its momentum."""
        return self.activations * self.batch + 3 * self.parameters


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """b of what is measured = a·value^b, with its interval, and b of what the model counts over the same points."""

    knob: str
    measured: str
    exponent: float = of_unit("1")
    low: float | None = of_unit("1")
    high: float | None = of_unit("1")
    model: str
    model_exponent: float = of_unit("1")
    points: int = of_unit("points")


MODELS: Mapping[str, str] = {
    "step_seconds": "products",
    "first_step_seconds": "products",
    "peak_memory_bytes": "values",
}
"""What is measured, and what the cost model counts of it."""


class Timed(NamedTuple):
    """What a process tells of its point: seconds of the first step and of the others, bytes of memory."""

    first: float
    others: tuple[float, ...]
    memory: int


def measure(options: Options, on_advance: Advance) -> Measured:
    """Every point of every series, in processes one after another; then the exponents.

    Raises: UsageError, DesignError before anything is measured; ProcessLost.
    """
    if not SETTLING.exists():
        raise UsageError(f"growth reads its memory from {SETTLING.parent}, which is Linux's")
    precision, reason = chosen(CPU)
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
            "Each point has a process of its own, which trains a tiny network first. first step: with what libraries "
            "set up for new shapes. peak memory: the largest resident memory less that before the network was made. "
            "multiply-adds are those of one image, forward; activations and parameters those of the cost model.",
            f"An exponent b is that of a·value^b by least squares over the logarithms, with its {CONFIDENCE:.0%} "
            "interval by Student's t. The model's is fitted alike to products, multiply-adds x batch, or to values, "
            "activations x batch + 3 x parameters. Where something is a constant and a power, b lies below the power.",
        ),
    )


def _batch(series: Series, value: int, options: Options) -> int:
    return value if series.knob == "batch" else options.batch or series.batch


def _point(series: Series, value: int, batch: int, precision: Precision, rounds: int | None) -> Point:
    design = series.design.format(value)
    timed = apart(Ours(designs=(design,), batch=batch, norm_group=None, precision=precision), rounds)
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
    """How each measured quantity grows over each knob, and what the model counts there."""
    for knob in dict.fromkeys(point.knob for point in points):
        some = [point for point in points if point.knob == knob]
        values = [point.value for point in some]
        for measured, model in MODELS.items():
            exponent, half = fitted(values, [getattr(point, measured) for point in some])
            counted, _ = fitted(values, [getattr(point, model) for point in some])
            yield Exponent(
                knob=knob,
                measured=measured,
                exponent=exponent,
                low=None if half is None else exponent - half,
                high=None if half is None else exponent + half,
                model=model,
                model_exponent=counted,
                points=len(some),
            )


def fitted(x: Sequence[float], y: Sequence[float]) -> tuple[float, float | None]:
    """B of y = a·x^b by least squares over logarithms, and half the width of its interval; none of two points."""
    line = stats.linregress([math.log(each) for each in x], [math.log(each) for each in y])
    if len(x) < 3:
        return float(line.slope), None
    return float(line.slope), float(stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * line.stderr)


def apart(task: Ours, rounds: int | None) -> Timed:
    """The steps of a task in a process of its own.

    Raises: ProcessLost.
    """
    worker = start(FORKED, train, task, contest.threads(), rounds)
    try:
        [(_, answer)] = messages([worker])
        if isinstance(answer, Lost):
            raise ProcessLost(
                f"the process that trained {task.designs[0]} was ended by {exit_cause([worker])}; "
                "a smaller --batch needs less memory"
            )
        return answer
    finally:
        end([worker])


def train(pipe: Connection, task: Ours, threads: int, rounds: int | None) -> None:
    """Take the steps of a task and tell how long they took, and the memory that they needed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard is heard by the one that waits for the answer
    import torch

    torch.set_num_threads(threads)
    tiny = Ours(designs=(TINY,), batch=task.batch, norm_group=None, precision=task.precision)
    with around(tiny):
        stepping(tiny, ALONE)()
    before = settled_memory()
    seconds: list[float] = []
    with around(task):
        step = stepping(task, ALONE)
        while not _enough(seconds[1:], rounds):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
            if pipe.poll():  # whoever waits for the answer says nothing, so it is gone
                return
    pipe.send(Timed(first=seconds[0], others=tuple(seconds[1:]), memory=max(peak_memory() - before, 1)))
    pipe.close()


def _enough(seconds: Sequence[float], rounds: int | None) -> bool:
    if rounds:
        return len(seconds) >= rounds
    return len(seconds) >= ROUNDS or (len(seconds) >= FEWEST_ROUNDS and sum(seconds) > MOST_SECONDS)


def settled_memory() -> int:
    """Bytes of resident memory now, from which the peak is counted anew."""
    SETTLING.write_text("5")
    return _status("VmRSS")


def peak_memory() -> int:
    """The most bytes of resident memory since it was settled."""
    return _status("VmHWM")


def _status(name: str) -> int:
    """Source: proc_pid_status(5) of Linux."""
    lines = SETTLING.with_name("status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
