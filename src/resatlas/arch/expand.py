"""Blueprint -> plan: the interpreter of the vocabulary, without special cases for papers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Conv,
    Convolution,
    GlobalPool,
    Linear,
    Op,
    Relu,
    Shape,
    Sigmoid,
    Subsample,
    ZeroChannels,
    resized,
    strided,
)
from resatlas.arch.plan import Chain, Layer, Merge, Plan, Stream, Unit
from resatlas.arch.residual import (
    Absent,
    ChannelAttention,
    Excitation,
    Omit,
    Position,
    Projection,
    Residual,
    Rule,
    ZeroPad,
)
from resatlas.arch.streams import Adds, Join, MergeAndRun, Single, Streams
from resatlas.arch.widths import check_width, unit_widths
from resatlas.errors import GroupsError, ImageError, WidthError

LARGEST_SIDE = 4096
MOST_CLASSES = 1_000_000


def expand(blueprint: Blueprint, *, image: Shape, classes: int) -> Plan:
    """The plan of a blueprint for one image shape and number of classes.

    Raises: ImageError if the image is too small for the strides; WidthError, GroupsError if widths do not fit.
    """
    _check_task(image, classes)
    stem = _Tracer(image)
    for index, width in enumerate((*blueprint.stem.lead, blueprint.stem.width)):
        stem.add(Convolution(blueprint.stem.kernel, 1 if index else blueprint.stem.stride), width)
        stem.extend(blueprint.stem.after)
    if blueprint.stem.pool:
        stem.add(blueprint.stem.pool)
    stages = _stages(blueprint, stem.shape)
    last = stages[-1][-1]
    heads = last.outcomes if last.join == "logits" else 1
    head = _Tracer(last.output._replace(channels=last.output.channels * last.outcomes // heads))
    head.extend(blueprint.head.before)
    head.add(GlobalPool())
    if blueprint.head.dropout:
        head.add(blueprint.head.dropout)
    if classes:
        head.add(Linear(), classes)
    return Plan(
        image=image,
        classes=classes,
        stem=tuple(stem.layers),
        stages=stages,
        head=tuple(head.layers),
        initial=blueprint.initial,
        stems=_stems(blueprint.streams),
        heads=heads,
    )


def with_classes(plan: Plan, classes: int) -> Plan:
    """The plan for another number of classes; 0 omits the classifier.

    Raises: WidthError
    """
    _check_task(plan.image, classes)
    head = tuple(layer for layer in plan.head if not isinstance(layer.op, Linear))
    if classes:
        traced = _Tracer(head[-1].output)
        traced.add(Linear(), classes)
        head += tuple(traced.layers)
    return replace(plan, classes=classes, head=head)


def _stems(streams: Streams) -> int:
    match streams:
        case Single():
            return 1
        case MergeAndRun(count=count, stems=stems):
            return count if stems == "separate" else 1
        case _:
            assert_never(streams)


@dataclass(frozen=True, slots=True)
class _Place:
    """Everything that a unit depends on besides its blueprint; equal places share one unit."""

    input: Shape
    width: int
    stride: int
    start: Literal["network-start", "stage-start", "inside"]
    last: bool


def _stages(blueprint: Blueprint, shape: Shape) -> tuple[tuple[Unit, ...], ...]:
    unit_at: dict[_Place, Unit] = {}
    stages = []
    widths = unit_widths(blueprint.widths, blueprint.units)
    for s, stage_widths in enumerate(widths):
        stage = []
        for u, width in enumerate(stage_widths):
            start = "inside" if u else "stage-start" if s else "network-start"
            last = s == len(widths) - 1 and u == len(stage_widths) - 1
            place = _Place(shape, width, 1 if u else 2 if s else blueprint.first_stride, start, last)
            if place not in unit_at:
                unit_at[place] = _unit(blueprint, place)
            stage.append(unit_at[place])
            shape = unit_at[place].output
        stages.append(tuple(stage))
    return tuple(stages)


def _unit(blueprint: Blueprint, place: _Place) -> Unit:
    residual = blueprint.residual
    stream = _stream(residual, place)
    output = strided(place.input, place.stride)._replace(channels=place.width)
    skip: Adds
    join: Join | None = None
    match blueprint.streams:
        case Single():
            count, skip = 1, "own"
        case MergeAndRun(count=count, join=rule, skip=skip):
            join = rule if place.last else None
        case _:
            assert_never(blueprint.streams)
    after_sum = _Tracer(output)
    after_sum.extend(residual.order.after_sum)
    return Unit(
        input=place.input,
        output=output,
        stride=place.stride,
        streams=(stream,) * count,
        skip=skip,
        join=join,
        after_sum=tuple(after_sum.layers),
    )


def _stream(residual: Residual, place: _Place) -> Stream:
    first = _Tracer(place.input)
    if place.start != "network-start" or residual.opening == "ordered":
        for op in residual.order.first:
            first.add_rule(op, place.width, stride=1)
    bodies, merge = _bodies(residual, place, first.shape)
    merged = _Tracer(bodies[0][-1].output)
    if merge != "sum":
        merged.shape = merged.shape._replace(channels=merged.shape.channels * residual.bodies)
    attention = _attention(residual, merged.shape.channels, place.input.channels)
    for rule in residual.order.merged:
        merged.add_rule(rule, place.width, stride=1)
    if merged.shape.channels != place.width:
        raise WidthError(f"the bodies of a unit end with {merged.shape.channels} channels; the unit has {place.width}")
    shortcut = _shortcut(residual, place)
    gate = _Tracer(merged.shape)
    if residual.gate and shortcut is not None:
        gate.add(Convolution(1, bias=residual.gate.bias))
        gate.add(Sigmoid())
    projected = any(isinstance(layer.op, Convolution) for layer in shortcut or ())
    positions: set[Position | str] = {place.start, "projected" if projected else ""}
    return Stream(
        first=tuple(first.layers),
        bodies=bodies,
        merge=merge,
        merged=tuple(merged.layers),
        shortcut=shortcut,
        reads="pre-activated" if first.layers and positions & set(residual.shares) else "input",
        gate=tuple(gate.layers),
        gated=residual.gate.scales if residual.gate else "both",
        attention=attention,
    )


def _attention(residual: Residual, channels: int, inputs: int) -> Chain:
    """The layers that weight the channels of the bodies; they read one pixel, the mean."""
    if residual.attention is None:
        return ()
    traced = _Tracer(Shape(channels, 1, 1))
    match residual.attention:
        case ChannelAttention():
            traced.add(ChannelConvolution(residual.attention.kernel(channels)))
        case Excitation():
            traced.add(Convolution(1, bias=0.0), _hidden(residual.attention, channels, inputs))
            traced.add(Relu())
            traced.add(Convolution(1, bias=0.0), channels)
        case _:
            assert_never(residual.attention)
    traced.add(Sigmoid())
    return tuple(traced.layers)


def _hidden(excitation: Excitation, channels: int, inputs: int) -> int:
    """The channels between the two products of an excitation."""
    whole = channels if excitation.of == "body" else inputs
    hidden = whole * excitation.ratio
    if hidden > 1 and hidden.denominator != 1:
        step = excitation.ratio.denominator
        near = sorted({max(whole // step, 1) * step, (whole // step + 1) * step})
        raise WidthError(
            f"an excitation ratio of {excitation.ratio} does not divide {whole} channels "
            f"(nearest: {', '.join(map(str, near))})"
        )
    return max(int(hidden), 1)


def _bodies(residual: Residual, place: _Place, shape: Shape) -> tuple[tuple[Chain, ...], Merge]:
    """The bodies of a unit, which read maps of this shape, and how they are one tensor."""
    if residual.merge != "cascade":
        return (_body(residual, place, shape),) * residual.bodies, residual.merge
    slices = residual.bodies
    width, rest = divmod(shape.channels, slices)
    if rest:
        near = sorted({max(width, 1) * slices, (width + 1) * slices})
        raise WidthError(
            f"{slices} slices do not divide {shape.channels} channels (nearest: {', '.join(map(str, near))})"
        )
    part = shape._replace(channels=width)
    body = _body(residual, place, part)
    if body[-1].output.channels != width:
        raise WidthError(f"a body of a cascade keeps the {width} channels of its slice; got {body[-1].output.channels}")
    last = _Tracer(part)
    if place.start == "inside":
        return (*(body,) * (slices - 1), ()), "cascade"
    last.add(AvgPool(place.stride, kernel=3))
    return (*(body,) * (slices - 1), tuple(last.layers)), "slices"


def _body(residual: Residual, place: _Place, shape: Shape) -> Chain:
    body = _Tracer(shape, numbered=True)
    for index, conv in enumerate(residual.convs):
        if index:
            body.extend(residual.order.between)
        body.add_rule(conv, place.width, stride=place.stride)
    body.extend(residual.order.last)
    return tuple(body.layers)


def _shortcut(residual: Residual, place: _Place) -> Chain | None:
    shortcut = _Tracer(place.input)
    resized = place.stride > 1 or place.input.channels != place.width
    match residual.shortcut:
        case Absent():
            return None
        case Omit():
            if resized:
                return None
        case ZeroPad():
            _pad(shortcut, residual.shortcut, place)
        case Projection(after=after, where=where, subsample=subsample):
            if where == "everywhere" or (resized and (where == "resized" or place.stride > 1)):
                _project(shortcut, subsample, place)
                shortcut.extend(after)
            else:
                _pad(shortcut, ZeroPad(), place)
        case _:
            assert_never(residual.shortcut)
    shortcut.extend(residual.order.shortcut)
    return tuple(shortcut.layers)


def _project(shortcut: "_Tracer", subsample: Literal["stride", "average", "shifted"], place: _Place) -> None:
    """A 1x1 convolution, with the unit's stride or behind what subsamples."""
    match subsample:
        case "stride":
            shortcut.add(Convolution(1, place.stride), place.width)
        case "average":
            if place.stride > 1:
                shortcut.add(AvgPool(place.stride))
            shortcut.add(Convolution(1), place.width)
        case "shifted":
            shortcut.add(Subsample(place.stride, shift=1), 2 * place.input.channels)
            shortcut.add(Convolution(1, groups=2), place.width)
        case _:
            assert_never(subsample)


def _pad(shortcut: "_Tracer", rule: ZeroPad, place: _Place) -> None:
    """Subsample if the unit has a stride, and pad channels if it widens."""
    if place.stride > 1:
        shortcut.add(AvgPool(place.stride) if rule.subsample == "average" else Subsample(place.stride))
    if place.width < place.input.channels:
        raise WidthError(
            f"zero-padding only adds channels; this unit narrows from {place.input.channels} to {place.width}"
        )
    if place.width > place.input.channels:
        shortcut.add(ZeroChannels(rule.place), place.width)


class _Tracer:
    """Builds a chain: names each operation by its role and tracks the shape."""

    def __init__(self, shape: Shape, *, numbered: bool = False) -> None:
        self.shape = shape
        self.layers: list[Layer] = []
        self._numbered = numbered
        self._seen: Counter[str] = Counter()

    def extend(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            self.add(rule)

    def add_rule(self, rule: Rule | Conv, width: int, *, stride: int) -> None:
        """Add an operation of a unit; a Conv takes its share of `width`, and `stride` if it is strided."""
        if isinstance(rule, Conv):
            channels, rest = divmod(width * rule.width.numerator, rule.width.denominator)
            if rest:
                raise WidthError(f"a share of {rule.width} of {width} channels is not a whole number")
            groups = rule.groups if rule.group_width is None else _groups(rule.group_width, channels)
            self.add(Convolution(rule.kernel, stride if rule.strided else 1, groups), check_width(channels))
        else:
            self.add(rule)

    def add(self, op: Op, channels: int | None = None) -> None:
        """Add an operation with `channels` outputs, by default as many as its inputs."""
        self._seen[op.role] += 1
        number = self._seen[op.role]
        name = f"{op.role}{number}" if self._numbered or number > 1 else op.role
        output = resized(op, self.shape)
        if channels:
            output = Shape(channels, output.height, output.width)
        if isinstance(op, Convolution):
            _check_groups(op.groups, self.shape.channels, output.channels)
        self.layers.append(Layer(name, op, self.shape, output))
        self.shape = output


def _groups(group_width: int, channels: int) -> int:
    """The number of groups of a width; 1 if the convolution is narrower."""
    if channels > group_width and channels % group_width:
        below = channels // group_width * group_width
        raise GroupsError(
            f"groups of {group_width} channels do not divide {channels} channels "
            f"(nearest: {below}, {below + group_width})"
        )
    return max(channels // group_width, 1)


def _check_groups(groups: int, *channels: int) -> None:
    for count in channels:
        if count % groups:
            near = sorted({max(count // groups, 1) * groups, (count // groups + 1) * groups})
            raise GroupsError(f"{groups} groups do not divide {count} channels (nearest: {', '.join(map(str, near))})")


def _check_task(image: Shape, classes: int) -> None:
    if not (1 <= image.channels <= 1024 and all(1 <= side <= LARGEST_SIDE for side in image[1:])):
        raise ImageError(f"an image is 1-1024 channels of up to {LARGEST_SIDE}x{LARGEST_SIDE} pixels; got {image}")
    if not 0 <= classes <= MOST_CLASSES:
        raise WidthError(f"a network has 0 (no classifier) to {MOST_CLASSES:,} classes; got {classes:,}")
