"""Identification of the named network that weights belong to."""

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
from resatlas.weights.semantics import differing_traits, function, traits
from resatlas.weights.sources import SOURCES, Dialect, key_of, path_of, shape_of

Shapes = Mapping[str, tuple[int, ...]]

ShapeCounts = Counter[tuple[int, ...]]
"""The number of weights of each shape; a 1x1 kernel counts as a matrix."""

_MAX_DEPTH = 1202
"""The depth of the papers' deepest network."""

_KNOBS = (("", "stride=3x3"), ("", "wiring=projected", "wiring=paper"))
"""Knobs that turn a network of the papers into one of another library."""


def name_of_network(weights: Shapes, plan: Plan, *, source: str) -> str | None:
    """The name of the network that has weights of these names and shapes at a source, for a plan's images.

    The search covers names of the catalogue and of its grammar, each with all combinations of `_KNOBS`.
    """
    for dialect in SOURCES[source]:
        classes = math.prod(weights.get(key_of("head.linear.bias", dialect, plan) or "", (0,)))
        for text in _texts(_units(weights, dialect, plan)) if dialect.names else ():
            try:
                other = catalog.plan(text, image=plan.image, classes=classes)
            except UsageError:  # the family does not have this depth, knob or image
                continue
            if _has_weights(other, weights, dialect) and not _interchangeable(other, plan):
                return quoted(text) if classes == plan.classes else f"{quoted(text)} with {classes} classes"
    return None


def name_of_same_function(plan: Plan) -> str | None:
    """The name of a network that computes the same function with the same weights."""
    for text in _texts(tuple(map(len, plan.stages))):
        with suppress(UsageError):
            if _interchangeable(catalog.plan(text, image=plan.image, classes=plan.classes), plan):
                return quoted(text)
    return None


def _interchangeable(one: Plan, other: Plan) -> bool:
    """Whether two plans compute the same function after training, with weights of the same names and shapes."""
    return function(one) == function(other) and _shapes(one) == _shapes(other)


def _shapes(plan: Plan) -> Shapes:
    return {parameter.path: parameter.shape for parameter in parameters(plan)}


def shape_counts(shapes: Iterable[tuple[int, ...]]) -> ShapeCounts:
    """The number of weights of each shape."""
    return Counter(shape[:2] if shape[2:] == (1, 1) else shape for shape in shapes)


def distance(counts: ShapeCounts, plan: Plan) -> float:
    """The share of weights without a counterpart of the same shape, of those counted and those of a plan together."""
    own = shape_counts(parameter.shape for parameter in parameters(plan))
    return 1 - 2 * (counts & own).total() / max(counts.total() + own.total(), 1)


def same_shapes(counts: ShapeCounts, entry: Entry) -> Iterator[Entry]:
    """Other networks with exactly these weights, if the entry does not have them. Their functions may differ.

    Networks of other depths come first, then those of the same family, then all others of the catalogue.
    """
    if distance(counts, entry.plan()) == 0:
        return
    listed = sorted(catalog.named().values(), key=lambda other: other.family != entry.family)
    known: set[str] = set()
    for candidate in chain(_of_other_depths(counts, entry), listed):
        with suppress(DesignError):  # not possible for these images
            if distance(counts, _plan_for_task_of(entry, candidate)) == 0:
                for other in (candidate, *_of_same_units(candidate)):
                    if other.name not in known and distance(counts, _plan_for_task_of(entry, other)) == 0:
                        known.add(other.name)
                        yield other


def _of_same_units(entry: Entry) -> Iterator[Entry]:
    """Networks with the same number of units in each stage, without knobs, as a plain network for a ResNet."""
    for text in _texts(entry.blueprint.units):
        with suppress(UsageError):  # the family does not have this depth
            if ":" not in text:
                yield catalog.resolve(text)


def _of_other_depths(counts: ShapeCounts, entry: Entry) -> Iterator[Entry]:
    """The same design with other depths, from the smallest up to the first with more weights than those counted."""
    for depth in range(_MAX_DEPTH + 1) if entry.depth else ():
        try:
            other = catalog.resolve(entry.name.replace(f"{entry.depth}", f"{depth}", 1))
            count = sum(1 for _ in parameters(_plan_for_task_of(entry, other)))
        except UsageError:  # the family does not have this depth
            continue
        if count > counts.total():
            return
        yield other


def _plan_for_task_of(entry: Entry, other: Entry) -> Plan:
    """The plan of another network for an entry's images and classes."""
    return other.plan(image=entry.image, classes=entry.classes)


def _has_weights(plan: Plan, weights: Shapes, dialect: Dialect) -> bool:
    if differing_traits(traits(plan), dialect.traits):
        return False
    expected = {
        key_of(parameter.path, dialect, plan): shape_of(parameter.path, parameter.shape, dialect)
        for parameter in parameters(plan)
    }
    return expected == {key: shape for key, shape in weights.items() if key.endswith((".weight", ".bias"))}


def _units(weights: Shapes, dialect: Dialect, plan: Plan) -> tuple[int, ...]:
    """The number of units of each stage in these weights."""
    paths = (path_of(key, dialect, plan) or "" for key in weights)
    units = {tuple(path.split(".")[1:3]) for path in paths if path.startswith("stages.")}
    stages = sorted({int(stage) for stage, _ in units})
    return tuple(sum(int(stage) == number for stage, _ in units) for number in stages)


def _texts(units: tuple[int, ...]) -> Iterator[str]:
    """DESIGN texts of networks with these numbers of units, those with the fewest knobs first."""
    listed = [name for name, entry in catalog.named().items() if entry.blueprint.units == units]
    deep = (f"{2 * sum(units) + 2}", f"{3 * sum(units) + 2}-bottleneck")
    composed = [
        f"{family}-{depth}{option}" for family in ("resnet", "preact-resnet") for depth in deep for option in ("", "-B")
    ]
    names = dict.fromkeys([*listed, *composed])
    combinations = [[knob for knob in knobs if knob] for knobs in product(*_KNOBS)]
    for knobs, name in product(sorted(combinations, key=len), names):
        yield f"{name}:{','.join(knobs)}" if knobs else name
