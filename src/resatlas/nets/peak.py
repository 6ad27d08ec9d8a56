"""The most memory that the forward and the backward pass of a training step need at once, from its tape.

The passes run without values, as torch's autograd runs them: it frees a tensor after its last use, and what an
operation stores after the operation's backward pass; it makes the gradient of a map when it comes to it, and keeps
those of the weights. Needs no torch.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from math import isqrt
from typing import Literal, NamedTuple, assert_never, get_args

from resatlas.nets.tape import Operation, Tape, Tensor

Kept = Literal["all", "convolutions", "units", "segments"]
"""Which maps a forward pass stores.

all; those after convolutions and sums, not those that a norm or a relu makes for a convolution; those between units; or
those between segments of about sqrt(n) units.
"""

RECOMPUTING: tuple[Kept, ...] = get_args(Kept)[1:]
"""All but the first, which recomputes nothing."""


class Part(NamedTuple):
    """Consecutive operations, and whether the backward pass runs them again instead of storing their maps."""

    operations: Sequence[Operation]
    again: bool = False


def parts(tape: Tape, *, kept: Kept) -> Iterator[Part]:
    """The parts of a pass, as `nets.recomputing` divides the units of each stage."""
    yield Part(tape.stem)
    for stage in tape.stages:
        if stage is tape.stages[-1]:
            yield Part(tape.before_last)
        match kept:
            case "convolutions":
                together = [operation for unit in stage for operation in unit]
                for group, operations in groupby(together, key=lambda operation: operation.group):
                    yield Part(list(operations), again=group != 0)
                continue
            case "all":
                size = len(stage)
            case "units":
                size = 1
            case "segments":
                size = isqrt(len(stage))
            case _:
                assert_never(kept)
        for begin in range(0, len(stage), size):
            units = stage[begin : begin + size]
            yield Part([operation for unit in units for operation in unit], again=kept != "all")
    yield Part(tape.head)


class Peak(NamedTuple):
    """Bytes at the moment at which a pass needs most: maps with their gradients, and gradients of weights.

    `largest` are those of the largest map, `columns` the sum of all inputs of convolutions that are written out.
    """

    maps: int
    gradients: int
    largest: int = 0
    columns: int = 0

    @property
    def total(self) -> int:
        """All bytes of that moment."""
        return self.maps + self.gradients


def peak(tape: Tape, *, kept: Kept = "all", accumulates: bool = False) -> Peak:
    """The memory of both passes at its largest, without the images.

    With `accumulates` the weights have gradients from the start, those of an earlier pass of the same step.
    """
    divided = list(parts(tape, kept=kept))
    memory = _Memory(accumulates=accumulates)
    if accumulates:
        memory.gradients = sum(operation.weights for part in divided for operation in part.operations)
    memory.uses.update(tensor for part in divided for operation in part.operations for tensor in operation.inputs)
    for _ in range(2):  # for the loop, whose batch it is, and for the pass
        memory.hold(tape.images)
    for part in divided:
        if part.again:
            for tensor in _entering(part):
                memory.hold(tensor)
        memory.forward(part.operations, stores=not part.again)
    for part in reversed(divided):
        copies = _made_twice(part) if part.again else []
        for tensor in copies:
            memory.hold(tensor)
        if part.again:
            memory.uses.update(tensor for operation in part.operations for tensor in operation.inputs)
            memory.forward(part.operations, stores=True, again=True)
        memory.backward(part.operations)
        for tensor in copies:
            memory.release(tensor)
        if part.again:
            for tensor in _entering(part):
                memory.release(tensor)
    operations = [operation for part in divided for operation in part.operations]
    return Peak(
        maps=memory.most.maps - tape.images.bytes,
        gradients=memory.most.gradients,
        largest=max(operation.output.bytes for operation in operations),
        columns=sum(operation.columns for operation in operations),
    )


def peak_without_gradients(tape: Tape) -> int:
    """The most bytes of maps in a forward pass that stores nothing, such as that of a test; without the images.

    The calls that run a stage and a unit hold what they were called with: the first and each later one until it ends.
    """
    memory, whole = _Memory(accumulates=False), Part(list(tape.all))
    memory.uses.update(tensor for operation in whole.operations for tensor in operation.inputs)
    for _ in range(2):
        memory.hold(tape.images)
    memory.forward(tape.stem, stores=False)
    stages = [Part([operation for unit in stage for operation in unit]) for stage in tape.stages]
    with memory.holding(_entering(stages[0])):
        for stage, part in zip(tape.stages, stages, strict=True):
            if stage is tape.stages[-1]:
                memory.forward(tape.before_last, stores=False)
            with memory.holding(_entering(part)):
                for unit in stage:
                    with memory.holding(_entering(Part(unit))):
                        memory.forward(unit, stores=False)
    memory.forward(tape.head, stores=False)
    return memory.most.maps - tape.images.bytes


def _entering(part: Part) -> list[Tensor]:
    """The tensors that a part reads and does not make."""
    made = {operation.output for operation in part.operations}
    return [x for x in dict.fromkeys(x for operation in part.operations for x in operation.inputs) if x not in made]


def _made_twice(part: Part) -> list[Tensor]:
    """Copies of the outputs of a part that runs again and stores them: the first are held by the part after it."""
    read = {x for operation in part.operations for x in operation.inputs}
    stored = {x for operation in part.operations for x in operation.stored}
    return [Tensor(op.output.bytes) for op in part.operations if op.output in stored and op.output not in read]


def _stop(operations: Sequence[Operation]) -> Operation | None:
    """The last of operations that run again, if it is not computed, since it only stores its inputs."""
    last = operations[-1]
    return None if not last.stored or last.output in last.stored else last


@dataclass(eq=False)
class _Memory:
    """The tensors that are held, how often, and the moment at which there were most bytes of them."""

    accumulates: bool
    live: int = 0
    gradients: int = 0
    most: Peak = field(default_factory=lambda: Peak(0, 0))
    holds: Counter[Tensor] = field(default_factory=Counter)
    uses: Counter[Tensor] = field(default_factory=Counter)
    gradient_of: dict[Tensor, Tensor] = field(default_factory=dict)

    def hold(self, tensor: Tensor) -> None:
        if not self.holds[tensor]:
            self.live += tensor.bytes
        self.holds[tensor] += 1

    def release(self, tensor: Tensor) -> None:
        self.holds[tensor] -= 1
        if not self.holds[tensor]:
            self.live -= tensor.bytes
            del self.holds[tensor]

    @contextmanager
    def holding(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Hold tensors within the context."""
        for tensor in tensors:
            self.hold(tensor)
        yield
        for tensor in tensors:
            self.release(tensor)

    def note(self, extra: int = 0) -> None:
        """Note the memory of this moment, with the bytes of an operation that runs."""
        self.most = max(self.most, Peak(self.live + extra, self.gradients), key=lambda moment: moment.total)

    def forward(self, operations: Sequence[Operation], *, stores: bool, again: bool = False) -> None:
        """Run operations; the last output is held, unless they run again, until all that they store is there."""
        stop = _stop(operations) if again else None
        outputs = {operation.output for operation in operations}
        read = {tensor for operation in operations for tensor in operation.inputs}
        for operation in operations:
            if operation is not stop:
                self.hold(operation.output)
            for tensor in operation.stored:
                self.hold(tensor)
            self.note(operation.workspace)
            if not stores:
                for tensor in operation.stored:
                    self.release(tensor)
            for tensor in operation.inputs:
                self.uses[tensor] -= 1
                if not self.uses[tensor] and self.holds[tensor] and not (again and tensor not in outputs):
                    self.release(tensor)
        if again:
            for tensor in outputs - read - ({stop.output} if stop else set()):
                self.release(tensor)

    def backward(self, operations: Sequence[Operation]) -> None:
        """Run the backward pass of operations, last first; the loss has the gradient of an output without one."""
        for operation in reversed(operations):
            if operation.output not in self.gradient_of:
                self.gradient_of[operation.output] = Tensor(operation.output.bytes)
                self.hold(self.gradient_of[operation.output])
            gradient = self.gradient_of.pop(operation.output)
            new: dict[Tensor, Tensor] = {}
            for tensor in dict.fromkeys(tensor for tensor in operation.inputs if not tensor.leaf):
                new[tensor] = gradient if operation.passes_on else Tensor(tensor.bytes)
                self.hold(new[tensor])
            if not self.accumulates:
                self.gradients += operation.weights
            self.note(operation.workspace + (operation.weights if self.accumulates else 0))
            for tensor, part in new.items():
                self._add(tensor, part)
            self.release(gradient)
            for tensor in operation.stored:
                self.release(tensor)

    def _add(self, tensor: Tensor, part: Tensor) -> None:
        """Add a part to the gradient of a tensor: in place, unless the sum so far is the gradient of others too."""
        before = self.gradient_of.get(tensor)
        if before is None:
            self.gradient_of[tensor] = part
        elif self.holds[before] == 1:
            self.note()
            self.release(part)
        else:
            total = Tensor(tensor.bytes)
            self.hold(total)
            self.note()
            self.release(before)
            self.release(part)
            self.gradient_of[tensor] = total
