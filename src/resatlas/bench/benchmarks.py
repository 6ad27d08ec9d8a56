"""Which questions of speed are asked, and of what; a question's module is imported when it is put. Free of torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, Protocol, cast

from resatlas.bench.rows import Measured, here
from resatlas.designs import catalog as designs
from resatlas.errors import UnknownName, UsageError, unknown

Advance = Callable[[str, int, int], None]
"""Told what is measured now, how much of it is done, and how much there is."""

Form = Literal["eager", "compiled"]

LARGEST_BATCH = 4096
MOST_ROUNDS = 1000


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the caller says; None and nothing leave it to the question.

    `forms` are those in which peers compete: as they are, or made by torch.compile too. `norm_group` is how many images
    share the statistics of their norms, on both sides.
    """

    designs: tuple[str, ...] = ()
    against: str | None = None
    forms: tuple[Form, ...] = ("eager",)
    batch: int | None = None
    norm_group: int | None = None
    rounds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question: its words, the designs that it is asked of unless others are named, and who may compete.

    Without `designs` it is asked of none; of the `peers` the first is the default, unless the module says otherwise.
    `groups` are the groups of norms that the caller may ask for.
    """

    words: str
    designs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    groups: Literal["any", "none"] = "none"


class Measures(Protocol):
    """A module of this package that answers the question of its name."""

    def measure(self, options: Options, on_advance: Advance) -> Measured:
        """The answer; `options` name designs where the question has them, and a peer if the caller does."""
        ...


def asked(question: str, options: Options, *, on_advance: Advance) -> Measured:
    """The answer to a question, with what is said of the machine.

    Raises: UnknownName, UsageError, DesignError before anything is measured; ProcessLost.
    """
    filled = complete(question, options)
    module = cast("Measures", import_module(f"{__package__}.{question}"))
    found = module.measure(filled, on_advance)
    return replace(found, facts=(*found.facts, *here()))


def complete(question: str, options: Options) -> Options:
    """The options with the question's own designs where none are named.

    Raises: UnknownName, UsageError, DesignError.
    """
    if question not in QUESTIONS:
        raise UnknownName(unknown("question", question, QUESTIONS))
    asked = QUESTIONS[question]
    if options.designs and not asked.designs:
        raise UsageError(f"{question} is asked of no design; leave out {' '.join(options.designs)}")
    if options.against and not asked.peers:
        raise UsageError(f"{question} is asked of our networks alone; leave out --against {options.against}")
    if "compiled" in options.forms and not asked.peers:
        raise UsageError(f"{question} has no peer that could be compiled; leave out --compiled")
    if options.norm_group is not None and asked.groups == "none":
        raise UsageError(f"{question} has no groups of norms; leave out --norm-group {options.norm_group}")
    if options.against and options.against not in asked.peers:
        raise UnknownName(unknown(f"peer of {question}", options.against, asked.peers))
    _check_sizes(options)
    for design in options.designs:
        designs.plan(design)
    return replace(options, designs=options.designs or asked.designs)


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

QUESTIONS: Mapping[str, Question] = {
    "training": Question(
        words="images a second of a training step, the share of the machine's peak, and where the rest goes",
        designs=NETS,
        peers=("pytorchcv",),
        groups="any",
    ),
    "processes": Question(words="one process a core against one of all cores, in training", designs=NETS, groups="any"),
    "inference": Question(
        words="images a second of a folded network, against every library that has it",
        designs=("resnet-18-B", "resnet-50-v1.5", "resnext-50-32x4d", "wrn-50-2", *NETS),
        peers=("torchvision", "timm", "pytorchcv"),
    ),
    "input": Question(words="images a second of augmented input in memory, against a DataLoader with torchvision's v2"),
    "growth": Question(words="step time, first step and memory over depth, width, α, K, cardinality and batch"),
}
"""Each is answered by the module of its name."""
