"""A contest over one network: contenders with the same batch and precision take turns within one run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor

from resatlas.arch.plan import Plan
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.crew import Contender, crews
from resatlas.bench.profile import shares
from resatlas.bench.stopwatch import Spread, alternate, ratio, spread
from resatlas.bench.tasks import CLASSES, IMAGE, Ours, Peer
from resatlas.designs import catalog as designs
from resatlas.errors import UsageError
from resatlas.recipes.recipe import Precision
from resatlas.training.loop import CPU
from resatlas.training.precision import automatic_precision
from resatlas.training.threads import threads_set
from resatlas.values.cores import cores

_BATCH = 128
"""Source: the ResNet paper, section 4.2, and most after it."""

_ROUNDS = 7
_FEWEST_ROUNDS = 3

_MOST_SECONDS = 40.0
"""Time limit of the rounds of a network, if their number is not given; `_FEWEST_ROUNDS` take place in any case."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The settings of all contenders, the reason for the precision, and the threads of a single process."""

    batch: int
    norm_group: int | None
    precision: Precision
    reason: str
    cores: int
    threads: int

    def group(self, processes: int) -> int:
        """The number of images that share batch statistics, with this number of processes."""
        return self.norm_group or self.batch // processes


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Images per second of each contender and round, and the profile of our best contender in percent."""

    rates: Mapping[str, tuple[float, ...]]
    best: str
    shares: Mapping[str, float]

    def median(self, name: str) -> float | None:
        """The median rate of a contender, if it took part."""
        return spread(self.rates[name]).median if name in self.rates else None

    def fastest(self, names: Iterable[str]) -> str | None:
        """The contender with the highest median rate among those of these names that took part."""
        present = [name for name in names if name in self.rates]
        return max(present, key=lambda name: spread(self.rates[name]).median, default=None)

    def ratio(self, over: str | None, under: str | None) -> Spread | None:
        """The ratio of two rates within a round, if both contenders took part."""
        if over not in self.rates or under not in self.rates:
            return None
        return ratio(self.rates[over], self.rates[under])


def threads() -> int:
    """The threads of a single process: OMP_NUM_THREADS, or one per available core, for every network."""
    return threads_set() or cores()


def setting_of(options: Options) -> Setting:
    """The settings of all contenders.

    Raises: UsageError for a batch of fewer than two images per core, or a norm group that spans processes.
    """
    count, batch = cores(), options.batch or _BATCH
    if batch < 2 * count:
        raise UsageError(f"--batch must be at least {2 * count}, two images for each of {count} cores; got {batch}")
    share = batch // count
    if options.norm_group and options.norm_group > share:
        raise UsageError(
            f"--norm-group must be at most {share}, the images of each of {count} cores in a batch of {batch}, since "
            f"processes do not share statistics; got {options.norm_group}"
        )
    precision, reason = automatic_precision(CPU)
    return Setting(
        batch=batch, norm_group=options.norm_group, precision=precision, reason=reason, cores=count, threads=threads()
    )


def plan_of(design: str) -> Plan:
    """The plan of a design for the images of the benchmark.

    Raises: UnknownName, DesignError.
    """
    return designs.plan(design, image=IMAGE, classes=CLASSES)


def our_step(*names: str, setting: Setting) -> Ours:
    """A training step of our networks."""
    return Ours(designs=names, batch=setting.batch, norm_group=setting.norm_group, precision=setting.precision)


def in_one_process(task: Ours | Peer, setting: Setting) -> Contender:
    """A contender of one process, with the number of threads from OMP_NUM_THREADS or the cores."""
    return Contender(task=task, processes=1, threads=setting.threads)


def in_process_per_core(task: Ours | Peer, setting: Setting) -> Contender:
    """A contender of one process per core, with one thread each."""
    return Contender(task=task, processes=setting.cores, threads=1)


def run_contest(
    title: str,
    contenders: Mapping[str, Contender],
    setting: Setting,
    *,
    rounds: int | None,
    on_advance: Advance,
) -> Contest:
    """Let the contenders take turns; then profile the best of those called "ours …".

    Raises: ProcessLost.
    """
    with crews(contenders) as crew:
        each_round = sum(member.warm() for member in crew.values())
        count = rounds or max(_FEWEST_ROUNDS, min(_ROUNDS, floor(_MOST_SECONDS / each_round)))
        seconds = alternate(
            crew, rounds=count, uncounted=0, on_advance=lambda done, total: on_advance(title, done, total)
        )
        rates = {
            name: tuple(crew[name].steps * setting.batch / call_seconds for call_seconds in seconds[name])
            for name in contenders
        }
        best = max((name for name in rates if name.startswith("ours")), key=lambda name: spread(rates[name]).median)
        return Contest(rates=rates, best=best, shares=shares(crew[best].profile()))
