"""The operations of a forward pass in training, in order, and the tensors that each stores for its backward pass.

It is `nets.unit` and `nets.layers` with sizes in the place of values, so it needs no torch: what autograd of torch 2.14
saves, on a CPU and in the precision of a training. `tests/nets/test_tape.py` compares it with built networks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal, assert_never, get_args

from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Product,
    Relu,
    Scale,
    Shape,
    Sigmoid,
    SlidingMean,
    Subsample,
    ZeroChannels,
    weights,
)
from resatlas.arch.plan import Chain, Layer, Plan, Stream, Unit, joins_body_before, sliced
from resatlas.recipes.regularisers import Level, Shake, ShakeDrop, ShakeShake

WIDE, NARROW = 4, 2
"""Bytes of a value in float32, and in bf16 or fp16."""

_INDEX = 8
"""Bytes of the index that a max-pooling stores for each output value."""


@dataclass(eq=False, slots=True)
class Tensor:
    """A tensor by its size; each is an object of its own. One that depends on no weight has no gradient: `leaf`.

    A view is stored as the tensor that it is a `view_of`.
    """

    bytes: int
    width: int = WIDE
    leaf: bool = False
    view_of: "Tensor | None" = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Operation:
    """inputs -> output.

    `stored` are the tensors that its backward pass reads, its inputs and output among them. `weights` are the bytes of
    the gradients of its weights; `workspace` those that it needs besides while it runs, and `columns` those of them
    that hold its input, written out. The gradients of a sum's inputs are one tensor, that of its output: `passes_on`.
    Operations of one `group` other than 0 are recomputed together where only maps after convolutions are stored.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    stored: tuple[Tensor, ...] = ()
    weights: int = 0
    workspace: int = 0
    columns: int = 0
    passes_on: bool = False
    group: int = 0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Tape:
    """The operations of a pass: those of the stem, of each unit of each stage, and of the head."""

    images: Tensor
    stem: Sequence[Operation]
    stages: Sequence[Sequence[Sequence[Operation]]]
    head: Sequence[Operation]
    before_last: Sequence[Operation] = ()
    """Those between the last stage and the one before it: what selects the regions that the last stage reads."""

    @property
    def all(self) -> Iterator[Operation]:
        """All operations in order."""
        yield from self.stem
        for stage in self.stages:
            if stage is self.stages[-1]:
                yield from self.before_last
            yield from (operation for unit in stage for operation in unit)
        yield from self.head

    @property
    def weights(self) -> int:
        """Bytes of the gradients of all weights."""
        return sum(operation.weights for operation in self.all)

    @property
    def stored(self) -> int:
        """Bytes of all stored tensors, each counted once."""
        return sum(tensor.bytes for tensor in {tensor for operation in self.all for tensor in operation.stored})


def tape(
    plan: Plan,
    *,
    images: int,
    width: int = WIDE,
    drops: bool = False,
    shake: Shake | None = None,
    columns: bool = False,
) -> Tape:
    """The tape of a pass of some images; a value of a map has `width` bytes.

    With `drops`, units drop residuals: stochastic depth; `shake` is how they are weighted at random. With `columns`,
    convolutions write out their input once for each position of the kernel, as torch does on a processor that does not
    multiply in the precision.
    Differs: a strided 1x1 convolution of fewer than eight channels is one operation here.
    """
    recorder = Recorder(images=images, width=width, drops=drops, shake=shake, columns=columns)
    batch = Tensor(images * prod(plan.image) * WIDE, leaf=True)
    streams = recorder.begin(plan, batch)
    stem = recorder.taken()
    stages: list[list[tuple[Operation, ...]]] = []
    for stage in plan.stages:
        streams, units = recorder.stage(stage, streams)
        stages.append(units)
    recorder.end(plan, streams)
    return Tape(images=batch, stem=stem, stages=stages, head=recorder.taken())


@dataclass(eq=False, kw_only=True)
class Recorder:
    """Records operations; the methods are named after those of `nets.unit` that they stand for.

    Of what is `frozen` no weight has a gradient.
    """

    images: int
    width: int
    drops: bool
    shake: Shake | None
    columns: bool
    frozen: Literal["nothing", "norms", "everything"] = "nothing"
    operations: list[Operation] = field(default_factory=list)
    group: int = 0
    groups: int = 0

    def taken(self) -> tuple[Operation, ...]:
        """The operations since the last call."""
        operations = tuple(self.operations)
        self.operations.clear()
        return operations

    def begin(self, plan: Plan, batch: Tensor) -> list[Tensor]:
        """The input of the first unit: one tensor per stream."""
        stems = [self.chain(plan.stem, batch) for _ in range(plan.stems)]
        return stems if plan.stems > 1 else stems * len(plan.stages[0][0].streams)

    def stage(self, units: Iterable[Unit], streams: list[Tensor]) -> tuple[list[Tensor], list[tuple[Operation, ...]]]:
        """The streams after consecutive units, and the operations of each."""
        operations: list[tuple[Operation, ...]] = []
        for unit in units:
            streams = self.unit(unit, streams)
            operations.append(self.taken())
        return streams, operations

    def end(self, plan: Plan, streams: Sequence[Tensor]) -> Tensor:
        """The logits for the output of the last unit, or its features."""
        heads = streams if plan.heads > 1 else [self.joined(streams)]
        return self.sum([self.chain(plan.head, maps) for maps in heads])

    def unit(self, unit: Unit, streams: Sequence[Tensor]) -> list[Tensor]:
        """The streams after a unit."""
        divided = [self.divide(stream, x) for stream, x in zip(unit.streams, streams, strict=True)]
        residuals = [residual for residual, _ in divided]
        shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]
        terms = self.mixed(unit, shortcuts) if shortcuts else []
        if unit.joined:
            return [self.chain(unit.after_sum, self.sum([*residuals, *terms]))]
        sums = [self.sum(pair) for pair in zip(residuals, terms, strict=True)] if terms else residuals
        return [self.chain(unit.after_sum, x) for x in sums]

    def divide(self, stream: Stream, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The residual and the shortcut of x."""
        if len(stream.bodies) == 1 and stream.reads != "pre-activated":
            activated, bodies = x, [self.run_layers((*stream.first, *stream.bodies[0]), x)]
        else:
            activated = self.chain(stream.first, x)
            bodies = self.bodies(stream, activated)
        if isinstance(self.shake, ShakeShake):
            level = self.shake.drawn_backward
            bodies = [self.weighted(body, stream.bodies[0][-1].output.channels, level) for body in bodies]
        residual = self.sum(bodies) if stream.merge == "sum" else self.joined(bodies)
        if stream.attention:
            mean = self.record(residual, size=self._bytes(stream.attention[0].input))
            weight = self.chain(stream.attention, mean)
            residual = self.record(weight, residual, stored=(weight, residual))
        residual = self.chain(stream.merged, residual)
        if stream.shortcut is None:
            return residual, None
        if self.drops:
            residual = self.record(residual, stored=(Tensor(self.images * self.width),))
        if isinstance(self.shake, ShakeDrop):
            channels = (stream.merged or stream.bodies[0])[-1].output.channels
            finest = max(self.shake.gates, self.shake.level, key=get_args(Level).index)
            residual = self.weighted(residual, channels, finest)
        shortcut = self.chain(stream.shortcut, activated if stream.reads == "pre-activated" else x)
        if not stream.gate:
            return residual, shortcut
        gate = self.chain(stream.gate, shortcut)
        if stream.gated == "both":
            residual = self.record(gate, residual, stored=(gate, residual))
        rest = self.record(gate)
        return residual, self.record(rest, shortcut, stored=(rest, shortcut))

    def bodies(self, stream: Stream, x: Tensor) -> list[Tensor]:
        """The output of each body."""
        if len(stream.bodies) == 1:
            return [self.run_layers(stream.bodies[0], x)]
        if not sliced(stream):
            return [self.chain(body, x) for body in stream.bodies]
        size = x.bytes // len(stream.bodies)
        outputs: list[Tensor] = []
        for k, body in enumerate(stream.bodies):
            part = self.record(x, output=Tensor(size, self.width, view_of=x), passes_on=True)
            if joins_body_before(stream, k):
                part = self.record(part, outputs[-1], passes_on=True)
            outputs.append(self.chain(body, part))
        return outputs

    def weighted(self, maps: Tensor, channels: int, level: Level) -> Tensor:
        """Maps weighted at random; the weights of their gradients are stored."""
        counts = {"batch": 1, "image": self.images, "channel": self.images * channels}
        size = maps.bytes if level == "value" else counts[level] * self.width
        free = self.record(maps, stored=(Tensor(size),))
        fixed = self.record(maps)
        fixed.leaf = True
        return self.record(free, fixed, passes_on=True)

    def mixed(self, unit: Unit, shortcuts: list[Tensor]) -> list[Tensor]:
        """What is added to the residuals: one tensor for each row of the matrix; equal rows share one."""
        if unit.mixing.channels == "projected":
            together = self.joined(shortcuts)
            matrix = () if self.width == WIDE else (Tensor((len(shortcuts) * unit.output.channels) ** 2 * self.width),)
            projected = self.record(together, stored=(together, *matrix), size=together.bytes)
            shortcuts = [self.record(projected, size=shortcut.bytes, passes_on=True) for shortcut in shortcuts]
        rows = unit.mixing_after_projector
        combined = {row: self._combined(row, rows.over, shortcuts) for row in dict.fromkeys(rows.rows)}
        return [combined[row] for row in rows.rows]

    def _combined(self, row: Sequence[int], over: int, shortcuts: Sequence[Tensor]) -> Tensor:
        scaled = [x if share == 1 else self.record(x) for share, x in zip(row, shortcuts, strict=True) if share]
        total = self.sum(scaled)
        return total if over == 1 else self.record(total)

    def sum(self, tensors: Sequence[Tensor]) -> Tensor:
        """The sum of tensors, one after another."""
        total = tensors[0]
        for tensor in tensors[1:]:
            total = self.record(total, tensor, passes_on=True)
        return total

    def joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors side by side along the channels."""
        return self.record(*tensors, size=sum(x.bytes for x in tensors)) if len(tensors) > 1 else tensors[0]

    def chain(self, layers: Iterable[Layer], x: Tensor) -> Tensor:
        """The output of layers one after another."""
        for layer in layers:
            x = self.layer(layer, x)
        return x

    def run_layers(self, layers: Chain, x: Tensor) -> Tensor:
        """The output of layers one after another: those up to a convolution are a group if a norm is among them."""
        waiting: list[Layer] = []
        for layer in layers:
            waiting.append(layer)
            if isinstance(layer.op, Convolution):
                if any(isinstance(one.op, Norm) for one in waiting):
                    self.groups += 1
                    self.group = self.groups
                x = self.chain(waiting, x)
                self.group = 0
                waiting.clear()
        return self.chain(waiting, x)

    def layer(self, layer: Layer, x: Tensor) -> Tensor:
        """The output of one layer."""
        size = self._bytes(layer.output)
        match layer.op:
            case Convolution() | Linear():
                return self._product(layer.op, layer, x)
            case ChannelConvolution(kernel=kernel):
                casts = (Tensor(kernel * self.width),) if self.width < WIDE else ()
                return self.record(x, size=size, stored=(x, *casts), weights=kernel * WIDE)
            case Norm():
                channels = layer.output.channels
                statistics = Tensor(2 * channels * WIDE)
                scales = 2 * channels * WIDE if self.frozen == "nothing" else 0
                return self.record(x, size=size, stored=(x, statistics), weights=scales)
            case Relu() | Sigmoid():
                output = Tensor(size, self.width)
                return self.record(x, output=output, stored=(output,))
            case Dropout():
                return self.record(x, stored=(Tensor(x.bytes),))
            case MaxPool():
                indices = Tensor(size // self.width * _INDEX)
                return self.record(x, size=size, stored=(x, indices))
            case Subsample(shift=int()):
                parts = [x, self.record(x)]
                return self.joined([self.record(part, size=size // 2, stored=(part,)) for part in parts])
            case AvgPool() | SlidingMean() | Subsample():
                return self.record(x, size=size, stored=(x,))
            case Scale() | ZeroChannels() | GlobalPool():
                return self.record(x, size=size)
            case _:
                assert_never(layer.op)

    def _product(self, op: Product, layer: Layer, x: Tensor) -> Tensor:
        shapes = weights(op, layer.input.channels, layer.output.channels)
        weight, count = prod(shapes["weight"]), sum(map(prod, shapes.values()))
        casts: tuple[Tensor, ...] = ()
        if self.width < WIDE:
            if x.width == WIDE:  # the images
                x = self.record(x, size=x.bytes // WIDE * self.width)
            casts = (Tensor(weight * self.width),)
        workspace, columns = 2 * weight * WIDE, 0  # in the layouts that oneDNN computes in, and that of the gradient
        if self.columns and isinstance(op, Convolution):
            pixels = self._bytes(layer.output) // layer.output.channels
            columns = prod(shapes["weight"][1:]) * op.groups * pixels
            workspace = weight * self.width + columns
        return self.record(
            x,
            size=self._bytes(layer.output),
            stored=(x, *casts),
            weights=count * WIDE,
            workspace=workspace,
            columns=columns,
        )

    def record(
        self,
        *inputs: Tensor,
        output: Tensor | None = None,
        size: int | None = None,
        stored: tuple[Tensor, ...] = (),
        weights: int = 0,
        workspace: int = 0,
        columns: int = 0,
        passes_on: bool = False,
    ) -> Tensor:
        """The output of an operation; by default it is as large as the last input."""
        output = output or Tensor(inputs[-1].bytes if size is None else size, self.width)
        if self.frozen == "everything":
            stored, weights = (), 0
        output.leaf = not weights and all(x.leaf for x in inputs)
        self.operations.append(
            Operation(
                inputs=inputs,
                output=output,
                stored=tuple(tensor.view_of or tensor for tensor in stored),
                weights=weights,
                workspace=workspace,
                columns=columns,
                passes_on=passes_on,
                group=self.group,
            )
        )
        return output

    def _bytes(self, shape: Shape) -> int:
        return self.images * prod(shape) * self.width
