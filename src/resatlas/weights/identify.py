"""Which named network some weights are for."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, product

from resatlas.arch.parameters import parameters
from resatlas.arch.plan import Plan
from resatlas.designs import catalog
from resatlas.designs.catalog import Entry
from resatlas.errors import DesignError, UsageError, quoted
from resatlas.weights.semantics import differing, function, traits
from resatlas.weights.sources import SOURCES, Dialect, key_of, path_of, shape_of

Shapes = Mapping[str, tuple[int, ...]]

Weights = Counter[tuple[int, ...]]
"""How many weights there are of each shape, 1x1 kernels taken for none."""

MOST_DEPTH = 1202
"""The deepest network of the papers."""

KNOBS = (("", "stride=3x3"), ("", "wiring=projected", "wiring=paper"))
"""What makes a network of the papers one of the sources'."""


def taker(given: Shapes, plan: Plan, *, source: str) -> str | None:
    """The network that takes weights of these names and shapes from a source, on a plan's images, in words.

    Tried are names of the catalogue and of its grammar, as they are and with `KNOBS` turned.
    """
    for dialect in SOURCES[source]:
        classes = math.prod(given.get(key_of("head.linear.bias", dialect, plan) or "", (0,)))
        for text in _texts(_units(given, dialect, plan)) if dialect.names else ():
            try:
                other = catalog.plan(text, image=plan.image, classes=classes)
            except UsageError:  # no such depth, knob or image in the family
                continue
            if _takes(other, given, dialect) and not interchangeable(other, plan):
                return quoted(text) if classes == plan.classes else f"{quoted(text)} with {classes} classes"
    return None


def writer(plan: Plan) -> str | None:
    """The name of a network that computes the same with the same weights, in words."""
    for text in _texts(tuple(map(len, plan.stages))):
        with suppress(UsageError):
            if interchangeable(catalog.plan(text, image=plan.image, classes=plan.classes), plan):
                return quoted(text)
    return None


def interchangeable(one: Plan, other: Plan) -> bool:
    """Whether two plans compute the same once they are trained, with weights of the same names and shapes."""
    return function(one) == function(other) and _shapes(one) == _shapes(other)


def _shapes(plan: Plan) -> Shapes:
    return {each.path: each.shape for each in parameters(plan)}


def weights_of(shapes: Iterable[tuple[int, ...]]) -> Weights:
    """The weights of some shapes."""
    return Counter(shape[:2] if shape[2:] == (1, 1) else shape for shape in shapes)


def distance(weights: Weights, plan: Plan) -> float:
    """The share of weights, those of a plan and those given together, that the other side has none of."""
    own = weights_of(each.shape for each in parameters(plan))
    return 1 - 2 * (weights & own).total() / max(weights.total() + own.total(), 1)


def bearers(weights: Weights, entry: Entry) -> Iterator[Entry]:
    """Other networks with just these weights, if the entry has others, the nearest of kin first.

    Those of other depths, then of the family, then of the catalogue. What they compute may differ from one to the next.
    """
    if distance(weights, entry.plan()) == 0:
        return
    listed = sorted(catalog.named().values(), key=lambda other: other.family != entry.family)
    known: set[str] = set()
    for one in chain(_of_other_depths(weights, entry), listed):
        with suppress(DesignError):  # no network for these images
            if distance(weights, _instead(one, entry)) == 0:
                for other in (one, *_of_those_units(one)):
                    if other.name not in known and distance(weights, _instead(other, entry)) == 0:
                        known.add(other.name)
                        yield other


def _of_those_units(entry: Entry) -> Iterator[Entry]:
    """Networks with as many units in each stage, without knobs: a plain one for a ResNet, a ResNet for a plain one."""
    for text in _texts(entry.blueprint.units):
        with suppress(UsageError):  # no such depth in the family
            if ":" not in text:
                yield catalog.resolve(text)


def _of_other_depths(weights: Weights, entry: Entry) -> Iterator[Entry]:
    """The same design from its shallowest up to the first that has more weights than there are."""
    for depth in range(MOST_DEPTH + 1) if entry.depth else ():
        try:
            other = catalog.resolve(entry.name.replace(f"{entry.depth}", f"{depth}", 1))
            count = sum(1 for _ in parameters(_instead(other, entry)))
        except UsageError:  # no such depth in the family
            continue
        if count > weights.total():
            return
        yield other


def _instead(other: Entry, entry: Entry) -> Plan:
    return other.plan(image=entry.image, classes=entry.classes)


def _takes(plan: Plan, given: Shapes, dialect: Dialect) -> bool:
    if differing(traits(plan), dialect.traits):
        return False
    wanted = {key_of(each.path, dialect, plan): shape_of(each.path, each.shape, dialect) for each in parameters(plan)}
    return wanted == {key: shape for key, shape in given.items() if key.endswith((".weight", ".bias"))}


def _units(given: Shapes, dialect: Dialect, plan: Plan) -> tuple[int, ...]:
    """How many units each stage has in these weights."""
    paths = (path_of(key, dialect, plan) or "" for key in given)
    units = {tuple(path.split(".")[1:3]) for path in paths if path.startswith("stages.")}
    stages = sorted({int(stage) for stage, _ in units})
    return tuple(sum(int(stage) == each for stage, _ in units) for each in stages)


def _texts(units: tuple[int, ...]) -> Iterator[str]:
    """DESIGN texts of that many units, those with the fewest knobs first."""
    listed = [name for name, entry in catalog.named().items() if entry.blueprint.units == units]
    deep = (f"{2 * sum(units) + 2}", f"{3 * sum(units) + 2}-bottleneck")
    member = [
        f"{family}-{depth}{option}" for family in ("resnet", "preact-resnet") for depth in deep for option in ("", "-B")
    ]
    names = dict.fromkeys([*listed, *member])
    turned = [[knob for knob in knobs if knob] for knobs in product(*KNOBS)]
    for knobs, name in product(sorted(turned, key=len), names):
        yield f"{name}:{','.join(knobs)}" if knobs else name
