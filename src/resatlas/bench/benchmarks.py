"""Which benchmarks there are and what they measure; the module of one is imported when it runs. Free of torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, Protocol, cast

from resatlas.bench.rows import Measured, here
from resatlas.designs import catalog as designs
from resatlas.errors import UnknownName, UsageError, unknown

Advance = Callable[[str, int, int], None]
"""Called with what is measured now, how much of it is done, and how much there is."""

Form = Literal["eager", "compiled"]

LARGEST_BATCH = 4096
MOST_ROUNDS = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller chooses; None and () leave the choice to the benchmark.

    `forms` are those in which peers compete: eager, or compiled by torch.compile too. `norm_group` is how many images
    share the statistics of their norms, on both sides.
    """

    designs: tuple[str, ...] = ()
    against: str | None = None
    forms: tuple[Form, ...] = ("eager",)
    batch: int | None = None
    norm_group: int | None = None
    rounds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is measured, in words; the designs that are measured unless others are named; the libraries that compete.

    Without `designs` the caller may name none; of the `peers` the first is the default, unless the module chooses.
    `groups` are the groups of norms that the caller may choose.
    """

    words: str
    designs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    groups: Literal["any", "none"] = "none"


class Measures(Protocol):
    """A module of this package that carries out the benchmark of its name."""

    def measure(self, options: Options, on_advance: Advance) -> Measured:
        """The result; `options` name designs where the benchmark has some, and a peer if the caller does."""
        ...


def measured(name: str, options: Options, *, on_advance: Advance) -> Measured:
    """The result of a benchmark, with facts about the machine.

    Raises: UnknownName, UsageError, DesignError before anything is measured; ProcessLost.
    """
    options = complete(name, options)
    module = cast("Measures", import_module(f"{__package__}.{name}"))
    result = module.measure(options, on_advance)
    return replace(result, facts=(*result.facts, *here()))


def complete(name: str, options: Options) -> Options:
    """The options with the benchmark's own designs where none are named.

    Raises: UnknownName, UsageError, DesignError.
    """
    if name not in BENCHMARKS:
        raise UnknownName(unknown("question", name, BENCHMARKS))
    benchmark = BENCHMARKS[name]
    if options.designs and not benchmark.designs:
        raise UsageError(f"{name} is asked of no design; leave out {' '.join(options.designs)}")
    if options.against and not benchmark.peers:
        raise UsageError(f"{name} is asked of our networks alone; leave out --against {options.against}")
    if "compiled" in options.forms and not benchmark.peers:
        raise UsageError(f"{name} has no peer that could be compiled; leave out --compiled")
    if options.norm_group is not None and benchmark.groups == "none":
        raise UsageError(f"{name} has no groups of norms; leave out --norm-group {options.norm_group}")
    if options.against and options.against not in benchmark.peers:
        raise UnknownName(unknown(f"peer of {name}", options.against, benchmark.peers))
    _check_sizes(options)
    for design in options.designs:
        designs.plan(design)
    return replace(options, designs=options.designs or benchmark.designs)


def _check_sizes(options: Options) -> None:
    """Refuse numbers that nothing can be measured with.

    Raises: UsageError
    """
    bounds = {"--batch": (options.batch, LARGEST_BATCH), "--rounds": (options.rounds, MOST_ROUNDS)}
    bounds["--norm-group"] = (options.norm_group, LARGEST_BATCH)
    for name, (value, most) in bounds.items():
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} lies between 1 and {most:,}; {value:,} does not")


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
    ),
    "input": Benchmark(
        words="images a second of augmented input in memory, against a DataLoader with torchvision's v2"
    ),
    "growth": Benchmark(words="step time, first step and memory over depth, width, α, K, cardinality and batch"),
}
"""Each is carried out by the module of its name."""
