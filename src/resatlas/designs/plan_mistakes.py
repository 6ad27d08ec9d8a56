"""Mistakes that a blueprint cannot describe, such as those in a single unit, as rewrites of a plan."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from resatlas.arch.ops import ChannelConvolution, GlobalPool, MaxPool, Relu, Sigmoid, Subsample, stride_of
from resatlas.arch.plan import Chain, Layer, Plan, Stream, Unit, sliced

Change = Callable[[Unit], Unit]


@dataclass(frozen=True, kw_only=True)
class PlanMistake:
    """A mistake in words, where it was seen, and the rewrite of the correct plan that makes it."""

    what: str
    seen: str
    rewrite: Callable[[Plan], Plan]


def plan_mistakes_in(unit: str) -> Iterator[PlanMistake]:
    """The possible mistakes in the single unit of this path."""
    for what, change in _IN_ONE_UNIT.items():
        yield PlanMistake(what=f"{what} in {unit}", seen="a plausible slip", rewrite=_in_unit(unit, change))


def _in_unit(unit: str, change: Change) -> Callable[[Plan], Plan]:
    return lambda plan: _changed(plan, lambda path, unit_here: change(unit_here) if path == unit else unit_here)


def _in_all(change: Change) -> Callable[[Plan], Plan]:
    return lambda plan: _changed(plan, lambda _, unit: change(unit))


def _changed(plan: Plan, change: Callable[[str, Unit], Unit]) -> Plan:
    changed = iter([change(path, unit) for path, unit in plan.units])
    return replace(plan, stages=tuple(tuple(next(changed) for _ in stage) for stage in plan.stages))


def _streams(change: Callable[[Stream], Stream]) -> Change:
    return lambda unit: replace(unit, streams=tuple(map(change, unit.streams)))


def _unactivated(chain: Chain) -> Chain:
    return tuple(layer for layer in chain if layer.op != Relu())


def _without_shortcut(stream: Stream) -> Stream:
    return replace(stream, shortcut=None, gate=())


def _linear_body(stream: Stream) -> Stream:
    return replace(stream, bodies=tuple(map(_unactivated, stream.bodies)))


def _linear_sum(unit: Unit) -> Unit:
    return replace(unit, after_sum=_unactivated(unit.after_sum))


def _reading(stream: Stream) -> Stream:
    """The other one of the two tensors that a shortcut can read, if there are two."""
    return _pre_activated(stream) if stream.reads == "input" else replace(stream, reads="input")


def _pre_activated(stream: Stream) -> Stream:
    possible = stream.first and stream.first[-1].output == stream.first[0].input and stream.shortcut is not None
    return replace(stream, reads="pre-activated") if possible else stream


def _largest(plan: Plan) -> Plan:
    """A maximum over the whole of a square map."""
    before = [layer for layer in plan.head if layer.op == GlobalPool()]
    side = before[0].input.height
    if side == 1 or side != before[0].input.width:
        return plan
    head: list[Layer] = []
    for layer in plan.head:
        if layer.op == GlobalPool():
            head.append(Layer("largest", MaxPool(2 * side - 1, side), layer.input, layer.output))
            head.append(replace(layer, input=layer.output))
        else:
            head.append(layer)
    return replace(plan, head=tuple(head))


def _apart(stream: Stream) -> Stream:
    return replace(stream, merge="slices") if sliced(stream) else stream


def _all_cascade(unit: Unit) -> Unit:
    """Also in the first unit of a stage; a stride is in the way, since slices are larger than what is added."""
    if unit.stride > 1:
        return unit
    return _streams(lambda stream: replace(stream, merge="cascade") if sliced(stream) else stream)(unit)


def _last_slice(change: Callable[[Layer], Chain]) -> Callable[[Stream], Stream]:
    """The pool of the last slice replaced."""
    return lambda stream: (
        replace(stream, bodies=(*stream.bodies[:-1], change(stream.bodies[-1][0])))
        if stream.merge == "slices" and stream.bodies[-1]
        else stream
    )


def _moved(shift: int) -> Callable[[Stream], Stream]:
    """The second half of a shifted projection moved by another number of pixels."""

    def changed(stream: Stream) -> Stream:
        layers = tuple(
            replace(layer, op=replace(layer.op, shift=shift))
            if isinstance(layer.op, Subsample) and layer.op.shift is not None
            else layer
            for layer in stream.shortcut or ()
        )
        return replace(stream, shortcut=layers) if stream.shortcut is not None else stream

    return changed


def _every_slice(stream: Stream) -> Stream:
    return replace(stream, bodies=(stream.bodies[0],) * len(stream.bodies)) if sliced(stream) else stream


def _unexcited(stream: Stream) -> Stream:
    return replace(stream, attention=())


def _other_kernel(stream: Stream) -> Stream:
    """A convolution along the channels with two weights more."""
    own = stream.attention[0] if stream.attention else None
    if own is None or not isinstance(own.op, ChannelConvolution):
        return stream
    wider = replace(own, op=ChannelConvolution(own.op.kernel + 2))
    return replace(stream, attention=(wider, *stream.attention[1:]))


def _ungated(stream: Stream) -> Stream:
    return replace(stream, attention=tuple(layer for layer in stream.attention if layer.op != Sigmoid()))


_IN_ONE_UNIT: Mapping[str, Change] = {
    "no shortcut": _streams(_without_shortcut),
    "no squeeze and excitation": _streams(_unexcited),
    "no relu after the sum": _linear_sum,
    "no relu between the convolutions": _streams(_linear_body),
    "the shortcut reads the other of the raw and the pre-activated tensor": _streams(_reading),
}

PLAN_MISTAKES: tuple[PlanMistake, ...] = (
    PlanMistake(
        what="every shortcut reads the pre-activated tensor",
        seen="a plausible slip",
        rewrite=_in_all(_streams(_pre_activated)),
    ),
    PlanMistake(
        what="the largest value in place of the mean in the global pool", seen="a plausible slip", rewrite=_largest
    ),
    *(
        PlanMistake(what=what, seen="a plausible slip", rewrite=_in_all(change))
        for what, change in (
            ("no slice reads the body before", _streams(_apart)),
            ("slices read the body before in the first unit of a stage, too", _all_cascade),
            (
                "the last slice of a first unit takes one pixel in place of a mean",
                _streams(_last_slice(lambda pool: (replace(pool, op=Subsample(stride_of(pool.op))),))),
            ),
            (
                "the last slice of a first unit takes the largest value in place of a mean",
                _streams(_last_slice(lambda pool: (replace(pool, op=MaxPool(3, stride_of(pool.op))),))),
            ),
            ("a convolution of the last slice, too", _streams(_every_slice)),
            ("both halves of a shifted projection read the same pixels", _streams(_moved(0))),
            ("a shifted projection reads pixels below and to the right", _streams(_moved(-1))),
            ("attention without a sigmoid", _streams(_ungated)),
            ("attention along two channels more", _streams(_other_kernel)),
        )
    ),
)
