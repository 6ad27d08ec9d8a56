"""A drawing of a network unit by unit, from its plan: depth from left to right, width as height."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, Literal

from resatlas.arch.cost import Cost, cost, total_cost, unit_cost
from resatlas.arch.ops import Convolution, Role, Shape
from resatlas.arch.paths import passed
from resatlas.arch.plan import Chain, Plan, Stream, Unit, end_paths, of_units, sliced
from resatlas.arch.streams import RULES
from resatlas.arch.text import copies, operations
from resatlas.comparing.words import presentable
from resatlas.page.chart import complete_chart
from resatlas.page.drawing_layers import layers
from resatlas.page.figure import Spec
from resatlas.values.language import known, numbered, said

KINDS = {
    "identity": "#56b4e9",
    "zero-padded": "#e69f00",
    "projected": "#d55e00",
    "subsampled": "#0072b2",
    "scaled": "#009e73",
    "gated": "#cc79a7",
    "dropout": "#b8a800",
    "norm or activation": "#7f4f24",
    "no shortcut": "#b5b5b5",
    "stem or head": "#4a4a4a",
}
"""The kinds of shortcuts and their colours: the palette of Okabe and Ito with a darker yellow; greys for the rest."""

_MARKED = ("gated", "scaled", "dropout", "projected", "zero-padded", "subsampled", "norm or activation")
"""The first of these kinds that applies gives a shortcut its colour."""

DOES: Mapping[Role, str] = {
    "conv": "projected",
    "linear": "projected",
    "pad": "zero-padded",
    "subsample": "subsampled",
    "pool": "subsampled",
    "scale": "scaled",
    "dropout": "dropout",
    "norm": "norm or activation",
    "relu": "norm or activation",
    "sigmoid": "norm or activation",
}
"""The kind of a shortcut with each operation."""

_MOST_BODIES = 4
"""Up to this number, added bodies are drawn one above the other; more are drawn as one."""

_FEWEST_STEPS = 16  # least width of a drawing, so that the blocks of a small network are not too long


Way = Literal["along", "across"]
"""The direction of a line: in the lane of its stream, or between lanes."""

_THIN = 400  # convolutions; deeper networks have no space between units


def drawing(plan: Plan, *, title: str) -> Spec:
    """The network as a chart: a block per unit in the colour of its shortcut, between stem and head.

    The height of a block is its number of channels, its length the number of convolutions. A shortcut is an arc over
    its unit, or a line between two bodies. Streams are lanes, with lines where their shortcuts are mixed. A tooltip has
    path, channels, map, stride, shortcut, operations, parameters and multiply-adds.

    The caption `usermeta.beside` is for one of several drawings, under a sentence on what all have in common.
    """
    sheet = _Sheet.of(plan)
    sheet.draw(plan)
    kinds = {block["shortcut"] for block in sheet.blocks}
    colours = {known(kind): colour for kind, colour in KINDS.items() if known(kind) in kinds}
    marks = layers(sheet.maps, across=sheet.across, upward=sheet.lanes * sheet.pitch / 2, colours=colours)
    chart = {"layer": marks, "resolve": {"axis": {"x": "independent"}}}
    data = {"blocks": sheet.blocks, "wires": sheet.wires, "arcs": sheet.arcs, "hubs": sheet.hubs, "maps": sheet.maps}
    how = said("; ").join([_size(plan), *sheet.legend(), *sheet.own_legend(plan)])
    spec = complete_chart(chart, data, title=presentable(title), how=how, height=sheet.height)
    spec["usermeta"]["beside"] = said("; ").join([_size(plan), *sheet.inner_legend(), *sheet.own_legend(plan)])
    return spec


def _kind_of(unit: Unit) -> str:
    """The kind of the shortcut of a unit, a key of `KINDS`."""
    kinds = _kinds(unit.streams[0])
    return next((kind for kind in _MARKED if kind in kinds), kinds[0])


def _kinds(stream: Stream) -> tuple[str, ...]:
    """All kinds that apply to a shortcut."""
    if stream.shortcut is None:
        return ("no shortcut",)
    present = {DOES[layer.op.role] for layer in stream.shortcut}
    present = present - {"norm or activation"} or present  # the norm of a projection is not mentioned
    kinds = (*(kind for kind in reversed(_MARKED) if kind in present), *(("gated",) if stream.gate else ()))
    return kinds or ("identity",)


@dataclass(kw_only=True)
class _Sheet:
    """The coordinates of all blocks and lines: x counts convolutions, y counts channels from the middle.

    `pitch` is the distance between the middles of two streams, `gap` the space between two bodies, `margin` that on
    both sides of a unit. A block continues for `spill` underneath the next one, since thin blocks would have visible
    seams. `end` is the length of stem and head.
    """

    lanes: int
    pitch: float
    gap: float
    margin: float
    spill: int
    end: float
    blocks: list[dict[str, Any]] = field(default_factory=list)
    wires: list[dict[str, Any]] = field(default_factory=list)
    arcs: list[dict[str, Any]] = field(default_factory=list)
    hubs: list[dict[str, Any]] = field(default_factory=list)
    maps: list[dict[str, Any]] = field(default_factory=list)
    extents: list[tuple[str, int, float, float]] = field(default_factory=list)
    levels: dict[tuple[float, Way], dict[str, Any]] = field(default_factory=dict)
    x: float = 0.0

    @classmethod
    def of(cls, plan: Plan) -> "_Sheet":
        """An empty sheet of the size of the network."""
        units = [unit for _, unit in plan.units]
        steps = sum(map(_steps, units))
        lanes = max(len(unit.streams) for unit in units)
        gap = 0.2 * max(unit.output.channels for unit in units)
        highest = max(_stacked(unit) * (max(unit.output.channels, _inner(unit)) + gap) - gap for unit in units)
        ends = max(plan.stem[-1].output.channels, plan.head[0].input.channels) / (1 if plan.heads > 1 else lanes)
        margin = 0.3 if steps <= 120 else 0.2 if steps <= _THIN else 0.0
        return cls(
            lanes=lanes,
            pitch=1.35 * max(highest, ends),
            gap=gap,
            margin=margin,
            spill=3 if steps > _THIN else 0,
            end=max(1.2, steps / 50),
        )

    @property
    def height(self) -> int:
        """The height in pixels."""
        return min(150 + 70 * (self.lanes - 1), 720)

    @property
    def across(self) -> float:
        """The length of the drawing."""
        return max(self.x, _FEWEST_STEPS)

    def centres(self, count: int) -> list[float]:
        """The middles of this many lanes, the first one at the top."""
        return [((count - 1) / 2 - k) * self.pitch for k in range(count)]

    def draw(self, plan: Plan) -> None:
        """Draw stem, units and head, from left to right."""
        lanes = self.centres(plan.stems)
        self._end(plan.stem, end_paths("stem", plan.stems), lanes, plan.stem[-1].output, copies(plan.stem, plan.stems))
        for path, unit, (about, price) in of_units(plan, lambda unit: (_about(unit), unit_cost(unit))):
            lanes = self._connect(lanes, self.centres(len(unit.streams)))
            lanes = self._unit(path, unit, lanes, about, price)
        lanes = self._connect(lanes, self.centres(plan.heads))
        self._end(plan.head, end_paths("head", plan.heads), lanes, plan.head[0].input, copies(plan.head, plan.heads))
        if plan.heads > 1:
            self._connect(lanes, [0.0])
            self.hubs.append({"x": round(self.x, 3), "y": 0.0, "what": said("mean of the logits")})
        self._name_maps()

    def legend(self) -> Iterator[str]:
        """The meaning of the parts that most drawings have."""
        yield said("block: unit; height: channels; length: convolutions")
        if self.arcs:
            yield said("arc: shortcut")
        yield from self.inner_legend()
        yield said("top: size of the feature map; bottom: channels")

    def inner_legend(self) -> Iterator[str]:
        """The meaning of the dark parts, if there are any."""
        if any("inner" in block for block in self.blocks):
            yield said("dark: width of inner convolutions")

    def own_legend(self, plan: Plan) -> Iterator[str]:
        """The meaning of the parts that few drawings have."""
        units = [unit for _, unit in plan.units]
        bodies = max(len(unit.streams[0].bodies) for unit in units)
        if bodies > 1:
            yield (
                said("{bodies} bodies per unit", bodies=bodies)
                if max(map(_stacked, units)) > 1
                else said("{bodies} bodies per unit, drawn as one", bodies=bodies)
            )
        if self.lanes > 1:
            yield said("{streams} streams", streams=self.lanes)
        yield from filter(None, dict.fromkeys(map(_crossing_words, units)))

    def _end(self, chain: Chain, paths: Sequence[str], ys: Sequence[float], shape: Shape, words: str) -> None:
        """Draw stem or head, once or for each stream."""
        about = {
            "shortcut": known("stem or head"),
            "channels": _change(chain[0].input.channels, chain[-1].output.channels),
        }
        about |= {"map": _change(_map(chain[0].input), _map(chain[-1].output)), "stride": "–", "adds": "–"}
        about |= {"operations": words}
        price = total_cost(chain)
        for path, y in zip(paths, ys, strict=True):
            self._block(path, y, self.end, shape.channels, about, price)
            self._wire((self.x, y), (self.x + self.end, y))
        self.x += self.end

    def _unit(self, path: str, unit: Unit, ys: list[float], about: dict[str, Any], price: Cost) -> list[float]:
        """Draw one unit; returns the middles of its output lanes."""
        steps, stacked, channels = _steps(unit), _stacked(unit), unit.output.channels
        ends = [0.0] if unit.joined else ys
        inner = _inner(unit)
        for k, y in enumerate(ys):
            name = (
                path
                if len(ys) == 1
                else said("{path}, stream {number} of {streams}", path=path, number=k + 1, streams=len(ys))
            )
            middles = [y + ((stacked - 1) / 2 - body) * (channels + self.gap) for body in range(stacked)]
            for middle in middles:
                self._block(name, middle, steps, channels, about, price, inner)
                self._wire((self.x, y), (self.x + self.margin, middle))
                self._wire((self.x + self.margin, middle), (self.x + steps - self.margin, middle))
                self._wire((self.x + steps - self.margin, middle), (self.x + steps, ends[k % len(ends)]))
        self._shortcuts(unit, ys, ends, steps)
        self.extents.append((_map(unit.output), channels, self.x, self.x + steps))
        self.x += steps
        return ends

    def _shortcuts(self, unit: Unit, ys: Sequence[float], ends: Sequence[float], steps: int) -> None:
        """Draw the shortcut lines of a unit."""
        if unit.streams[0].shortcut is None:
            return
        left, right = self.x, self.x + steps
        outs = [ends[k % len(ends)] for k in range(len(ys))]
        hub = ((left + right) / 2, 0.0)
        rows = unit.mixing.rows
        for k, (row, out) in enumerate(zip(rows, outs, strict=True)):
            sources = [j for j, share in enumerate(row) if share]
            if sources == [k] and _stacked(unit) % 2:
                self._arc(unit, ys[k], out, steps)
            elif len(sources) == 1:
                self._wire((left, ys[sources[0]]), (right, out), "along" if sources == [k] else "across")
        if shared := [out for row, out in zip(rows, outs, strict=True) if sum(map(bool, row)) > 1]:
            for y in ys:
                self._wire((left, y), hub, "across")
            for out in dict.fromkeys(shared):
                self._wire(hub, (right, out), "across")
            self.hubs.append({"x": round(hub[0], 3), "y": 0.0, "what": _crossing_words(unit)})

    def _arc(self, unit: Unit, y: float, out: float, steps: int) -> None:
        """Draw a shortcut over the bodies that hide the straight line; without space between units, only its top."""
        stacked, channels = _stacked(unit), unit.output.channels
        top = y + ((stacked - 1) * (channels + self.gap) + max(channels, _inner(unit)) + self.gap) / 2
        left, right, kind = self.x, self.x + steps, known(_kind_of(unit))
        last = self.arcs[-1] if self.arcs else None
        start = {"x": round(left + self.margin, 3), "y": round(top, 3)}
        if last and not self.margin and (last["y"], last["x2"], last["shortcut"]) == (start["y"], start["x"], kind):
            last["x2"] = right
            return
        corners = [(left, y), (left + self.margin, top), (right - self.margin, top), (right, out)]
        for (x1, y1), (x2, y2) in pairwise(corners if self.margin else corners[1:3]):
            coordinates = dict(zip(("x", "y", "x2", "y2"), (x1, y1, x2, y2), strict=True))
            self.arcs.append({**{name: round(value, 3) for name, value in coordinates.items()}, "shortcut": kind})

    def _connect(self, outputs: Sequence[float], inputs: list[float]) -> list[float]:
        """Draw lines from the output lanes of a part to the input lanes of the next one, if their numbers differ."""
        if len(outputs) != len(inputs):
            for y in outputs:
                for other in inputs:
                    self._wire((self.x, y), (self.x + 1, other))
            self.x += 1
        return inputs

    def _block(
        self, path: str, y: float, steps: float, channels: int, about: dict[str, Any], price: Cost, inner: int = 0
    ) -> None:
        block = {"path": path, **about, "parameters": price.parameters, "multiply_adds": price.multiply_adds}
        place = {"x": self.x + self.margin, "x2": self.x + steps - self.margin + self.spill}
        place |= {"y": y - channels / 2, "y2": y + channels / 2}
        if inner:
            place |= {"inner": y - inner / 2, "inner2": y + inner / 2}
        self.blocks.append(block | {name: round(value, 3) for name, value in place.items()})

    def _wire(self, start: tuple[float, float], end: tuple[float, float], way: Way = "along") -> None:
        """Draw a line; a horizontal one that continues another makes that one longer."""
        wire = dict(zip(("x", "y", "x2", "y2"), (round(coordinate, 3) for coordinate in (*start, *end)), strict=True))
        level = (wire["y"], way)
        last = self.levels.get(level)
        if wire["y"] == wire["y2"] and last and last["x"] <= wire["x"] <= last["x2"]:
            last["x2"] = max(last["x2"], wire["x2"])
            return
        self.wires.append({**wire, "way": way})
        if wire["y"] == wire["y2"]:
            self.levels[level] = self.wires[-1]

    def _name_maps(self) -> None:
        """Add the labels of feature map sizes and widths."""
        for size, group in groupby(self.extents, key=lambda extent: extent[0]):
            _, widths, starts, stops = zip(*group, strict=True)
            label = str(widths[0]) if min(widths) == max(widths) else f"{widths[0]}–{widths[-1]}"
            middle = round((starts[0] + stops[-1]) / 2, 3)
            self.maps.append({"x": round(starts[0], 3), "middle": middle, "map": size, "channels": label})


def _about(unit: Unit) -> dict[str, Any]:
    """What the tooltip of a unit has besides its path and cost."""
    words = said(", ").join(map(known, _kinds(unit.streams[0])))
    if unit.skip != "own":
        words = said("{shortcut}: {skip}", shortcut=words, skip=known(unit.skip))
    return {
        "shortcut": known(_kind_of(unit)),
        "channels": _change(unit.input.channels, unit.output.channels),
        "map": _change(_map(unit.input), _map(unit.output)),
        "stride": unit.stride,
        "adds": words,
        "operations": operations(unit),
    }


def _crossing_words(unit: Unit) -> str:
    """The meaning of the lines between lanes; empty if there are none."""
    words = RULES[unit.skip].words
    return said("crossing lines: {rule}", rule=known(words)) if words and len(unit.streams) > 1 else ""


def _size(plan: Plan) -> str:
    """The numbers of units, parameters and multiply-adds."""
    price, units = cost(plan), sum(map(len, plan.stages))
    return numbered(
        units,
        "{count} unit, {parameters} parameters, {multiply_adds} multiply-adds",
        "{count:,} units, {parameters} parameters, {multiply_adds} multiply-adds",
        parameters=_rounded(price.parameters),
        multiply_adds=_rounded(price.multiply_adds),
    )


def _rounded(count: int) -> str:
    """The number with three digits, for example 19.4 M."""
    factor, letter = next(((f, f" {x}") for f, x in ((10**9, "G"), (10**6, "M"), (10**3, "k")) if count >= f), (1, ""))
    return f"{float(f'{count / factor:.3g}'):g}{letter}"


def _steps(unit: Unit) -> int:
    """The number of convolutions of a body, at least 1."""
    stream = unit.streams[0]
    around = passed(stream.first) + passed(stream.merged) if sliced(stream) else 0
    return max(1, passed(stream.bodies[0]) + around)


def _stacked(unit: Unit) -> int:
    """The number of bodies that are drawn one above the other."""
    stream = unit.streams[0]
    return len(stream.bodies) if stream.merge == "sum" and len(stream.bodies) <= _MOST_BODIES else 1


def _inner(unit: Unit) -> int:
    """The largest width of the inner convolutions of a block; 0 if it is equal to the width of the unit."""
    stream = unit.streams[0]
    if sliced(stream):
        widths = [layer.output.channels for layer in _convolutions(stream.first)]
        return max(widths, default=0)
    widths = [layer.output.channels for layer in _convolutions(stream.bodies[0])]
    inner = max(widths[:-1], default=0) * (len(stream.bodies) // _stacked(unit))
    return 0 if inner == unit.output.channels else inner


def _convolutions(chain: Chain) -> Iterator[Any]:
    return (layer for layer in chain if isinstance(layer.op, Convolution))


def _map(shape: Shape) -> str:
    return f"{shape.height}×{shape.width}"


def _change(before: object, after: object) -> str:
    return str(after) if before == after else f"{before} → {after}"
