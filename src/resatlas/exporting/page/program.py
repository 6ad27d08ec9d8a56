"""A network in evaluation mode as a list of operations on numbered maps, which a page and a test carry out alike.

Map 0 is the image; operation k makes map k + 1. The operations follow from the plan, with norms folded into
convolutions as in `inference.folding`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
from torch import Tensor

from resatlas.arch import plan
from resatlas.arch.ops import Convolution, GlobalPool, Relu, Shape, Subsample, ZeroChannels, resized
from resatlas.inference.folding import (
    Affine,
    Classify,
    Convolve,
    Plain,
    Step,
    Steps,
    Then,
    as_float64,
    fold,
    fold_bodies,
    steps,
)
from resatlas.nets.layers import GlobalPool2d, ZeroChannelsModule
from resatlas.nets.network import Network

Number = int
"""The number of a map."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Apply:
    """step(x), for a layer with its norm and relu."""

    step: Step
    of: Number


@dataclass(frozen=True, kw_only=True, eq=False)
class Combine:
    """then((share_1·x_1 + … + share_K·x_K) / over)."""

    of: tuple[Number, ...]
    shares: tuple[int, ...]
    over: int = 1
    then: Then = "nothing"


@dataclass(frozen=True, kw_only=True, eq=False)
class Concat:
    """The maps, one after another along the channels."""

    of: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """x[start : start + channels], along the channels."""

    of: Number
    start: int
    channels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Weigh:
    """gate·x, or (1 - gate)·x for the rest; a gate of one pixel is that of every pixel."""

    of: Number
    gate: Number
    by: Literal["gate", "rest"]


Operation = Apply | Combine | Concat | Part | Weigh


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """Operations and the shapes of their maps; the first shape is that of the image, the last map has the logits."""

    operations: tuple[Operation, ...]
    shapes: tuple[Shape, ...]


def program_of(network: Network) -> Program:
    """The operations of a network in evaluation mode, with weights in float64.

    Raises: DesignError if modules of the network have been changed since it was built.
    """
    writer = _Writer(network)
    writer.logits()
    return Program(operations=tuple(writer.operations), shapes=tuple(writer.shapes))


def rounded(program: Program, dtype: torch.dtype) -> Program:
    """The program with its weights rounded to a type; they stay float64 tensors."""
    return replace(program, operations=tuple(_rounded(operation, dtype) for operation in program.operations))


def _rounded(operation: Operation, dtype: torch.dtype) -> Operation:
    match operation:
        case Apply(step=Convolve() | Classify() as step):
            return replace(
                operation, step=replace(step, weight=_near(step.weight, dtype), bias=_near(step.bias, dtype))
            )
        case Apply(step=Affine() as step):
            return replace(
                operation, step=replace(step, scale=_near(step.scale, dtype), shift=_near(step.shift, dtype))
            )
        case _:
            return operation


def _near(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).double()


class _Writer:
    """Operations in the order of the forward pass, and the shapes of all maps."""

    def __init__(self, network: Network) -> None:
        self.plan = network.checked_plan()
        self.modules = dict(network.named_modules())
        self.operations: list[Operation] = []
        self.shapes: list[Shape] = [self.plan.image]

    def logits(self) -> None:
        """Write the whole network; the last operation makes the logits."""
        stems = [self._chain(path, self.plan.stem, 0) for path in plan.end_paths("stem", self.plan.stems)]
        streams = stems * (len(self.plan.stages[0][0].streams) // len(stems))
        for path, unit in self.plan.units:
            streams = self._unit(path, unit, streams)
        paths = plan.end_paths("head", self.plan.heads)
        if len(paths) == 1:
            self._chain(paths[0], self.plan.head, self._concat(streams))
            return
        logits = [self._chain(path, self.plan.head, x) for path, x in zip(paths, streams, strict=True)]
        self._combine(logits, over=len(logits))

    def _unit(self, path: str, unit: plan.Unit, streams: Sequence[Number]) -> list[Number]:
        """The maps after a unit."""
        if unit.skip == "own":
            residual, shortcut = self._stream(path, unit.streams[0], streams[0])
            terms = [residual] if shortcut is None else [residual, shortcut]
            return [self._after_sum(path, unit, terms)]
        paths = [f"{path}.streams.{k}" for k in range(len(unit.streams))]
        divided = [self._stream(at, stream, x) for at, stream, x in zip(paths, unit.streams, streams, strict=True)]
        residuals = [residual for residual, _ in divided]
        shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]
        others = self._mixed(path, unit, shortcuts) if shortcuts else []
        if unit.joined:
            return [self._after_sum(path, unit, [*residuals, *others])]
        sums = list(zip(residuals, others, strict=True)) if others else [(residual,) for residual in residuals]
        return [self._after_sum(at, unit, terms) for at, terms in zip(paths, sums, strict=True)]

    def _mixed(self, path: str, unit: plan.Unit, shortcuts: list[Number]) -> list[Number]:
        """What the shortcuts of all streams add, as `nets.unit.StreamsUnit`; equal rows are computed once."""
        projector = self.modules.get(f"{path}.projector")
        if projector is not None:
            size = self.shapes[shortcuts[0]].channels
            matrix = as_float64(projector.get_buffer("matrix"))
            projected = self._convolve(self._concat(shortcuts), matrix[:, :, None, None])
            shortcuts = [self._part(projected, k * size, size) for k in range(len(shortcuts))]
        matrix = unit.mixing_after_projector
        rows = {row: self._combine(shortcuts, row, matrix.over) for row in dict.fromkeys(matrix.rows)}
        return [rows[row] for row in matrix.rows]

    def _after_sum(self, path: str, unit: plan.Unit, terms: Sequence[Number]) -> Number:
        chain = self._steps(f"{path}.after_sum", unit.after_sum)
        if chain and _is_relu(chain[0]):
            return self._fold(chain[1:], self._combine(terms, then="relu"))
        return self._fold(chain, self._combine(terms))

    def _stream(self, path: str, planned: plan.Stream, x: Number) -> tuple[Number, Number | None]:
        """The residual and the shortcut of x, as `nets.unit.Unit.divide`."""
        first = self._steps(f"{path}.first", planned.first)
        bodies = [
            self._steps(f"{path}.{name}", body)
            for name, body in zip(plan.body_names(planned), planned.bodies, strict=True)
        ]
        inside = len(bodies) == 1 and (planned.shortcut is None or planned.reads == "input")
        activated = x if inside else self._fold(first, x)
        if inside:  # nothing else reads what the first layers make
            bodies = [(*first, *bodies[0])]
        merged = self._steps(f"{path}.merged", planned.merged)
        if planned.attention:
            maps = self._bodies(bodies, (), planned.merge, activated)
            weight = self._chain(f"{path}.attention", planned.attention, self._mean(maps))
            residual = self._fold(merged, self._weigh(maps, weight, "gate"))
        else:
            residual = self._bodies(bodies, merged, planned.merge, activated)
        if planned.shortcut is None:
            return residual, None
        shortcut = self._chain(f"{path}.shortcut", planned.shortcut, activated if planned.reads != "input" else x)
        if not planned.gate:
            return residual, shortcut
        gate = self._chain(f"{path}.gate", planned.gate, shortcut)
        if planned.gated == "both":
            residual = self._weigh(residual, gate, "gate")
        return residual, self._weigh(shortcut, gate, "rest")

    def _bodies(self, bodies: list[Steps], merged: Steps, merge: plan.Merge, x: Number) -> Number:
        if len(bodies) == 1:
            return self._fold((*bodies[0], *merged), x)
        if merge in ("slices", "cascade"):
            return self._fold(merged, self._sliced(bodies, x, joins=merge == "cascade"))
        chains, rest = fold_bodies(list(map(fold, bodies)), fold(merged), merge=merge)
        outputs = [self._fold(chain, x) for chain in chains]
        return self._fold(rest, self._combine(outputs) if merge == "sum" else self._concat(outputs))

    def _sliced(self, bodies: list[Steps], x: Number, *, joins: bool) -> Number:
        """The outputs of bodies that read slices of x, one after another along the channels."""
        size = self.shapes[x].channels // len(bodies)
        outputs: list[Number] = []
        for k, body in enumerate(bodies):
            part = self._part(x, k * size, size)
            inside = joins and 0 < k < len(bodies) - 1
            outputs.append(self._fold(body, self._combine((part, outputs[-1])) if inside else part))
        return self._concat(outputs)

    def _steps(self, path: str, chain: plan.Chain) -> Steps:
        return steps(path, chain, self.modules)

    def _chain(self, path: str, chain: plan.Chain, x: Number) -> Number:
        return self._fold(self._steps(path, chain), x)

    def _fold(self, chain: Steps, x: Number) -> Number:
        for step in fold(chain):
            x = self._add(Apply(step=step, of=x), _shape_after(step, self.shapes[x]))
        return x

    def _convolve(self, x: Number, weight: Tensor) -> Number:
        """A 1x1 convolution of x."""
        shape = self.shapes[x]
        step = Convolve(op=Convolution(1), input=shape, weight=weight, bias=as_float64(None, len(weight)))
        return self._add(Apply(step=step, of=x), _shape_after(step, shape))

    def _combine(
        self, of: Sequence[Number], shares: Sequence[int] = (), over: int = 1, then: Then = "nothing"
    ) -> Number:
        """The sum of the maps by their shares; a single map is not copied."""
        pairs = [(x, share) for x, share in zip(of, shares or (1,) * len(of), strict=True) if share]
        if len(pairs) == 1 and pairs[0][1] == over and then == "nothing":
            return pairs[0][0]
        maps, shares = zip(*pairs, strict=True)
        return self._add(Combine(of=maps, shares=shares, over=over, then=then), self.shapes[maps[0]])

    def _concat(self, of: Sequence[Number]) -> Number:
        if len(of) == 1:
            return of[0]
        channels = sum(self.shapes[x].channels for x in of)
        return self._add(Concat(of=tuple(of)), self.shapes[of[0]]._replace(channels=channels))

    def _part(self, of: Number, start: int, channels: int) -> Number:
        return self._add(Part(of=of, start=start, channels=channels), self.shapes[of]._replace(channels=channels))

    def _mean(self, of: Number) -> Number:
        step = Plain(GlobalPool(), GlobalPool2d())
        return self._add(Apply(step=step, of=of), _shape_after(step, self.shapes[of]))

    def _weigh(self, of: Number, gate: Number, by: Literal["gate", "rest"]) -> Number:
        return self._add(Weigh(of=of, gate=gate, by=by), self.shapes[of])

    def _add(self, operation: Operation, shape: Shape) -> Number:
        self.operations.append(operation)
        self.shapes.append(shape)
        return len(self.operations)


def _is_relu(step: Step) -> bool:
    return isinstance(step, Plain) and isinstance(step.op, Relu)


def _shape_after(step: Step, shape: Shape) -> Shape:
    match step:
        case Convolve(op=op, weight=weight):
            return resized(op, shape)._replace(channels=len(weight))
        case Affine():
            return shape
        case Classify(weight=weight):
            return Shape(len(weight), 1, 1)
        case Plain(op=ZeroChannels(), module=ZeroChannelsModule(before=before, after=after)):
            return shape._replace(channels=before + shape.channels + after)
        case Plain(op=Subsample(shift=int()) as op):
            return resized(op, shape)._replace(channels=2 * shape.channels)
        case Plain(op=op):
            return resized(op, shape)
        case _:
            assert_never(step)
