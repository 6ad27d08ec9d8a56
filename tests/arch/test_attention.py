"""Attention, slices, groups of a fixed width, stems of several convolutions: what they are, and what is refused."""

from fractions import Fraction

import pytest

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import cost, stage_cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Conv, Shape
from resatlas.arch.plan import to_json
from resatlas.arch.residual import Excitation, Residual, basic, bottleneck, cascaded
from resatlas.arch.widths import PerStage
from resatlas.designs.catalog import resolve
from resatlas.errors import DesignError

IMAGE = Shape(3, 16, 16)


def blueprint(
    width: int, *convs: Conv, attention: Excitation | None = None, lead: tuple[int, ...] = (), slices: int = 1
) -> Blueprint:
    """A network of one unit."""
    return Blueprint(
        stem=Stem(width=8, lead=lead),
        units=(1,),
        widths=PerStage((width,)),
        residual=Residual(
            convs=convs or basic(),
            attention=attention,
            bodies=slices,
            merge="cascade" if slices > 1 else "sum",
        ),
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            lambda: expand(blueprint(24, attention=Excitation(ratio=Fraction(1, 16))), image=IMAGE, classes=2),
            "an excitation ratio of 1/16 does not divide 24 channels (nearest: 16, 32)",
        ),
        (
            lambda: expand(blueprint(24, Conv(1), Conv(3, strided=True, group_width=16)), image=IMAGE, classes=2),
            "groups of 16 channels do not divide 24 channels (nearest: 16, 32)",
        ),
        (lambda: Excitation(ratio=Fraction(0)), "a ratio of excitation is above 0 and at most 4; got 0"),
        (
            lambda: Conv(3, groups=2, group_width=8),
            "a group has at least 1 channel, and not a number of groups too; got 8 channels and 2 groups",
        ),
        (lambda: Stem(width=8, lead=(8,) * 8), "a stem has at most 8 convolutions; got 9"),
        (lambda: resolve("se-resnet:depth=20,reduction=0"), "squeeze and excitation reduces channels 1 to 1,024 times"),
        (lambda: resolve("regnet:depth=4,w0=20"), "a RegNet's w0 is a multiple of 8; 20 is not (nearest: 16, 24)"),
        (lambda: resolve("regnet:depth=4,wm=1"), "a RegNet's wm is a factor above 1, up to 64; got 1"),
        (lambda: resolve("regnet:depth=0"), "a RegNet has depth 1 to 2,000, its number of units; got 0"),
        (lambda: resolve("resnet-50-d:base=7"), "the stem of a tweaked ResNet begins with base/2 channels; 7 is odd"),
        (lambda: resolve("resnet-51-d"), "(nearest: 50, 56)"),
        (
            lambda: expand(blueprint(32, Conv(3, strided=True), slices=3), image=IMAGE, classes=2),
            "3 slices do not divide 8 channels (nearest: 6, 9)",
        ),
        (
            lambda: expand(blueprint(32, Conv(3, strided=True), slices=2), image=IMAGE, classes=2),
            "a body of a cascade keeps the 4 channels of its slice; got 32",
        ),
        (lambda: Residual(convs=basic(), merge="cascade"), "a cascade has 2 to 256 slices; got 1"),
        (lambda: resolve("res2net-50-26w-1s"), "a Res2Net has a scale of 2 to 256 slices; got 1"),
        (lambda: resolve("res2net-34-26w-4s"), "a Res2Net has bottlenecks, so a depth of 50, 101, 152 or 200; got 34"),
        (lambda: resolve("res2net-51-26w-4s"), "(nearest: 47, 56)"),
        (lambda: cascaded(Residual(convs=basic()), 4), "slices divide the 3x3 of a bottleneck of one body"),
        (
            lambda: cascaded(Residual(convs=bottleneck(), shares=("projected",)), 4),
            "got shares = ['projected'], take shares = []",
        ),
    ],
)
def test_impossible_parts_are_refused(wrong: object, sentence: str) -> None:
    """The sentence names what was given and the nearest allowed value."""
    with pytest.raises(DesignError) as refused:
        wrong()  # type: ignore[operator]
    assert sentence in str(refused.value)


def test_attention_is_counted_at_one_pixel() -> None:
    """Two products of c·h weights and their biases; the cost of a stage at another side has them once, too."""
    plain = expand(blueprint(16), image=IMAGE, classes=2)
    excited = expand(blueprint(16, attention=Excitation(ratio=Fraction(1, 4))), image=IMAGE, classes=2)
    assert cost(excited).parameters - cost(plain).parameters == 2 * 16 * 4 + 4 + 16
    assert cost(excited).multiply_adds - cost(plain).multiply_adds == 2 * 16 * 4
    at = [stage_cost(plan.stages[0], 40).multiply_adds for plan in (excited, plain)]
    assert at[0] - at[1] == 2 * 16 * 4


def test_files_of_other_networks_stay_the_same() -> None:
    """What earlier versions could not say is written only where it is said."""
    assert "attention" not in str(to_json(expand(blueprint(16), image=IMAGE, classes=2)))
    assert "attention" in str(to_json(expand(blueprint(16, attention=Excitation()), image=IMAGE, classes=2)))


def test_a_narrow_convolution_has_one_group() -> None:
    """A group is never wider than the convolution."""
    plan = expand(blueprint(16, Conv(1), Conv(3, strided=True, group_width=32)), image=IMAGE, classes=2)
    assert all("groups=1" in str(layer.op) for layer in plan.stages[0][0].streams[0].bodies[0] if "conv" in layer.role)
