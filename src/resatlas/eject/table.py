"""The table of units: one row for each sequence of equal units in a stage, and the modules that its words name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Literal, NamedTuple

from resatlas.arch.ops import AvgPool, ChannelConvolution, Convolution, Subsample, ZeroChannels
from resatlas.arch.plan import Chain, Layer, Plan, Stream, Unit, sliced
from resatlas.arch.residual import ChannelAttention
from resatlas.eject.layers import IDENTITY, chain_call, own_groups, own_stride
from resatlas.eject.printing import Call, docstring, indented
from resatlas.errors import DesignError


class Part(NamedTuple):
    """A part that may differ between units: a word for each unit, and the module of each word."""

    name: str
    words: tuple[str, ...]
    modules: Mapping[str, Call]

    @property
    def varies(self) -> bool:
        """Whether the part is a column of the table."""
        return len(self.modules) > 1

    @property
    def absent(self) -> bool:
        """Whether no unit has layers here."""
        return set(self.modules.values()) == {IDENTITY}


@dataclass(frozen=True, kw_only=True)
class UnitTable:
    """The units of a network: the parts in which they may differ, and the modules that they have in common."""

    units: tuple[Unit, ...]
    stages: tuple[int, ...]
    inner: Mapping[Fraction, str]
    first: Part
    shortcut: Part
    reads: Part
    join: Part
    merge: Part
    body: Call
    merged: Call
    gate: Call
    attention: Call
    after_sum: Call

    @property
    def stream(self) -> Stream:
        """A stream of the last unit, for everything that does not vary."""
        return self.units[-1].streams[0]

    @property
    def columns(self) -> tuple[Part, ...]:
        """The parts in which units differ."""
        return tuple(part for part in (self.first, self.shortcut, self.reads, self.join, self.merge) if part.varies)

    @property
    def several_streams(self) -> bool:
        """Whether units map a list of tensors to a list of tensors."""
        return self.units[0].skip != "own"

    @property
    def plain(self) -> bool:
        """Whether no unit has a shortcut."""
        return set(self.shortcut.words) == {"none"}

    def inner_widths(self, chains: Iterable[Chain]) -> list[str]:
        """The lines that compute the inner widths of these chains, other than the width of the unit."""
        used = {_share(self.units[-1], layer.output) for chain in chains for layer in chain}
        return [f"{name} = {_of_width(share)}" for share, name in self.inner.items() if share in used]


def unit_table(plan: Plan) -> UnitTable:
    """The table of a plan.

    Raises: DesignError if units differ in a way that the table cannot express.
    """
    units = tuple(unit for _, unit in plan.units)
    streams = tuple(unit.streams[0] for unit in units)
    inner = _inner(units)
    return UnitTable(
        units=units,
        stages=tuple(map(len, plan.stages)),
        inner=inner,
        first=_part(
            "first",
            ["layers" if stream.first else "none" for stream in streams],
            [chain_call(unit.streams[0].first, "row.inputs", _width_text(unit, inner)) for unit in units],
        ),
        shortcut=_part("shortcut", list(map(_shortcut_word, streams)), _shortcuts(streams)),
        reads=_part("reads", _reads(streams), [IDENTITY] * len(units)),
        join=_part("join", [(unit.join if unit.joined else None) or "none" for unit in units], [IDENTITY] * len(units)),
        merge=_part("merge", [stream.merge for stream in streams], list(map(_last_body, streams))),
        body=_same(_bodies(units, inner)),
        merged=_same([_merged(unit, inner) for unit in units]),
        gate=_same(
            [chain_call(stream.gate, "row.width", lambda _: "row.width") for stream in streams if stream.gate]
            or [IDENTITY]
        ),
        attention=_attention(units),
        after_sum=_same([chain_call(unit.after_sum, "row.width") for unit in units]),
    )


def _part(name: str, words: Sequence[str], modules: Sequence[Call]) -> Part:
    pairs = list(zip(words, modules, strict=True))
    calls = {word: _same([module for other, module in pairs if other == word]) for word in words}
    return Part(name, tuple(words), calls)


def _same(calls: Sequence[Call]) -> Call:
    if len(set(calls)) > 1:
        raise DesignError(
            "the units of this network differ in more than a table of units can express; it cannot be ejected"
        )
    return calls[0]


def _share(unit: Unit, shape: Sequence[int]) -> Fraction:
    return Fraction(shape[0], unit.output.channels)


def _inner(units: Sequence[Unit]) -> dict[Fraction, str]:
    """A name for each width inside a unit, as a share of the unit's width, other than 1."""
    shares = {
        _share(unit, layer.output)
        for unit in units
        for chain in (unit.streams[0].first, *unit.streams[0].bodies, unit.streams[0].merged)
        for layer in chain
        if isinstance(layer.op, Convolution)
    }
    parts = sorted(shares - {Fraction(1)})
    return {share: "inner" if len(parts) == 1 else f"inner{number}" for number, share in enumerate(parts, 1)}


def _of_width(share: Fraction) -> str:
    """A share of the width as text: `row.width // 4`, `2 * row.width` or `row.width * 5 // 16`."""
    if share.denominator == 1:
        return "row.width" if share == 1 else f"{share.numerator} * row.width"
    times = f" * {share.numerator}" if share.numerator > 1 else ""
    return f"row.width{times} // {share.denominator}"


def _width_text(unit: Unit, inner: Mapping[Fraction, str]) -> Callable[[int], str]:
    def name(channels: int) -> str:
        share = _share(unit, (channels,))
        return inner.get(share) or _of_width(share)

    return name


def _bodies(units: Sequence[Unit], inner: Mapping[Fraction, str]) -> list[Call]:
    """The body of each unit; a convolution with a stride in any unit has the stride of the row."""
    chains = [unit.streams[0].bodies[0] for unit in units]
    strided = {layer.role for chain in chains for layer in chain if own_stride(layer) != "1"}

    grouped: dict[str, list[Layer]] = {}
    for chain in chains:
        for layer in chain:
            grouped.setdefault(layer.role, []).append(layer)

    def stride(layer: Layer) -> str:
        return "row.stride" if layer.role in strided else "1"

    def groups(layer: Layer, width: str) -> str:
        return _groups(grouped[layer.role], width) or own_groups(layer, width)

    return [
        chain_call(chain, _body_inputs(unit, inner), _width_text(unit, inner), stride, groups)
        for unit, chain in zip(units, chains, strict=True)
    ]


def _body_inputs(unit: Unit, inner: Mapping[Fraction, str]) -> str:
    """The text of the channels that a body reads: those of the unit's input, or of a slice."""
    stream = unit.streams[0]
    return _width_text(unit, inner)(stream.bodies[0][0].input.channels) if sliced(stream) else "row.inputs"


def _last_body(stream: Stream) -> Call:
    """The module of the last slice; the identity elsewhere."""
    match stream.bodies[-1] if sliced(stream) else ():
        case (Layer(op=AvgPool(kernel=kernel)),):
            return Call("nn.AvgPool2d", (str(kernel), "stride=row.stride", f"padding={(kernel or 0) // 2}"))
        case _:
            return IDENTITY


def _groups(layers: Sequence[Layer], width: str) -> str | None:
    """The groups of a convolution by their common width, if their number differs between units."""
    counts = {(layer.output.channels, layer.op.groups) for layer in layers if isinstance(layer.op, Convolution)}
    if len({groups for _, groups in counts}) < 2:
        return None
    size = max(channels // groups for channels, groups in counts)
    if any(max(channels // size, 1) != groups for channels, groups in counts):
        return None
    return f"max({width} // {size}, 1)" if any(channels < size for channels, _ in counts) else f"{width} // {size}"


def _merged(unit: Unit, inner: Mapping[Fraction, str]) -> Call:
    chain = unit.streams[0].merged
    if not chain:
        return IDENTITY
    inputs = _of_width(_share(unit, chain[0].input))
    return chain_call(chain, inputs, _width_text(unit, inner))


def _attention(units: Sequence[Unit]) -> Call:
    """The attention of the units, with its widths as shares of the unit's width or of its input's."""
    if not any(unit.streams[0].attention for unit in units):
        return IDENTITY
    by_width, by_inputs = (
        [_attention_call(unit, whole, getattr(unit, whole).channels) for unit in units] for whole in ("output", "input")
    )
    return _same(by_width if len(set(by_width)) == 1 else by_inputs)


def _attention_call(unit: Unit, whole: Literal["output", "input"], channels: int) -> Call:
    """The attention of a unit with its hidden width as a share of the unit's output or input."""
    chain = unit.streams[0].attention
    inputs = _of_width(_share(unit, chain[0].input))
    if isinstance(chain[0].op, ChannelConvolution):
        if chain[0].op.kernel != ChannelAttention().kernel(chain[0].input.channels):
            raise DesignError("a convolution along the channels with another number of weights cannot be ejected")
        return chain_call(chain, inputs)
    text = "row.width" if whole == "output" else "row.inputs"
    hidden = _of_width(Fraction(chain[0].output.channels, channels)).replace("row.width", text)

    widths = iter((hidden, inputs))
    return chain_call(chain, inputs, lambda _: next(widths))


def _shortcut_word(stream: Stream) -> str:
    match stream.shortcut:
        case None:
            return "none"
        case (Layer(op=Convolution()), *_):
            return "projection"
        case (Layer(op=AvgPool()), Layer(op=Convolution()), *_):
            return "pooled"
        case (Layer(op=Subsample(shift=int())), Layer(op=Convolution()), *_):
            return "shifted"
        case (Layer(op=AvgPool() | Subsample() | ZeroChannels()), *_):
            return "zeros"
        case _:
            return "identity"


def _shortcuts(streams: Sequence[Stream]) -> list[Call]:
    """The shortcut of each stream; a projection has the stride of the row if any has a stride."""
    strided = any(own_stride(layer) != "1" for stream in streams for layer in stream.shortcut or ())
    return [_shortcut(stream, "row.stride" if strided else "1") for stream in streams]


def _shortcut(stream: Stream, stride: str) -> Call:
    word = _shortcut_word(stream)
    inputs = "row.inputs" if word in ("projection", "pooled", "shifted") else "row.width"
    step = "1" if word == "pooled" else stride
    return chain_call(stream.shortcut or (), inputs, lambda _: "row.width", lambda _: step)


def _reads(streams: Sequence[Stream]) -> list[str]:
    """The input of each unit's shortcut; units for which it makes no difference have the word of the others."""
    words = [
        "first" if stream.reads == "pre-activated" else "x" if stream.first and stream.shortcut is not None else None
        for stream in streams
    ]
    needed = {word for word in words if word}
    default = "first" if needed == {"first"} else "x"
    return [word or default for word in words]


def row_class(table: UnitTable) -> str:
    """The text of the class of a row."""
    comments = {
        "first": "before the body: layers or none",
        "shortcut": " or ".join(dict.fromkeys(table.shortcut.words)),
        "reads": "input of the shortcut: x or first, which is first(x)",
        "join": "how the streams are added after the unit, or none",
        "merge": "whether a body also reads the output of the body before: cascade, or slices, where none does",
    }
    fields = [
        "units: int",
        "inputs: int  # input channels",
        "width: int  # output channels",
        "stride: int",
        *(f"{part.name}: str  # {comments[part.name]}" for part in table.columns),
    ]
    return "\n".join(
        ["class Row(NamedTuple):", *indented([*docstring("A sequence of equal residual units."), "", *fields])]
    )


def rows(table: UnitTable) -> str:
    """The text of the table, stage by stage."""
    lines = ["STAGES = ["]
    indices = iter(range(len(table.units)))
    for number, count in enumerate(table.stages, 1):
        stage = [next(indices) for _ in range(count)]
        shape = table.units[stage[-1]].output
        lines.append(f"    [  # stage {number}: maps of {shape.height}x{shape.width}")
        for row, units in groupby(stage, lambda index: _row(table, index)):
            lines.append(f"        {Call('Row', (str(len(list(units))), *row))},")
        lines.append("    ],")
    return "\n".join([*lines, "]"])


def _row(table: UnitTable, index: int) -> tuple[str, ...]:
    unit = table.units[index]
    numbers = (unit.input.channels, unit.output.channels, unit.stride)
    return (*map(str, numbers), *(f'"{part.words[index]}"' for part in table.columns))
