"""What a plan costs is the sum of what its layers cost, and each layer costs what its formula says."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import Cost, cost, cost_by_path, layer_cost, total_cost, unit_cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Convolution, Linear, Norm, Relu, Shape
from resatlas.arch.plan import Layer
from resatlas.arch.residual import Residual, bottleneck
from resatlas.arch.streams import MergeAndRun
from resatlas.arch.widths import PerStage
from tests.arch.strategies import blueprints, images


@given(blueprint=blueprints(), image=images(), classes=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_whole_is_the_sum_of_its_paths(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """By path, by unit and at once, a plan costs the same."""
    plan = expand(blueprint, image=image, classes=classes)
    units = sum((unit_cost(unit) for _, unit in plan.units), Cost())
    assert cost(plan) == sum(cost_by_path(plan).values(), Cost())
    assert cost(plan) == units + total_cost((*plan.stem * plan.stems, *plan.head * plan.heads))


@given(blueprint=blueprints(), image=images(), classes=st.integers(1, 1000))
@settings(max_examples=20, deadline=None)
def test_classes_cost_the_classifier_alone(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """A row of weights, a bias and an output for each class, in each classifier."""
    without, plan = (expand(blueprint, image=image, classes=number) for number in (0, classes))
    weights = classes * without.head[-1].output.channels
    rows = Cost(weights + classes, weights, classes)
    assert cost(plan) == sum([rows] * plan.heads, cost(without))


def test_a_convolution_costs_its_kernel_at_every_position() -> None:
    """5x5, 6 to 4 channels in 2 groups: 25·3·4 weights at each of 7x9 positions."""
    layer = Layer("conv", Convolution(5, 2, 2), Shape(6, 14, 17), Shape(4, 7, 9))
    assert layer_cost(layer) == Cost(300, 300 * 63, 4 * 63)


def test_a_norm_costs_parameters_only() -> None:
    """A scale and a shift for each channel; an activation costs nothing."""
    shape = Shape(6, 14, 17)
    assert layer_cost(Layer("norm", Norm(), shape, shape)) == Cost(12, 0, 0)
    assert layer_cost(Layer("relu", Relu(), shape, shape)) == Cost()


def test_a_classifier_has_a_bias() -> None:
    """6 features, 4 classes: 24 weights and 4 shifts."""
    assert layer_cost(Layer("linear", Linear(), Shape(6, 1, 1), Shape(4, 1, 1))) == Cost(28, 24, 4)


def test_streams_cost_once_each() -> None:
    """Three streams are three times one stream, between the same stem and head."""
    one = Blueprint(
        stem=Stem(width=16),
        units=(2, 2),
        widths=PerStage((16, 32)),
        residual=Residual(convs=bottleneck()),
        streams=MergeAndRun(count=1),
    )
    image = Shape(3, 16, 16)
    single, triple = (expand(replace(one, streams=MergeAndRun(count=k)), image=image, classes=3) for k in (1, 3))
    ends = total_cost((*single.stem, *single.head))
    units = sum((unit_cost(unit) for _, unit in single.units), Cost())
    assert cost(triple) == ends + units + units + units
