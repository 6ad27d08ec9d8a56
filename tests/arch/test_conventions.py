"""What each counter counts, by hand."""

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.conventions import CONVENTIONS, profiled
from resatlas.arch.cost import cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import MaxPool, Shape
from resatlas.arch.residual import Residual, basic
from resatlas.arch.widths import PerStage
from resatlas.designs.catalog import plan


def test_a_network_counted_by_hand() -> None:
    """One unit on an 8x8 image, layer by layer."""
    blueprint = Blueprint(
        stem=Stem(width=4, pool=MaxPool()), units=(1,), widths=PerStage((4,)), residual=Residual(convs=basic())
    )
    drawn = expand(blueprint, image=Shape(1, 8, 8), classes=3)
    maps, small = 4 * 8 * 8, 4 * 4 * 4
    stem = 9 * 1 * maps + 2 * maps + maps + maps  # conv, norm, relu, and the pool, which reads what relu gives
    unit = 2 * (9 * 4 * small + 2 * small) + small + small  # two convs and norms, a relu between and one behind the sum
    head = small + 4 * 3 + 3  # global pool, weights, biases
    assert profiled(drawn) == stem + unit + head


def test_a_gate_has_biases_and_its_sigmoid_is_not_counted() -> None:
    """A gate adds a 1x1 convolution with bias in every unit, under each rule what that rule makes of it."""
    plain, gated = plan("resnet-20"), plan("resnet-20:modified=shortcut-gate-b0")
    values = [unit.output.channels * unit.output.height * unit.output.width for _, unit in plain.units]
    weights = sum(value * unit.output.channels for value, (_, unit) in zip(values, plain.units, strict=True))
    added = {convention.name: convention.count(gated) - convention.count(plain) for convention in CONVENTIONS}
    assert added == {
        "papers": weights,
        "torchvision": weights,
        "FlopCounterMode": 2 * weights,
        "ptflops": weights + sum(values),
    }


def test_the_figures_of_one_network() -> None:
    """3.86, 4.09, 7.72 and 8.18 G of a ResNet-50 and its twin; 4.12 G is what ptflops 0.7.5 finds in torchvision's.

    Measured with ptflops 0.7.5 on torchvision 0.29.1, `count_functional` off: 4,121,925,096.
    """
    counts = [
        {convention.name: convention.count(plan(name)) for convention in CONVENTIONS}
        for name in ("resnet-50", "resnet-50-v1.5")
    ]
    assert counts == [
        {
            "papers": 3_857_973_248,
            "torchvision": 3_857_973_248,
            "FlopCounterMode": 7_715_946_496,
            "ptflops": 3_889_133_544,
        },
        {
            "papers": 4_089_184_256,
            "torchvision": 4_089_184_256,
            "FlopCounterMode": 8_178_368_512,
            "ptflops": 4_121_925_096,
        },
    ]
    assert counts[0]["papers"] == cost(plan("resnet-50")).multiply_adds
