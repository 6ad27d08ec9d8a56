"""A network is priced without its plan, and the price is the plan's cost to the last multiply-add."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import named, resolve
from resatlas.designs.solver.price import priced
from resatlas.errors import WidthError


@pytest.mark.parametrize("name", named())
def test_the_price_is_the_cost(name: str) -> None:
    """For every network of the catalogue, at its usual task and at another."""
    entry = named()[name]
    assert priced(entry.blueprint, image=entry.image, classes=entry.classes) == cost(entry.plan())
    task = Shape(1, 72, 40), 7
    plan = entry.plan(image=task[0], classes=task[1])
    assert priced(entry.blueprint, image=task[0], classes=task[1]) == cost(plan)


@given(
    n=st.integers(1, 12),
    alpha=st.fractions(0, 90, max_denominator=4),
    base=st.integers(1, 20),
    unit=st.sampled_from(("basic", "bottleneck")),
    shortcut=st.sampled_from(("zeros", "projection", "projection-strided")),
    rounding=st.sampled_from(("half-up", "floor")),
)
@settings(max_examples=60, deadline=None)
def test_pyramids_are_priced_by_their_widths(n: int, alpha: object, base: int, **style: str) -> None:
    """For any base and any slow growth, with units that widen and units that do not."""
    depth = (6 if style["unit"] == "basic" else 9) * n + 2
    words = ",".join(f"{knob}={value}" for knob, value in style.items())
    entry = resolve(f"pyramidnet:depth={depth},alpha={alpha},base={base},{words}")
    assert priced(entry.blueprint, image=entry.image, classes=entry.classes) == cost(entry.plan())


@given(n=st.integers(1, 20), streams=st.integers(1, 5), style=st.sampled_from(("", "-projector", "-swap-concat")))
@settings(max_examples=20, deadline=None)
def test_any_depth_is_priced_by_two_units_a_stage(n: int, streams: int, style: str) -> None:
    """One unit a stage and many, with one stream and several."""
    entry = resolve(f"dmrnet-{6 * n + 2}-k{streams}{style}")
    assert priced(entry.blueprint, image=entry.image, classes=entry.classes) == cost(entry.plan())


def test_a_pyramid_that_loses_channels_has_no_price() -> None:
    """A first unit narrower than the stem is refused, as zeros cannot take channels away."""
    entry = resolve("pyramidnet:depth=56,alpha=7,multiple_of=4,base=5")
    with pytest.raises(WidthError, match="a pyramid only widens; this one narrows from 5 to 4 channels"):
        priced(entry.blueprint, image=entry.image, classes=entry.classes)
