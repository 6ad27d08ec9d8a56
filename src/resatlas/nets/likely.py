"""Which named network some weights are for."""

import math
from collections.abc import Iterator, Mapping
from itertools import product

from resatlas.arch.parameters import parameters
from resatlas.arch.plan import Plan
from resatlas.designs import catalog
from resatlas.errors import UsageError, quoted
from resatlas.nets.sources import SOURCES, Dialect, key_of, path_of, shape_of
from resatlas.nets.traits import differing, traits

Shapes = Mapping[str, tuple[int, ...]]

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
            if _takes(other, given, dialect):
                return quoted(text) if classes == plan.classes else f"{quoted(text)} with {classes} classes"
    return None


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
