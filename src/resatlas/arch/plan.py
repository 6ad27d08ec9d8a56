"""A plan: a network with every width, stride, path and operation fixed.

Plans are printed, counted, stored, compared, rewritten and built. The paths of layers are the module names of the built
network and the prefixes of its weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, TypeVar

from resatlas.arch.blueprint import MOST_UNITS, Initial
from resatlas.arch.ops import Op, Shape
from resatlas.arch.streams import Adds, Join, Mixing, averaged, mixing
from resatlas.errors import BlueprintError
from resatlas.values.codec import LATER, decode, encode

SCHEMA = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation with its role, its input shape and its output shape."""

    role: str
    op: Op
    input: Shape
    output: Shape


Chain = tuple[Layer, ...]

Merge = Literal["sum", "concat", "slices", "cascade"]
"""How bodies are one tensor; slices, cascade: each reads one slice of the channels, see `arch.residual.Merge`.

In a cascade all but the first and the last body also read the output of the body before.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """x -> (merged(h·attention(mean of h)), shortcut(x or first(x))), where h = merge(body(first(x)), …).

    An empty `shortcut` is the identity; None means no shortcut. An empty `attention` is 1; its mean is over all
    positions. A `gate` reads the output s of the shortcut:
    the second value is then (1 - gate(s)) · s, and with `gated` "both" the first is multiplied by gate(s).
    """

    first: Chain
    bodies: tuple[Chain, ...]
    merge: Merge
    merged: Chain
    shortcut: Chain | None
    reads: Literal["input", "pre-activated"]
    gate: Chain = ()
    gated: Literal["both", "shortcut"] = "both"
    attention: Chain = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One residual unit of one or more streams.

    With `skip` "own" there is one stream, which adds its own shortcut; otherwise `skip` is the rule of the streams.
    `join` is set on the last unit of streams. `input` and `output` are shapes of a stream.
    """

    input: Shape
    output: Shape
    stride: int
    streams: tuple[Stream, ...]
    skip: Adds
    join: Join | None
    after_sum: Chain

    @property
    def outcomes(self) -> int:
        """The number of output tensors of the unit."""
        return 1 if self.joined else len(self.streams)

    @property
    def joined(self) -> bool:
        """Whether the streams are added to one tensor before `after_sum`."""
        return self.join in ("merge", "sum")

    @property
    def mixing(self) -> Mixing:
        """The matrix of what each stream adds to its body from the shortcuts of all."""
        return mixing(self.skip, len(self.streams))

    @property
    def added(self) -> Mixing:
        """What is added to the bodies: one row per stream, or the mean of the rows if the streams are merged."""
        return averaged(self.mixing) if self.join == "merge" else self.mixing

    @property
    def mixing_after_projector(self) -> Mixing:
        """The matrix that mixes the shortcuts, after the projector if there is one, for the sum with the bodies.

        After a projector, only the mean of a merge remains. If all streams are summed, the identity has the same
        result, since each column of the matrix adds up to 1.
        """
        projected = self.mixing.channels == "projected" and self.join != "merge"
        return mixing("identity", len(self.streams)) if projected or self.join == "sum" else self.added


Stage = tuple[Unit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network for one image shape and number of classes; 0 classes omit the classifier.

    With several `stems` or `heads`, each stream has its own; the logits of several heads are averaged.
    """

    image: Shape
    classes: int
    stem: Chain
    stages: tuple[Stage, ...]
    head: Chain
    initial: Initial
    stems: int = 1
    heads: int = 1

    @property
    def units(self) -> Iterator[tuple[str, Unit]]:
        """All units with their paths, in order."""
        for s, stage in enumerate(self.stages):
            for u, unit in enumerate(stage):
                yield f"stages.{s}.{u}", unit


def of_units(plan: Plan, make: Callable[[Unit], T]) -> Iterator[tuple[str, Unit, T]]:
    """All units in order, with their paths and what is made of each, once for equal units: they are one object."""
    made: dict[int, T] = {}
    for path, unit in plan.units:
        if id(unit) not in made:
            made[id(unit)] = make(unit)
        yield path, unit, made[id(unit)]


def layers(plan: Plan) -> Iterator[tuple[str, Layer]]:
    """All layers with their full paths, in the order of the forward pass."""
    for path in end_paths("stem", plan.stems):
        yield from _under(path, plan.stem)
    for path, unit in plan.units:
        for role, layer in unit_layers(unit):
            yield f"{path}.{role}", layer
    for path in end_paths("head", plan.heads):
        yield from _under(path, plan.head)


def end_paths(end: Literal["stem", "head"], count: int) -> tuple[str, ...]:
    """stem, or stems.0, stems.1, … if each stream has its own; the same for heads."""
    return (end,) if count == 1 else tuple(f"{end}s.{k}" for k in range(count))


def unit_layers(unit: Unit) -> Iterator[tuple[str, Layer]]:
    """All layers of a unit with their paths inside the unit."""
    for prefix, stream in zip(stream_prefixes(unit), unit.streams, strict=True):
        yield from _under(f"{prefix}first", stream.first)
        for body, chain in zip(body_names(stream), stream.bodies, strict=True):
            yield from _under(f"{prefix}{body}", chain)
        yield from _under(f"{prefix}attention", stream.attention)
        yield from _under(f"{prefix}merged", stream.merged)
        yield from _under(f"{prefix}shortcut", stream.shortcut or ())
        yield from _under(f"{prefix}gate", stream.gate)
    for prefix in ("",) if unit.joined else stream_prefixes(unit):
        yield from _under(f"{prefix}after_sum", unit.after_sum)


def stream_prefixes(unit: Unit) -> tuple[str, ...]:
    """The prefixes of roles: "" in a network with one stream, else streams.0., streams.1., …."""
    if unit.skip == "own":
        return ("",)
    return tuple(f"streams.{k}." for k in range(len(unit.streams)))


def body_names(stream: Stream) -> tuple[str, ...]:
    """body, or bodies.0, bodies.1, … if there are several."""
    if len(stream.bodies) == 1:
        return ("body",)
    return tuple(f"bodies.{index}" for index in range(len(stream.bodies)))


def sliced(stream: Stream) -> bool:
    """Whether each body reads a slice of the channels of first(x)."""
    return stream.merge in ("slices", "cascade")


def joins_body_before(stream: Stream, body: int) -> bool:
    """Whether a body also reads the output of the body before it."""
    return stream.merge == "cascade" and 0 < body < len(stream.bodies) - 1


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values; equal consecutive units of a stage are written once, with their number."""
    whole = {"schema": SCHEMA, **encode(replace(plan, stages=()))}
    whole["stages"] = [
        [{"times": len(list(same)), "unit": encode(unit)} for unit, same in groupby(stage)] for stage in plan.stages
    ]
    return whole


def from_json(data: object) -> Plan:
    """The plan that `to_json` wrote.

    Raises: BlueprintError if the data are not those of a plan of this schema.
    """
    table: dict[str, Any] = dict(data) if isinstance(data, dict) else {"schema": type(data).__name__}
    if table.get("schema") != SCHEMA:
        raise BlueprintError(f"a plan has schema {SCHEMA}; got {str(table.get('schema'))[:20]}")
    bare = decode(Plan, {**{key: value for key, value in table.items() if key != "schema"}, "stages": []}, where="plan")
    runs = tuple(tuple(_run(run) for run in stage) for stage in _list(table.get("stages")))
    if not (bare.stem and bare.head and runs and all(runs)):
        raise BlueprintError("a plan has a stem, a head, and a unit in every stage")
    return replace(bare, stages=tuple(tuple(unit for run in stage for unit in run) for stage in runs))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(stage, list) for stage in value):
        raise BlueprintError('stages of a plan are lists of {"times": …, "unit": …}')
    return value


def _run(run: object) -> Stage:
    """Equal consecutive units, decoded once."""
    table = decode(_Repeated, run, where="plan.stages")
    if not 1 <= table.times <= MOST_UNITS:
        raise BlueprintError(f"a unit of a plan occurs 1 to {MOST_UNITS:,} times; got {table.times}")
    return (table.unit,) * table.times


@dataclass(frozen=True, kw_only=True)
class _Repeated:
    times: int
    unit: Unit


def _under(path: str, chain: Chain) -> Iterator[tuple[str, Layer]]:
    for layer in chain:
        yield f"{path}.{layer.role}", layer
