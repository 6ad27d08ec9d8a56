"""A plan, or some of its units, on maps of other sides."""

from collections.abc import Iterable
from dataclasses import replace

from resatlas.arch.ops import Shape, resized
from resatlas.arch.plan import Chain, Layer, Plan, Stream, Unit


def sized(plan: Plan, *, height: int, width: int) -> Plan:
    """The same network for images of other sides.

    Raises: ImageError if a side is shorter than a stride.
    """
    image = plan.image._replace(height=height, width=width)
    stem, shape = _chain(plan.stem, image)
    stages: list[tuple[Unit, ...]] = []
    for units in plan.stages:
        stages.append(sized_units(units, height=shape.height, width=shape.width))
        shape = stages[-1][-1].output
    head, _ = _chain(plan.head, shape)
    return replace(plan, image=image, stem=stem, stages=tuple(stages), head=head)


def sized_units(units: Iterable[Unit], *, height: int, width: int) -> tuple[Unit, ...]:
    """Consecutive units on maps of other sides; equal units on maps of the same sides stay one object.

    Raises: ImageError
    """
    made: dict[tuple[int, int, int], Unit] = {}
    row: list[Unit] = []
    for unit in units:
        key = (id(unit), height, width)
        if key not in made:
            made[key] = _unit(unit, unit.input._replace(height=height, width=width))
        row.append(made[key])
        _, height, width = made[key].output
    return tuple(row)


def _unit(unit: Unit, shape: Shape) -> Unit:
    made = {id(stream): _stream(stream, shape) for stream in unit.streams}
    streams = tuple(made[id(stream)] for stream in unit.streams)
    output = _at(unit.output, _after(streams[0], shape))
    after_sum, _ = _chain(unit.after_sum, output)
    return replace(unit, input=shape, output=output, streams=streams, after_sum=after_sum)


def _stream(stream: Stream, shape: Shape) -> Stream:
    first, activated = _chain(stream.first, shape)
    bodies = [_chain(body, activated) for body in stream.bodies]
    merged, after = _chain(stream.merged, bodies[0][1])
    shortcut = None if stream.shortcut is None else _chain(stream.shortcut, shape)[0]
    return replace(
        stream,
        first=first,
        bodies=tuple(body for body, _ in bodies),
        merged=merged,
        shortcut=shortcut,
        gate=_chain(stream.gate, after)[0],
    )  # attention is of one pixel, the mean


def _after(stream: Stream, shape: Shape) -> Shape:
    """The shape after a stream that begins at `shape`, except for its channels."""
    last: Iterable[Layer] = (*stream.first, *stream.bodies[0], *stream.merged)
    return next((layer.output for layer in reversed(tuple(last))), shape)


def _chain(chain: Chain, shape: Shape) -> tuple[Chain, Shape]:
    """The layers from maps of the sides of `shape` on, and the shape after them."""
    layers: list[Layer] = []
    for layer in chain:
        here = _at(layer.input, shape)
        shape = _at(layer.output, resized(layer.op, here))
        layers.append(replace(layer, input=here, output=shape))
    return tuple(layers), shape


def _at(shape: Shape, sides: Shape) -> Shape:
    return Shape(shape.channels, sides.height, sides.width)
