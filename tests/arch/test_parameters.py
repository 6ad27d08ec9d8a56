"""Where every parameter starts: fans over inputs or outputs, scales of one or uniform, and what a text says of it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Initial, Stem
from resatlas.arch.cost import cost_by_path
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.parameters import Constant, Normal, Parameter, Start, Uniform, parameters
from resatlas.arch.plan import layers
from resatlas.arch.residual import Residual, bottleneck, modified
from resatlas.arch.streams import MergeAndRun
from resatlas.arch.widths import PerStage
from tests.arch.strategies import blueprints, images

GROUPED = Blueprint(
    stem=Stem(width=8),
    units=(1,),
    widths=PerStage((16,)),
    residual=modified(Residual(convs=bottleneck(groups=2)), "exclusive-gate-b-6"),
)


def listed(blueprint: Blueprint) -> dict[str, Parameter]:
    """The parameters of a blueprint for small images, by path."""
    return {parameter.path: parameter for parameter in parameters(expand(blueprint, image=Shape(3, 8, 8), classes=5))}


@given(blueprint=blueprints(), image=images(), classes=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_parameters_are_those_that_cost(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Layer by layer, in the order of the layers, shapes multiply to the counted number, under one path each."""
    plan = expand(blueprint, image=image, classes=classes)
    sizes: dict[str, int] = {}
    paths = []
    for parameter in parameters(plan):
        layer, _, name = parameter.path.rpartition(".")
        assert name in ("weight", "bias")
        sizes[layer] = sizes.get(layer, 0) + math.prod(parameter.shape)
        paths.append(parameter.path)
    assert len(set(paths)) == len(paths)
    assert sizes == {path: price.parameters for path, price in cost_by_path(plan).items() if price.parameters}
    assert list(sizes) == [path for path, _ in layers(plan) if path in sizes]


def test_shapes_and_starts_of_a_small_network() -> None:
    """A grouped bottleneck with a gate, by fan-out: all outputs count, for any number of groups."""
    facts = {path: (parameter.shape, parameter.start) for path, parameter in listed(GROUPED).items()}
    assert facts["stem.conv.weight"] == ((8, 3, 3, 3), Normal(math.sqrt(2 / (9 * 8))))
    assert facts["stem.norm.weight"] == ((8,), Constant(1))
    assert facts["stem.norm.bias"] == ((8,), Constant(0))
    assert facts["stages.0.0.body.conv2.weight"] == ((4, 2, 3, 3), Normal(math.sqrt(2 / (9 * 4))))
    assert facts["stages.0.0.gate.conv.weight"] == ((16, 16, 1, 1), Normal(math.sqrt(2 / 16)))
    assert facts["stages.0.0.gate.conv.bias"] == ((16,), Constant(-6))
    assert facts["head.linear.weight"] == ((5, 16), Uniform(-0.25, 0.25))
    assert facts["head.linear.bias"] == ((5,), Constant(0))
    assert not [path for path in facts if "conv" in path and path.endswith("bias") and ".gate." not in path]


def test_the_fan_of_inputs_is_that_of_one_group() -> None:
    """By fan-in the variance is 2/(kernel² · inputs a group)."""
    by_path = listed(replace(GROUPED, initial=Initial(fan="in")))
    assert by_path["stem.conv.weight"].start == Normal(math.sqrt(2 / (9 * 3)))
    assert by_path["stages.0.0.body.conv2.weight"].start == Normal(math.sqrt(2 / (9 * 2)))


def test_uniform_scales_leave_the_shifts_at_zero() -> None:
    """Every scale of a norm starts in U(0, 1), no shift does, and convolutions and classifier keep their own."""
    usual, uniform = listed(GROUPED), listed(replace(GROUPED, initial=Initial(scale="uniform")))
    changed = {path for path in usual if usual[path] != uniform[path]}
    assert changed == {path for path in usual if "norm" in path and path.endswith("weight")}
    assert {uniform[path].start for path in changed} == {Uniform(0, 1)}


def test_streams_have_parameters_of_their_own() -> None:
    """Separate stems, streams and heads are listed one by one and have equal facts."""
    streams = MergeAndRun(count=2, join="logits", stems="separate")
    by_path = listed(replace(GROUPED, streams=streams))
    for one, other in (("stems.0", "stems.1"), ("heads.0", "heads.1"), ("streams.0", "streams.1")):
        pairs = [(path, path.replace(one, other)) for path in by_path if one in path]
        assert pairs
        assert all((by_path[a].shape, by_path[a].start) == (by_path[b].shape, by_path[b].start) for a, b in pairs)
    assert not [path for path in by_path if path.startswith(("stem.", "head."))]


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (Normal(math.sqrt(2 / 144)), "normal(0, 0.117851)"),
        (Uniform(-1 / 8, 1 / 8), "uniform(-0.125, 0.125)"),
        (Uniform(0, 1), "uniform(0, 1)"),
        (Constant(1), "1"),
        (Constant(-6.0), "-6"),
        (Constant(0.25), "0.25"),
    ],
)
def test_a_start_is_a_short_text(start: Start, text: str) -> None:
    """The distribution with its numbers, as golden texts have it."""
    assert str(start) == text
