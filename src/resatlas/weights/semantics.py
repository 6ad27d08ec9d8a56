"""Traits: properties of a network's function that the shapes of its weights do not determine, in words.

Shapes determine kernels, widths and groups. They do not determine the place of a unit's stride, the order of its
operations, the operations and the input of its shortcut, the pools, and eps. Dropout is not a trait, since it has no
effect after training.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Conv,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    Relu,
    Sigmoid,
    Subsample,
    ZeroChannels,
)
from resatlas.arch.plan import Chain, Plan, Stream, Unit, layers
from resatlas.arch.residual import ORDERS

Trait = Literal["streams", "stem", "opening", "order", "basic", "bottleneck", "halving", "shortcut", "head", "eps"]

Traits = Mapping[Trait, tuple[str, ...]]
"""For each trait, the words that describe a network, or those that a source's code allows; a missing trait is free."""

_CLAUSES: Mapping[Trait, str] = {
    "streams": "networks have {}",
    "stem": "stem is {}",
    "opening": "first unit begins with {}",
    "order": "units are {}",
    "basic": "basic units take the stride {}",
    "bottleneck": "bottlenecks take the stride {}",
    "halving": "maps halve {}",
    "shortcut": "shortcuts are {}",
    "head": "head is {}",
    "eps": "norms have eps {}",
}
"""Clauses that describe the networks of a source, as in torchvision's "bottlenecks take the stride on the 3x3"."""


def traits(plan: Plan) -> Traits:
    """The traits of a plan."""
    units = [unit for _, unit in plan.units]
    streams = list(dict.fromkeys(stream for unit in units for stream in unit.streams))
    described: Mapping[Trait, Iterable[str]] = {
        "streams": _streams(plan),
        "stem": [_chain(plan.stem)],
        "opening": [_chain(units[0].streams[0].first)],
        "order": _orders(units),
        "basic": (word for stream in streams if len(_convs(stream)) <= 2 for word in _strided(stream)),
        "bottleneck": (word for stream in streams if len(_convs(stream)) > 2 for word in _strided(stream)),
        "halving": [_halving(plan)],
        "shortcut": map(_shortcut, streams),
        "head": [_chain(plan.head)],
        "eps": (f"{layer.op.eps:g}" for _, layer in layers(plan) if isinstance(layer.op, Norm)),
    }
    return {trait: tuple(sorted(set(words))) for trait, words in described.items()}


def function(plan: Plan) -> tuple[object, ...]:
    """A key of the function that a plan computes after training, without what the shapes of its weights determine."""
    units = tuple(
        (unit.stride, unit.mixing, unit.join, _trained(unit.after_sum), tuple(map(_stream_function, unit.streams)))
        for _, unit in plan.units
    )
    return _trained(plan.stem), units, _trained(plan.head), plan.stems, plan.heads


def _stream_function(stream: Stream) -> tuple[object, ...]:
    bodies = tuple(map(_trained, stream.bodies))
    shortcut = None if stream.shortcut is None else _trained(stream.shortcut)
    gated = stream.gated if stream.gate else None
    around = _trained(stream.first), _trained(stream.attention), _trained(stream.merged)
    return bodies, stream.merge, *around, shortcut, stream.reads, gated


def _trained(chain: Chain) -> tuple[Op, ...]:
    return tuple(layer.op for layer in chain if not isinstance(layer.op, Dropout | Linear))


def differing_traits(own: Traits, allowed: Traits) -> list[Trait]:
    """The traits of a network that a source's code does not allow."""
    return [trait for trait, words in allowed.items() if set(own[trait]) - set(words)]


def describe_mismatch(own: Traits, allowed: Traits, *, source: str) -> list[str]:
    """As in: torchvision's bottlenecks take the stride on the 3x3, this network's on the first 1x1."""
    sentences: list[str] = []
    for trait in differing_traits(own, allowed):
        theirs = " or ".join(allowed[trait])
        ours = " and ".join(word for word in own[trait] if word not in allowed[trait])
        whose = "its" if sentences else f"{source}'s"
        sentences.append(f"{whose} {_CLAUSES[trait].format(theirs)}, this network's {ours}")
    return sentences


def describe_difference(own: Traits, other: Traits, *, whose: str) -> list[str]:
    """As `describe_mismatch`, for two networks: only the words that apply to one of the two."""
    ours = {trait: tuple(word for word in words if word not in other[trait]) for trait, words in own.items()}
    theirs = {trait: tuple(word for word in words if word not in own[trait]) or words for trait, words in other.items()}
    return describe_mismatch(ours, theirs, source=whose)


def _streams(plan: Plan) -> Iterator[str]:
    for unit in dict.fromkeys(unit for _, unit in plan.units):
        bodies = max(len(stream.bodies) for stream in unit.streams)
        many = unit.skip != "own" or bodies > 1
        yield f"{len(unit.streams)} streams of {bodies} bodies" if many else "one stream"
        if bodies > 1:
            yield f"bodies joined by {unit.streams[0].merge}"
        if unit.skip != "own":
            yield f"shortcuts shared by {unit.skip}"
        if unit.join:
            yield f"streams joined by {unit.join}"
    if plan.stems * plan.heads > 1:
        yield f"{plan.stems} stems and {plan.heads} heads"


def _orders(units: Sequence[Unit]) -> Iterator[str]:
    """The orders of the units. The first unit gets the beginning of the last; its own is the trait `opening`."""
    usual = units[-1].streams[0].first
    yield _order(replace(units[0].streams[0], first=usual), units[0].after_sum)
    for unit in dict.fromkeys(units[1:]):
        yield from (_order(stream, unit.after_sum) for stream in unit.streams)


def _order(stream: Stream, after_sum: Chain) -> str:
    """The name of an order; without a name, its operations."""
    *gaps, last = _gaps(stream.bodies[0])
    between = " or ".join(sorted(set(gaps)))
    chains = (_chain(stream.first), between, last, _chain(stream.merged), _chain(after_sum))
    attended = f" with attention of {_chain(stream.attention)}" if stream.attention else ""
    for name, order in ORDERS.items():
        if chains == tuple(map(_words, (order.first, order.between, order.last, order.merged, order.after_sum))):
            return name + attended
    return "({})-(conv-({}))-({})-({})-sum-({})".format(*chains) + attended


def _gaps(body: Chain) -> list[str]:
    """The operations after each convolution of a body."""
    starts = [index for index, layer in enumerate(body) if isinstance(layer.op, Convolution)]
    return [_chain(body[start + 1 : end]) for start, end in zip(starts, [*starts[1:], len(body)], strict=True)]


def _convs(stream: Stream) -> list[Convolution]:
    return [layer.op for layer in stream.bodies[0] if isinstance(layer.op, Convolution)]


def _strided(stream: Stream) -> Iterator[str]:
    """The strided convolutions of a body: on the first 1x1, on the 3x3."""
    kernels = [conv.kernel for conv in _convs(stream)]
    for index, conv in enumerate(_convs(stream)):
        if conv.stride > 1:
            alone, first = kernels.count(conv.kernel) == 1, conv.kernel not in kernels[:index]
            yield f"on the {'' if alone else 'first ' if first else 'later '}{conv.kernel}x{conv.kernel}"


def _halving(plan: Plan) -> str:
    later = all(unit.stride == 1 for stage in plan.stages for unit in stage[1:])
    if not later or not all(stage[0].stride == 2 for stage in plan.stages[1:]):
        return "elsewhere"
    words = {1: "where each later stage begins", 2: "where every stage begins"}
    return words.get(plan.stages[0][0].stride, "elsewhere")


def _shortcut(stream: Stream) -> str:
    """The shortcut in words, without the stride of a projection, which is the unit's."""
    if stream.shortcut is None:
        return "left out"
    source = f"{_chain(stream.first)} of x" if stream.reads == "pre-activated" else "x"
    ops = [layer.op for layer in stream.shortcut]
    words = _words(replace(op, stride=1) if isinstance(op, Convolution) else op for op in ops)
    gated = {"both": "exclusively gated ", "shortcut": "gated "}[stream.gated] if stream.gate else ""
    return f"{gated}{words} of {source}" if ops else f"{gated}{source}"


def _chain(chain: Chain) -> str:
    return _words(layer.op for layer in chain)


def _words(ops: Iterable[Op | Conv]) -> str:
    return "-".join(filter(None, map(_word, ops))) or "nothing"


def _word(op: Op | Conv) -> str:
    """The word for an operation in the traits of the sources; operations that no source has are printed as they are."""
    match op:
        case Convolution(kernel=kernel, stride=stride, groups=1, bias=None):
            return f"conv{kernel}x{kernel}/{stride}" if stride > 1 else f"conv{kernel}x{kernel}"
        case Convolution(kernel=kernel, stride=1, groups=1, bias=float()):
            return f"conv{kernel}x{kernel}+bias"
        case ChannelConvolution():
            return "channelconv"
        case Norm() | Relu() | Sigmoid() | GlobalPool():
            return op.role
        case MaxPool(kernel=kernel, stride=stride):
            return f"maxpool{kernel}x{kernel}/{stride}"
        case AvgPool(stride=stride, kernel=None):
            return f"avgpool{stride}x{stride}"
        case Subsample(stride=stride, shift=None):
            return f"stride {stride}"
        case ZeroChannels(place="end"):
            return "zeros"
        case Dropout() | Linear():  # dropout has no effect after training, and the classifier's shape shows it
            return ""
        case _:
            return repr(op)
