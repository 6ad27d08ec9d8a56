"""What `expand` makes of any blueprint: shapes that meet, paths that are roles, widths of the rule."""

import re
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import cost_by_path
from resatlas.arch.expand import expand
from resatlas.arch.ops import (
    AvgPool,
    Conv,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    Relu,
    Scale,
    Shape,
    Sigmoid,
    Subsample,
    ZeroChannels,
)
from resatlas.arch.plan import Chain, Layer, Plan, layers, sliced
from resatlas.arch.residual import (
    POST_ACTIVATION,
    PRE_ACTIVATION,
    Absent,
    Omit,
    Projection,
    Residual,
    ZeroPad,
    basic,
    modified,
)
from resatlas.arch.streams import Join, MergeAndRun
from resatlas.arch.widths import AdditivePyramid, PerStage, unit_widths
from resatlas.errors import DesignError, GroupsError, ImageError, WidthError
from tests.arch.strategies import blueprints, images

ROLE = r"(conv|norm|relu|sigmoid|scale|dropout|pool|subsample|pad|linear)\d*"
PATH = re.compile(
    rf"(stem|head|stems\.\d+|heads\.\d+)\.{ROLE}"
    rf"|stages\.\d+\.\d+\.(streams\.\d+\.)?(first|body|bodies\.\d+|attention|merged|shortcut|gate|after_sum)\.{ROLE}"
)

SMALL = Blueprint(stem=Stem(width=8), units=(1, 1), widths=PerStage((8, 16)), residual=Residual(convs=basic()))
IMAGE = Shape(3, 8, 8)


def of(*convs: Conv) -> Blueprint:
    """The small network with bodies of these convolutions."""
    return of_residual(Residual(convs=convs))


def of_residual(residual: Residual) -> Blueprint:
    """The small network of these units."""
    return replace(SMALL, residual=residual)


def shortcuts(blueprint: Blueprint) -> list[list[Op] | None]:
    """The operations on the shortcut of every unit, or None."""
    streams = [unit.streams[0] for _, unit in expand(blueprint, image=IMAGE, classes=2).units]
    return [None if stream.shortcut is None else [layer.op for layer in stream.shortcut] for stream in streams]


def put_out(layer: Layer) -> tuple[int, int]:
    """Height and width by the arithmetic of padded windows."""
    match layer.op:
        case Convolution(kernel=kernel, stride=stride) | MaxPool(kernel=kernel, stride=stride):
            high, wide = ((side + 2 * (kernel // 2) - kernel) // stride + 1 for side in layer.input[1:])
            return high, wide
        case AvgPool(stride) | Subsample(stride):
            return len(range(0, layer.input.height, stride)), len(range(0, layer.input.width, stride))
        case GlobalPool():
            return 1, 1
        case _:
            return layer.input.height, layer.input.width


def end(chain: Chain, shape: Shape) -> Shape:
    """The shape after a chain that takes `shape`, each layer checked against the next."""
    for layer in chain:
        assert layer.input == shape
        assert layer.output[1:] == put_out(layer)
        assert layer.output.channels == layer.input.channels or isinstance(
            layer.op, Convolution | Linear | ZeroChannels | Subsample
        )
        shape = layer.output
    return shape


@given(blueprint=blueprints(), image=images(), classes=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_shape_given_is_the_shape_taken(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Layer by layer, unit by unit, from the image to the classifier."""
    plan = expand(blueprint, image=image, classes=classes)
    shape = end(plan.stem, image)
    outcomes = 1
    for _, unit in plan.units:
        assert unit.input == shape
        for stream in unit.streams:
            activated = end(stream.first, unit.input)
            read = activated
            if sliced(stream):
                read = read._replace(channels=read.channels // len(stream.bodies))
            ends = {end(body, read) for body in stream.bodies}
            assert len(ends) == 1
            merged = ends.pop()
            if stream.merge != "sum":
                merged = merged._replace(channels=merged.channels * len(stream.bodies))
            assert end(stream.merged, merged) == unit.output
            if stream.shortcut is not None:
                assert end(stream.shortcut, activated if stream.reads == "pre-activated" else unit.input) == unit.output
                assert end(stream.gate, unit.output) == unit.output
        assert end(unit.after_sum, unit.output) == unit.output
        shape, outcomes = unit.output, unit.outcomes
    channels = shape.channels * outcomes // plan.heads
    assert end(plan.head, shape._replace(channels=channels)) == Shape(classes or channels, 1, 1)


@given(blueprint=blueprints(), image=images())
@settings(max_examples=25, deadline=None)
def test_paths_are_roles_and_unique(blueprint: Blueprint, image: Shape) -> None:
    """Every path consists of roles, and all paths differ."""
    paths = [path for path, _ in layers(expand(blueprint, image=image, classes=2))]
    assert len(set(paths)) == len(paths)
    assert not [path for path in paths if not PATH.fullmatch(path)]


@given(blueprint=blueprints(), image=images())
@settings(max_examples=25, deadline=None)
def test_widths_and_strides_are_those_of_the_rule(blueprint: Blueprint, image: Shape) -> None:
    """Each unit is as wide as the rule says, and the first of every later stage halves the map."""
    plan = expand(blueprint, image=image, classes=2)
    widths = unit_widths(blueprint.widths, blueprint.units)
    assert tuple(tuple(unit.output.channels for unit in stage) for stage in plan.stages) == widths
    for number, stage in enumerate(plan.stages):
        assert [unit.stride for unit in stage] == [2 if number else blueprint.first_stride, *[1] * (len(stage) - 1)]


@given(blueprint=blueprints(), image=images())
@settings(max_examples=25, deadline=None)
def test_streams_are_joined_once_at_the_end(blueprint: Blueprint, image: Shape) -> None:
    """Only the last unit of several streams has a join, and all streams of a unit are equal."""
    plan = expand(blueprint, image=image, classes=2)
    units = [unit for _, unit in plan.units]
    several = isinstance(blueprint.streams, MergeAndRun)
    assert [unit.join is not None for unit in units] == [False] * (len(units) - 1) + [several]
    skip = blueprint.streams.skip if isinstance(blueprint.streams, MergeAndRun) else "own"
    assert {unit.skip for unit in units} == {skip}
    assert all(len(set(unit.streams)) == 1 for unit in units)


def tensors(plan: Plan) -> list[str]:
    """The paths of the layers that have weights."""
    return list(cost_by_path(plan))


def test_operations_without_weights_shift_no_path() -> None:
    """The weights have the same paths with more or fewer activations between."""
    fewer = Residual(convs=basic((3, 3, 3)), order=replace(POST_ACTIVATION, between=(Norm(),), after_sum=()))
    more = replace(fewer, order=replace(fewer.order, between=(Relu(), Norm(), Relu()), last=(Relu(), Norm())))
    plans = [expand(replace(SMALL, residual=residual), image=IMAGE, classes=2) for residual in (fewer, more)]
    assert tensors(plans[0]) == tensors(plans[1])


def test_paths_of_a_small_network() -> None:
    """Numbers stand in bodies from 1, elsewhere from the second of a kind."""
    assert tensors(expand(SMALL, image=IMAGE, classes=2)) == [
        "stem.conv",
        "stem.norm",
        "stages.0.0.body.conv1",
        "stages.0.0.body.norm1",
        "stages.0.0.body.conv2",
        "stages.0.0.body.norm2",
        "stages.1.0.body.conv1",
        "stages.1.0.body.norm1",
        "stages.1.0.body.conv2",
        "stages.1.0.body.norm2",
        "stages.1.0.shortcut.conv",
        "stages.1.0.shortcut.norm",
        "head.linear",
    ]


def test_paths_of_streams_and_bodies_name_them() -> None:
    """A stream and a body stand in the path where there are several."""
    many = replace(
        SMALL, units=(1,), widths=PerStage((8,)), residual=replace(SMALL.residual, bodies=2), streams=MergeAndRun()
    )
    assert tensors(expand(many, image=IMAGE, classes=0)) == [
        "stem.conv",
        "stem.norm",
        *(
            f"stages.0.0.streams.{stream}.bodies.{body}.{role}"
            for stream in (0, 1)
            for body in (0, 1)
            for role in ("conv1", "norm1", "conv2", "norm2")
        ),
    ]


@pytest.mark.parametrize(("join", "paths"), [("merge", [""]), ("sum", [""]), ("concat", ["streams.0.", "streams.1."])])
def test_after_the_sum_stands_once_a_tensor(join: Join, paths: list[str]) -> None:
    """Joined streams are activated once, streams side by side each."""
    blueprint = replace(SMALL, units=(1,), widths=PerStage((8,)), streams=MergeAndRun(join=join))
    every = [path for path, _ in layers(expand(blueprint, image=IMAGE, classes=2)) if "after_sum" in path]
    assert every == [f"stages.0.0.{path}after_sum.relu" for path in paths]


def test_what_the_shortcut_reads() -> None:
    """The pre-activated tensor at the positions that are shared, x elsewhere."""
    residual = Residual(convs=basic(), order=PRE_ACTIVATION, shortcut=Projection(after=()))
    blueprint = replace(SMALL, units=(2, 2), residual=residual)
    reads = {
        shares: [
            unit.streams[0].reads == "pre-activated"
            for _, unit in expand(
                replace(blueprint, residual=replace(residual, shares=shares)), image=IMAGE, classes=2
            ).units
        ]
        for shares in ((), ("network-start",), ("stage-start",), ("projected",), ("network-start", "projected"))
    }
    assert reads == {
        (): [False, False, False, False],
        ("network-start",): [True, False, False, False],
        ("stage-start",): [False, False, True, False],
        ("projected",): [False, False, True, False],
        ("network-start", "projected"): [True, False, True, False],
    }


def test_a_bare_opening_takes_the_stem_as_it_comes() -> None:
    """Only the first unit of the network loses its first operations."""
    residual = Residual(convs=basic(), order=PRE_ACTIVATION, opening="bare", shares=("network-start",))
    units = [unit.streams[0] for _, unit in expand(replace(SMALL, residual=residual), image=IMAGE, classes=2).units]
    assert [[layer.role for layer in stream.first] for stream in units] == [[], ["norm", "relu"]]
    assert units[0].reads == "input"


def test_omit_keeps_the_identity_alone() -> None:
    """No shortcut where the shape changes, the identity elsewhere."""
    blueprint = replace(SMALL, residual=replace(SMALL.residual, shortcut=Omit()))
    assert shortcuts(blueprint) == [[], None]


def test_padding_averages_before_it_pads() -> None:
    """The shortcut of a pyramid takes means of pixels, then appends channels."""
    blueprint = replace(SMALL, residual=replace(SMALL.residual, shortcut=ZeroPad(subsample="average")))
    assert shortcuts(blueprint) == [[], [AvgPool(2), ZeroChannels()]]


@pytest.mark.parametrize(("place", "text"), [("end", ZeroChannels()), ("sides", ZeroChannels("sides"))])
def test_zeros_stand_where_the_shortcut_says(place: Literal["end", "sides"], text: ZeroChannels) -> None:
    """Pixels are left out first, then zeros come behind the channels or on both sides; equal shapes need neither."""
    blueprint = of_residual(replace(SMALL.residual, shortcut=ZeroPad(place=place)))
    assert shortcuts(blueprint) == [[], [Subsample(2), text]]


WIDENING = replace(SMALL, units=(2, 2), widths=AdditivePyramid(start=8, alpha=Fraction(8)))


@pytest.mark.parametrize(
    ("where", "projects"),
    [("resized", [True] * 4), ("strided", [False, False, True, False]), ("everywhere", [True] * 4)],
)
def test_projections_stand_where_they_are_told(
    where: Literal["resized", "strided", "everywhere"], projects: list[bool]
) -> None:
    """Where units widen one by one; the units that do not project append zeros, with no pixel left out."""
    residual = Residual(convs=basic(), shortcut=Projection(where=where))
    by_unit = shortcuts(replace(WIDENING, residual=residual))
    assert [any(isinstance(op, Convolution) for op in ops or ()) for ops in by_unit] == projects
    assert [ops for ops, is_projected in zip(by_unit, projects, strict=True) if not is_projected] == [
        [ZeroChannels()] for is_projected in projects if not is_projected
    ]


def test_projections_everywhere_stand_beside_equal_shapes_too() -> None:
    """A unit that changes nothing projects, with a norm, only by that rule."""
    same = replace(SMALL, units=(2,), widths=PerStage((8,)))
    resized, strided, everywhere = (
        shortcuts(replace(same, residual=Residual(convs=basic(), shortcut=Projection(where=where))))
        for where in ("resized", "strided", "everywhere")
    )
    assert resized == strided == [[], []]
    assert everywhere == [[Convolution(1), Norm()]] * 2


def test_a_modification_stands_on_every_shortcut() -> None:
    """They follow the identity and the norm of a projection; without a shortcut there are none."""
    usual = modified(modified(SMALL.residual, "scale-0.5-1"), "dropout-0.5")
    change = [Scale(Fraction(1, 2)), Dropout(0.5)]
    assert shortcuts(of_residual(usual)) == [change, [Convolution(1, 2), Norm(), *change]]
    assert shortcuts(of_residual(replace(usual, shortcut=Absent()))) == [None, None]


def test_a_modification_stands_on_the_identities_that_omit_leaves() -> None:
    """A unit that keeps its shape keeps its shortcut, so that is modified too."""
    halved = modified(SMALL.residual, "scale-0.5-0.5")
    assert shortcuts(of_residual(replace(halved, shortcut=Omit()))) == [[Scale(Fraction(1, 2))], None]


def test_a_gate_reads_what_the_shortcut_gives() -> None:
    """A biased 1x1 convolution and a sigmoid, of the unit's output width; no gate without a shortcut."""
    gated = modified(SMALL.residual, "shortcut-gate-b-6")
    for shortcut, gates in ((Projection(), [True, True]), (Omit(), [True, False]), (Absent(), [False, False])):
        units = [
            unit for _, unit in expand(of_residual(replace(gated, shortcut=shortcut)), image=IMAGE, classes=2).units
        ]
        streams = [unit.streams[0] for unit in units]
        assert [bool(stream.gate) for stream in streams] == gates
        for unit, stream in zip(units, streams, strict=True):
            if stream.gate:
                assert [layer.op for layer in stream.gate] == [Convolution(1, bias=-6), Sigmoid()]
                assert {shape for layer in stream.gate for shape in (layer.input, layer.output)} == {unit.output}
                assert stream.gated == "shortcut"


@pytest.mark.parametrize(
    ("stems", "join", "stem", "head"),
    [
        ("shared", "merge", ["stem.conv"], ["head.linear"]),
        ("separate", "concat", ["stems.0.conv", "stems.1.conv"], ["head.linear"]),
        ("shared", "logits", ["stem.conv"], ["heads.0.linear", "heads.1.linear"]),
        ("separate", "logits", ["stems.0.conv", "stems.1.conv"], ["heads.0.linear", "heads.1.linear"]),
    ],
)
def test_ends_are_shared_or_stand_once_a_stream(
    stems: Literal["shared", "separate"], join: Join, stem: list[str], head: list[str]
) -> None:
    """Each stream has its own stem where stems are separate, its own classifier where the join is of logits."""
    blueprint = replace(SMALL, streams=MergeAndRun(stems=stems, join=join))
    paths = tensors(expand(blueprint, image=IMAGE, classes=2))
    assert [path for path in paths if path.startswith("stem") and "conv" in path] == stem
    assert [path for path in paths if path.startswith("head")] == head


def test_ends_of_one_stream_are_shared_ends() -> None:
    """A single stream has one stem and one classifier in any case."""
    separate = replace(SMALL, streams=MergeAndRun(count=1, stems="separate", join="logits"))
    plan = expand(separate, image=IMAGE, classes=2)
    assert (plan.stems, plan.heads) == (1, 1)


@pytest.mark.parametrize(("join", "channels"), [("merge", 16), ("sum", 16), ("concat", 48), ("logits", 16)])
def test_the_head_takes_what_the_join_leaves(join: Join, channels: int) -> None:
    """One stream's channels, or those of all three side by side."""
    plan = expand(replace(SMALL, streams=MergeAndRun(count=3, join=join)), image=IMAGE, classes=2)
    assert plan.head[0].input.channels == channels
    assert plan.heads == (3 if join == "logits" else 1)


def test_no_classes_leave_the_features() -> None:
    """Without classes the head ends in the pool."""
    assert [layer.role for layer in expand(SMALL, image=IMAGE, classes=0).head] == ["pool"]


@pytest.mark.parametrize(
    ("blueprint", "image", "error", "words"),
    [
        (
            of(Conv(3, Fraction(1, 3), strided=True), Conv(3)),
            IMAGE,
            WidthError,
            "a share of 1/3 of 8 channels is not a whole number",
        ),
        (
            of(Conv(3, strided=True, groups=3), Conv(3)),
            IMAGE,
            GroupsError,
            "3 groups do not divide 8 channels (nearest: 6, 9)",
        ),
        (
            of(Conv(3, Fraction(1, 2), strided=True)),
            IMAGE,
            WidthError,
            "the bodies of a unit end with 4 channels; the unit has 8",
        ),
        (
            replace(SMALL, residual=Residual(convs=basic(), shortcut=ZeroPad()), widths=PerStage((8, 4))),
            IMAGE,
            WidthError,
            "zero-padding only adds channels; this unit narrows from 8 to 4",
        ),
        (
            replace(SMALL, widths=PerStage((8,))),
            IMAGE,
            WidthError,
            "2 stages need 2 widths; got 1",
        ),
        (
            SMALL,
            Shape(3, 1, 8),
            ImageError,
            "a map of 1x8 pixels is too small for a stride of 2; give a larger image",
        ),
        (
            SMALL,
            Shape(3, 5000, 8),
            ImageError,
            "an image is 1-1024 channels of up to 4096x4096 pixels; got 3x5000x8",
        ),
        (SMALL, Shape(0, 8, 8), ImageError, "an image is 1-1024 channels of up to 4096x4096 pixels; got 0x8x8"),
        (SMALL, Shape(3, 8, -8), ImageError, "an image is 1-1024 channels of up to 4096x4096 pixels; got 3x8x-8"),
    ],
)
def test_what_cannot_be_expanded_is_told(
    blueprint: Blueprint, image: Shape, error: type[DesignError], words: str
) -> None:
    """Widths, groups and images that do not fit are refused with what was given and what would fit."""
    with pytest.raises(error) as refusal:
        expand(blueprint, image=image, classes=2)
    assert str(refusal.value) == words


@pytest.mark.parametrize("classes", [-1, 1_000_001])
def test_classes_have_bounds(classes: int) -> None:
    """Neither negative nor absurd numbers of classes make a network."""
    with pytest.raises(WidthError) as refusal:
        expand(SMALL, image=IMAGE, classes=classes)
    assert str(refusal.value) == f"a network has 0 (no classifier) to 1,000,000 classes; got {classes:,}"
