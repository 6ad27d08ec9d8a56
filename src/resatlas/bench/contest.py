"""A contest over one network: contenders of one batch and precision that take turns within one run."""

from collections.abc import Mapping
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
from resatlas.training.precision import chosen
from resatlas.training.threads import given
from resatlas.values.cores import cores

BATCH = 128
"""Source: the ResNet paper, section 4.2, and most after it."""

ROUNDS = 7
FEWEST_ROUNDS = 3

MOST_SECONDS = 40.0
"""What the rounds of a network take, as long as they are no fewer; a caller who gives their number gets it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all contenders share, and why the precision is that; `threads` are those of one process alone."""

    batch: int
    norm_group: int | None
    precision: Precision
    reason: str
    cores: int
    threads: int

    def group(self, processes: int) -> int:
        """Images that share the statistics of norms, in so many processes."""
        return self.norm_group or self.batch // processes


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Images a second of each contender, round by round; and of ours at its best where the time went, in percent."""

    rates: Mapping[str, tuple[float, ...]]
    best: str
    shares: Mapping[str, float]

    def median(self, name: str) -> float | None:
        """The median of a contender, if it took part."""
        return spread(self.rates[name]).median if name in self.rates else None

    def ratio(self, over: str, under: str) -> Spread | None:
        """How many times as fast one is as another within a round, if both took part."""
        if over not in self.rates or under not in self.rates:
            return None
        return ratio(self.rates[over], self.rates[under])


def threads() -> int:
    """The threads of one process alone: OMP_NUM_THREADS, or one a core that it may use, whatever the network."""
    return given() or cores()


def setting_of(options: Options) -> Setting:
    """What all contenders share.

    Raises: UsageError for a batch without two images for each core, or a group that spans processes.
    """
    count, batch = cores(), options.batch or BATCH
    if batch < 2 * count:
        raise UsageError(f"--batch is at least {2 * count}, two images for each of {count} cores; {batch} is fewer")
    share = batch // count
    if options.norm_group and options.norm_group > share:
        raise UsageError(
            f"--norm-group is at most {share}, what each of {count} cores has of a batch of {batch}, since processes "
            f"share no statistics; {options.norm_group} is more"
        )
    precision, reason = chosen(CPU)
    return Setting(
        batch=batch, norm_group=options.norm_group, precision=precision, reason=reason, cores=count, threads=threads()
    )


def plan_of(design: str) -> Plan:
    """The plan of a design for the images that are trained on.

    Raises: UnknownName, DesignError.
    """
    return designs.plan(design, image=IMAGE, classes=CLASSES)


def ours(*names: str, setting: Setting) -> Ours:
    """A training step of networks of ours."""
    return Ours(designs=names, batch=setting.batch, norm_group=setting.norm_group, precision=setting.precision)


def alone(task: Ours | Peer, setting: Setting) -> Contender:
    """One process of as many threads as OMP_NUM_THREADS or the cores give."""
    return Contender(task=task, processes=1, threads=setting.threads)


def together(task: Ours | Peer, setting: Setting) -> Contender:
    """One process a core, of one thread each."""
    return Contender(task=task, processes=setting.cores, threads=1)


def held(
    title: str,
    contenders: Mapping[str, Contender],
    setting: Setting,
    *,
    rounds: int | None,
    on_advance: Advance,
) -> Contest:
    """Let the contenders take turns; then the best of those called "ours …" tells where its time goes.

    Raises: ProcessLost.
    """
    with crews(contenders) as crew:
        each_round = sum(member.warm() for member in crew.values())
        count = rounds or max(FEWEST_ROUNDS, min(ROUNDS, floor(MOST_SECONDS / each_round)))
        seconds = alternate(
            crew, rounds=count, uncounted=0, on_advance=lambda done, total: on_advance(title, done, total)
        )
        rates = {name: tuple(crew[name].steps * setting.batch / each for each in seconds[name]) for name in contenders}
        best = max((name for name in rates if name.startswith("ours")), key=lambda name: spread(rates[name]).median)
        return Contest(rates=rates, best=best, shares=shares(crew[best].profile()))
