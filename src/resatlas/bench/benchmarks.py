"""The list of benchmarks and what they measure; each module is imported when it runs. Needs no torch."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, Protocol, cast

from resatlas.analysis.probes import Fact
from resatlas.bench.foreign import foreign_share, ticks
from resatlas.bench.quoting import warning
from resatlas.bench.rows import Measured, environment_facts
from resatlas.designs import catalog as designs
from resatlas.errors import UnknownName, UsageError, unknown
from resatlas.inference.engines.packages import Engine

Advance = Callable[[str, int, int], None]
"""Called with the current part of the benchmark, the number of its steps done, and their total."""

Form = Literal["eager", "compiled"]

_LARGEST_BATCH = 4096
_MOST_ROUNDS = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the caller; None and () select the defaults of the benchmark.

    `forms` are the forms of the peers: eager, and compiled by torch.compile if wanted. `norm_group` is the number of
    images that share batch statistics, on both sides. `engines` are those that also run our network.
    """

    designs: tuple[str, ...] = ()
    against: str | None = None
    forms: tuple[Form, ...] = ("eager",)
    engines: tuple[Engine, ...] = ()
    batch: int | None = None
    norm_group: int | None = None
    rounds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A description, the default designs, and the libraries to compare with.

    If `designs` is empty, the caller can name none. The first of the `peers` is the default, unless the module chooses.
    `groups` are the norm groups, and `engines` the other engines, that the caller can choose.
    """

    words: str
    designs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    groups: Literal["any", "none"] = "none"
    engines: Literal["any", "none"] = "none"


class Measures(Protocol):
    """A module of this package that runs the benchmark of its name."""

    def measure(self, options: Options, on_advance: Advance) -> Measured:
        """The result; `options` name designs if the benchmark has some, and a peer if the caller names one."""
        ...


def run_benchmark(name: str, options: Options, *, on_advance: Advance) -> Measured:
    """The result of a benchmark, with facts about the machine, and a warning if its rounds spread too far.

    Raises: UnknownName, UsageError, DesignError before anything is measured; ProcessLost.
    """
    options = complete(name, options)
    module = cast("Measures", import_module(f"{__package__}.{name}"))
    load, before = os.getloadavg()[0], ticks()
    result = module.measure(options, on_advance)
    foreign = foreign_share(before, ticks())
    loads = (
        Fact(name="load of the machine before", unit="processes", value=load),
        Fact(name="share of the cores that other programs took meanwhile", unit="%", value=_percent(foreign)),
    )
    return replace(
        result,
        facts=(*result.facts, *loads, *environment_facts()),
        warning=warning((result.rows, *result.further), load=load, foreign=foreign),
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def complete(name: str, options: Options) -> Options:
    """The options, with the benchmark's default designs if none are named.

    Raises: UnknownName, UsageError, DesignError.
    """
    if name not in BENCHMARKS:
        raise UnknownName(unknown("question", name, BENCHMARKS))
    benchmark = BENCHMARKS[name]
    if options.designs and not benchmark.designs:
        raise UsageError(f"{name} takes no designs; omit {' '.join(options.designs)}")
    if options.against and not benchmark.peers:
        raise UsageError(f"{name} measures our networks only; omit --against {options.against}")
    if "compiled" in options.forms and not benchmark.peers:
        raise UsageError(f"{name} has no peer to compile; omit --compiled")
    if options.norm_group is not None and benchmark.groups == "none":
        raise UsageError(f"{name} has no norm groups; omit --norm-group {options.norm_group}")
    if options.engines and benchmark.engines == "none":
        raise UsageError(f"{name} does not compare engines; omit --engines")
    if options.against and options.against not in benchmark.peers:
        raise UnknownName(unknown(f"peer of {name}", options.against, benchmark.peers))
    _check_sizes(options)
    for design in options.designs:
        designs.plan(design)
    return replace(options, designs=options.designs or benchmark.designs)


def _check_sizes(options: Options) -> None:
    """Check the ranges of the numbers.

    Raises: UsageError
    """
    bounds = {"--batch": (options.batch, _LARGEST_BATCH), "--rounds": (options.rounds, _MOST_ROUNDS)}
    bounds["--norm-group"] = (options.norm_group, _LARGEST_BATCH)
    for name, (value, most) in bounds.items():
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} must be between 1 and {most:,}; got {value:,}")


NETS = ("resnet-20-B", "preact-resnet-56-B", "wrn-16-4", "resnext-29-32x4d", "pyramidnet-110-a48", "dmrnet-20")

BENCHMARKS: Mapping[str, Benchmark] = {
    "training": Benchmark(
        words="images a second of a training step, the share of the machine's peak, and where the rest goes",
        designs=NETS,
        peers=("pytorchcv",),
        groups="any",
    ),
    "inference": Benchmark(
        words="images a second of a folded network, against every library that has it",
        designs=("resnet-18-B", "resnet-50-v1.5", "resnext-50-32x4d", "wrn-50-2", *NETS),
        peers=("torchvision", "timm", "pytorchcv"),
        engines="any",
    ),
    "detection": Benchmark(
        words="images a second of a detector with a feature pyramid on ResNet-50, against torchvision's",
        peers=("torchvision",),
    ),
    "input": Benchmark(
        words="images a second of augmented input in memory, against a DataLoader with torchvision's v2"
    ),
    "photographs": Benchmark(
        words="images a second of decoded, cropped photographs in files, against torchvision's ImageFolder"
    ),
    "serving": Benchmark(
        words="images a second over HTTP by resatlas serve, and the time of an answer", designs=("resnet-20",)
    ),
    "export": Benchmark(words="what exports keep: size, parity with float64, and the answers of int8"),
    "growth": Benchmark(words="step time, first step and memory over depth, width, α, K, cardinality and batch"),
    "memory": Benchmark(words="memory of a training as preflight predicts it, against the peak of its process"),
}
"""The module of the same name runs each of them."""
