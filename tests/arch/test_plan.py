"""A plan survives JSON, and what is not a plan is refused in words."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import from_json, to_json
from resatlas.arch.residual import Residual, basic
from resatlas.arch.widths import PerStage
from resatlas.errors import BlueprintError
from tests.arch.strategies import blueprints, images

PLAN = to_json(
    expand(
        Blueprint(stem=Stem(width=8), units=(3, 1), widths=PerStage((8, 16)), residual=Residual(convs=basic())),
        image=Shape(3, 8, 8),
        classes=2,
    )
)


@given(blueprint=blueprints(), image=images(), classes=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_plan_comes_back_from_json(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Plan, JSON text, plan: the same value."""
    plan = expand(blueprint, image=image, classes=classes)
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


def test_equal_neighbours_are_written_once() -> None:
    """A stage of three equal units is one unit and its number."""
    assert [[run["times"] for run in stage] for stage in PLAN["stages"]] == [[3], [1]]


def changed(path: str, value: object) -> dict[str, Any]:
    """The plan's JSON with the value at a path of keys and indices replaced, or removed where it is None."""
    data = deepcopy(PLAN)
    *way, last = [int(word) if word.isdecimal() else word for word in path.split(".")]
    place: Any = data
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schema", 2, "a plan has schema 1; got 2"),
        ("schema", None, "a plan has schema 1; got None"),
        ("classes", "ten", "plan.classes: expected a whole number, got a text"),
        ("classes", True, "plan.classes: expected a whole number, got true or false"),
        ("classes", None, 'plan: key "classes" is missing'),
        ("clases", 2, 'plan: no key "clases"; did you mean "classes"?'),
        ("image", [3, 8], "plan.image: 3 numbers (channels, height, width), not 2"),
        ("image", [3, 8, 8.5], "plan.image[2]: expected a whole number, got a number"),
        ("image", "3x8x8", "plan.image: expected a list, got a text"),
        ("stem", {}, "plan.stem: expected a list, got a dict"),
        ("stem.0.op", {"kernel": 3}, None),
        ("stem.0.op.kind", "convolutoin", 'plan.stem[0].op: no kind "convolutoin"; did you mean "convolution"?'),
        ("stem.0.op.kernel", None, 'plan.stem[0].op: key "kernel" is missing'),
        (
            "stem.0.op.__class__",
            "x",
            'plan.stem[0].op: no key "__class__"; there are kernel, stride, groups, bias, dilation',
        ),
        ("initial.fan", "inn", 'plan.initial.fan: no value "inn"; did you mean "in"?'),
        ("stages", 5, 'stages of a plan are lists of {"times": …, "unit": …}'),
        ("stages", None, 'stages of a plan are lists of {"times": …, "unit": …}'),
        ("stages.0.0.unit", None, 'plan.stages: key "unit" is missing'),
        ("stages.0.0.times", "3", "plan.stages.times: expected a whole number, got a text"),
    ],
)
def test_what_is_no_plan_is_told(path: str, value: object, words: str | None) -> None:
    """Each wrong place is named with what is expected there."""
    with pytest.raises(BlueprintError) as refusal:
        from_json(changed(path, value))
    if words is None:
        words = (
            'plan.stem[0].op: expected a table with "kind" (convolution, channel-convolution, norm, relu, sigmoid, '
            "scale, dropout, max-pool, avg-pool, sliding-mean, subsample, zero-channels, global-pool, linear)"
        )
    assert str(refusal.value) == words


@pytest.mark.parametrize("times", [-1, 0, 2 * 10**18])
def test_a_number_of_units_that_no_network_has_is_refused(times: int) -> None:
    """A number of equal units below 1 or beyond memory is refused."""
    with pytest.raises(BlueprintError):
        from_json(changed("stages.0.0.times", times))


@pytest.mark.parametrize("path", ["stem", "head", "stages"])
def test_a_plan_has_all_its_parts(path: str) -> None:
    """A plan without stem, units or head is refused."""
    with pytest.raises(BlueprintError):
        from_json(changed(path, []))


@pytest.mark.parametrize("data", [[], None, "plan", 3])
def test_a_value_that_is_no_table_is_no_plan(data: Any) -> None:  # noqa: ANN401 - whatever stands in a file
    """The error names what was found in place of a table."""
    with pytest.raises(BlueprintError, match=f"a plan has schema 1; got {type(data).__name__}"):
        from_json(data)
