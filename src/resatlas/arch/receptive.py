"""The receptive field: the pixels of the image that a position of a map depends on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    Relu,
    Scale,
    Sigmoid,
    SlidingMean,
    Subsample,
    ZeroChannels,
    stride_of,
)
from resatlas.arch.plan import Chain, Plan, Stream, Unit, joins_body_before
from resatlas.errors import DesignError


@dataclass(frozen=True, slots=True)
class Field:
    """Position i of a map depends on the pixels i·stride + first … i·stride + last along each side of the image."""

    first: int = 0
    last: int = 0
    stride: int = 1

    @property
    def side(self) -> int:
        """The pixels from the first to the last."""
        return self.last - self.first + 1


def fields(plan: Plan) -> Iterator[Field]:
    """The field after each stage: over all streams and all paths through bodies and shortcuts, the largest.

    It is that of convolutions and pools, at a position so far inside that no edge cuts it. Attention, whose means are
    over whole maps, does not count.
    Source: Araujo, Norris, Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019,
        doi:10.23915/distill.00021: the last stages of ResNet-50, -101, -152 have 483, 1027, 1507 pixels.
    Differs: with the stride on the 3x3 of a bottleneck ("v1.5") they have 427, 971, 1451.
    """
    streams = [_after(plan.stem, Field())] * len(plan.stages[0][0].streams)
    for units in plan.stages:
        for unit in units:
            streams = _through(unit, streams)
        yield _union(streams)


def _through(unit: Unit, streams: list[Field]) -> list[Field]:
    """The field of each output of a unit."""
    ends: list[Field] = []
    skips: list[Field | None] = []
    for stream, x in zip(unit.streams, streams, strict=True):
        first = _after(stream.first, x)
        ends.append(_after(stream.merged, _bodies(stream, first)))
        read = first if stream.reads == "pre-activated" else x
        skips.append(None if stream.shortcut is None else _after((*stream.shortcut, *stream.gate), read))
    added = {row: _shared(row, skips) for row in dict.fromkeys(unit.added.rows)}
    sums = [added[row] for row in unit.added.rows]
    if unit.joined:
        outputs = [_union([*ends, *(field for row in sums for field in row)])]
    else:
        outputs = [_union([end, *row]) for end, row in zip(ends, sums, strict=True)]
    return [_after(unit.after_sum, output) for output in outputs]


def _bodies(stream: Stream, first: Field) -> Field:
    """The field of all bodies; in a cascade, a body also reads the one before it."""
    ends: list[Field] = []
    for k, body in enumerate(stream.bodies):
        ends.append(_after(body, _union([first, ends[-1]]) if joins_body_before(stream, k) else first))
    return _union(ends)


def _shared(row: tuple[int, ...], skips: list[Field | None]) -> list[Field]:
    """One field for all shortcuts that have a share in a row; an empty list without shortcuts."""
    shared = [skip for share, skip in zip(row, skips, strict=True) if share and skip is not None]
    return [_union(shared)] if shared else []


def _after(chain: Chain, field: Field) -> Field:
    for layer in chain:
        before, behind = _window(layer.op)
        field = Field(
            field.first - before * field.stride,
            field.last + behind * field.stride,
            field.stride * stride_of(layer.op),
        )
    return field


def _union(some: Iterable[Field]) -> Field:
    """The field from the first to the last pixel of fields of one stride."""
    known = tuple(some)
    return Field(min(field.first for field in known), max(field.last for field in known), known[0].stride)


def _window(op: Op) -> tuple[int, int]:
    """The positions that an operation reads before i·stride and behind it, for its output at i."""
    match op:
        case Convolution(kernel=kernel, dilation=dilation):
            return op.padding, dilation * (kernel - 1) - op.padding
        case MaxPool(kernel=kernel) | AvgPool(kernel=int(kernel)):
            return kernel // 2, kernel - 1 - kernel // 2
        case AvgPool(stride=stride):
            return 0, stride - 1
        case SlidingMean(size=size, dilation=dilation):
            return 0, dilation * (size - 1)
        case Subsample(shift=int(shift)):
            return max(shift, 0), max(-shift, 0)
        case ChannelConvolution() | Norm() | Relu() | Sigmoid() | Scale() | Dropout() | Subsample() | ZeroChannels():
            return 0, 0
        case GlobalPool() | Linear():
            raise DesignError(f"a stage and a stem have no {op.role} over the whole map")
        case _:
            assert_never(op)
