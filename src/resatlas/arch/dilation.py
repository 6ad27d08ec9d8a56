"""Dilation in place of strides, which keeps the maps of the last stages large."""

from dataclasses import replace
from itertools import pairwise

from resatlas.arch.levels import plan_levels
from resatlas.arch.ops import AvgPool, Convolution, GlobalPool, MaxPool, Op, Shape, SlidingMean, Subsample, stride_of
from resatlas.arch.plan import Chain, Layer, Plan, Stream, Unit
from resatlas.errors import DesignError


def dilated(plan: Plan, stage: int) -> Plan:
    """The same network without the strides of this stage and of those after it.

    Each stride s becomes 1, and the taps of all operations behind the strided one are s times as far apart. The maps y
    of these stages are then those of the strided network and the ones between them: dilated[::s, ::s] = strided, with
    the same weights under the same paths.

    Differs: attention takes its means over the larger maps, so the law holds up to these means.
    Raises: DesignError if the plan has no such stage, or if no stride is left to replace.
    Source: R-FCN (arXiv:1605.06409), section 3, and its authors' res5: the 3x3 behind a strided 1x1 is dilated. DeepLab
        (arXiv:1606.00915), section 3.1. `replace_stride_with_dilation` of torchvision's ResNets follows the same law.
    """
    last = len(plan.stages) - 1
    if not 1 <= stage <= last:
        allowed = {0: "no stage of a network with one stage", 1: "stage 1"}.get(last, f"stages 1 to {last}")
        raise DesignError(f"dilation can replace the strides from {allowed} on; got stage {stage}")
    size = plan.stages[stage - 1][-1].output
    rate = 1
    stages = list(plan.stages[:stage])
    for units in plan.stages[stage:]:
        made: dict[tuple[int, int], Unit] = {}  # equal units of a stage stay one object
        row: list[Unit] = []
        for unit in units:
            key = (id(unit), rate)
            if key not in made:
                made[key] = _unit(unit, size, rate)
            row.append(made[key])
            rate *= unit.stride
        stages.append(tuple(row))
    if rate == 1:
        raise DesignError(f"stage {stage} and those after it have no stride that dilation could replace")
    return replace(plan, stages=tuple(stages), head=_head(plan.head, size))


def with_stride(plan: Plan, stride: int) -> Plan:
    """The plan, dilated from the first stage on whose stride, counted from the image, exceeds the given one.

    Raises: DesignError if that is the first stage.
    """
    levels = plan_levels(plan)
    if levels[0].stride > stride:
        raise DesignError(
            f"the first stage of this network already has a stride of {levels[0].stride}, which dilation cannot reduce "
            f"to {stride}; the nearest stride is {levels[0].stride}"
        )
    coarse = next((after.stage for _, after in pairwise(levels) if after.stride > stride), None)
    return plan if coarse is None else dilated(plan, coarse)


def _unit(unit: Unit, size: Shape, rate: int) -> Unit:
    """The unit on maps of `size`, behind strides of the product `rate`."""
    behind = rate * unit.stride
    made: dict[int, Stream] = {}
    for stream in unit.streams:
        if id(stream) not in made:
            made[id(stream)] = _stream(stream, size, rate, behind)
    return replace(
        unit,
        input=_at(unit.input, size),
        output=_at(unit.output, size),
        stride=1,
        streams=tuple(made[id(stream)] for stream in unit.streams),
        after_sum=_chain(unit.after_sum, size, behind),
    )


def _stream(stream: Stream, size: Shape, rate: int, behind: int) -> Stream:
    bodies = {id(body): _chain(body, size, rate) for body in stream.bodies}
    return replace(
        stream,
        first=_chain(stream.first, size, rate),
        bodies=tuple(bodies[id(body)] for body in stream.bodies),
        merged=_chain(stream.merged, size, behind),
        shortcut=None if stream.shortcut is None else _chain(stream.shortcut, size, rate),
        gate=_chain(stream.gate, size, behind),
    )


def _chain(chain: Chain, size: Shape, rate: int) -> Chain:
    layers: list[Layer] = []
    for layer in chain:
        op = _op(layer.op, rate)
        if op is not None:
            layers.append(replace(layer, op=op, input=_at(layer.input, size), output=_at(layer.output, size)))
        rate *= stride_of(layer.op)
    return tuple(layers)


def _op(op: Op, rate: int) -> Op | None:
    """The operation without its stride, with taps `rate` pixels apart; None for one that only subsamples."""
    match op:
        case Convolution(kernel=kernel):
            return replace(op, stride=1, dilation=op.dilation * rate if kernel > 1 else 1)
        case AvgPool(kernel=int()):
            if rate > 1:
                raise DesignError("dilation cannot spread the pixels of a pool of slices; dilate from the last stage")
            return replace(op, stride=1)
        case AvgPool(stride=stride):
            return SlidingMean(stride, rate)
        case SlidingMean(dilation=dilation):
            return replace(op, dilation=dilation * rate)
        case Subsample(shift=shift):
            return None if shift is None else Subsample(1, shift=shift * rate)
        case MaxPool():
            raise DesignError("dilation cannot replace the stride of a max pool inside a stage")
        case _:  # values of single pixels
            return op


def _head(head: Chain, size: Shape) -> Chain:
    """The head on maps of `size`; what is behind its global pool does not change."""
    pool = next(index for index, layer in enumerate(head) if isinstance(layer.op, GlobalPool))
    sized = [replace(layer, input=_at(layer.input, size), output=_at(layer.output, size)) for layer in head[:pool]]
    return (*sized, replace(head[pool], input=_at(head[pool].input, size)), *head[pool + 1 :])


def _at(shape: Shape, size: Shape) -> Shape:
    return Shape(shape.channels, size.height, size.width)
