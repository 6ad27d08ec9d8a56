"""The receptive field of every stage: those of the literature, and the pixels that have a gradient."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn

import resatlas
from resatlas.arch.blueprint import Blueprint
from resatlas.arch.dilation import dilated
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.arch.receptive import Field, fields
from resatlas.arch.streams import MergeAndRun
from resatlas.designs.catalog import resolve
from resatlas.errors import DesignError
from resatlas.nets.network import Network, build
from tests.arch.strategies import blueprints

IMAGES = 4
"""A max pool has a gradient at one pixel of its window; in some of so many random images it is the first or last."""


@pytest.mark.parametrize(
    ("design", "sides"),
    [
        ("resnet-50", (35, 99, 291, 483)),
        ("resnet-101", (35, 99, 835, 1027)),
        ("resnet-152", (35, 163, 1315, 1507)),
        ("resnet-50-v1.5", (35, 91, 267, 427)),
        ("resnet-101-v1.5", (35, 91, 811, 971)),
        ("resnet-152-v1.5", (35, 155, 1291, 1451)),
        ("resnet-20", (15, 37, 81)),
    ],
)
def test_known_fields(design: str, sides: tuple[int, ...]) -> None:
    """The last of the first three are printed (Araujo et al., Distill 2019).

    By hand, a 3x3 adds twice the stride of its input, and before ResNet-50 the stem has 7 + 2 · 2 = 11 pixels and a
    stride of 4: 11 + 3·8 = 35, + 4·16 = 99, + 6·32 = 291, + 3·64 = 483. With the stride on the 3x3 of v1.5, the first
    unit of each later stage adds half as much: 35 + 8 + 3·16 = 91.
    """
    assert tuple(level.receptive_field for level in resatlas.levels(design)) == sides


def test_attention_does_not_count() -> None:
    """An SE-ResNet has the fields of its ResNet, though its means depend on whole maps."""
    assert [level.receptive_field for level in resatlas.levels("se-resnet-50")] == [35, 99, 291, 483]


FAMILIES = (
    "resnet:depth=8,base=4",
    "resnet-8-A-sides:base=4",
    "plain:depth=8,base=4",
    "resnet:depth=11,base=4,unit=bottleneck,stride=3x3",
    "preact-resnet-11-bottleneck:base=4",
    "wrn-10-1-B131:base=4",
    "resnext:depth=11,cardinality=2,base=16,form=a",
    "pyramidnet:depth=8,alpha=7,base=3",
    "res2net:depth=20,width=2,scale=4,setting=cifar,base=4",
    "dmrnet-8-k3-swap-sum",
    "dmrnet-8-projector-concat",
    "dmrnet-8-identity-separate",
)


@pytest.mark.parametrize("design", FAMILIES)
def test_the_field_has_the_pixels_with_a_gradient(design: str) -> None:
    """From the first to the last, after every stage of each family."""
    check(resatlas.plan(design, image=Shape(3, 128, 16)))


def test_a_shift_widens_the_field() -> None:
    """Bodies of 1x1 convolutions read fewer pixels than the shifted shortcut, which the field of the unit must have."""
    blueprint = resolve("shake-shake:depth=8,width=8,base=8").blueprint
    assert blueprint is not None
    points = tuple(replace(conv, kernel=1) for conv in blueprint.residual.convs)
    narrow = replace(blueprint, residual=replace(blueprint.residual, convs=points))
    plan = expand(narrow, image=Shape(3, 64, 16), classes=0)
    assert [field.side for field in fields(plan)] == [4, 5, 7]
    check(plan)


@pytest.mark.parametrize(("design", "stage"), [("resnet:depth=8,base=4", 1), ("pyramidnet:depth=8,alpha=7,base=3", 2)])
def test_a_dilated_network_has_the_field_of_its_strided_one(design: str, stage: int) -> None:
    """Dilation keeps the pixels of each position, so it keeps the field."""
    strided = resatlas.plan(design, image=Shape(3, 96, 16))
    other = dilated(strided, stage)
    assert [field.side for field in fields(other)] == [field.side for field in fields(strided)]
    check(other)


@given(blueprint=blueprints(most_units=2))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_every_blueprint(blueprint: Blueprint) -> None:
    """Of small fields; without attention.

    A projector, too, is left out: its shares can be negative, and a relu behind them 0.
    """
    bare = replace(blueprint, residual=replace(blueprint.residual, attention=None))
    if isinstance(bare.streams, MergeAndRun) and bare.streams.skip == "projector":
        bare = replace(bare, streams=replace(bare.streams, skip="mean"))
    largest = max(field.side for field in fields(expand(bare, image=Shape(2, 64, 64), classes=0)))
    assume(largest < 120)
    check(expand(bare, image=Shape(2, 2 * largest + 64, 8 * 4), classes=0))


def test_a_global_pool_in_a_stage_is_refused() -> None:
    """Only a plan from a file can have one."""
    plan = resatlas.plan("resnet-20")
    with pytest.raises(DesignError, match="no pool over the whole map"):
        resatlas.levels(replace(plan, stem=(*plan.stem, plan.head[0])))


def check(plan: Plan) -> None:
    """Compare the field of each stage with the rows of the image that have a gradient."""
    network = positive(build(plan, seed=0).double())
    images = torch.rand(IMAGES, *plan.image, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    maps = network.features(images.requires_grad_())
    for stage, field in enumerate(fields(plan)):
        one = maps[f"stages.{stage}"]
        middle = one.shape[2] // 2
        assert rows_with_gradient(one[:, :, middle], images) == rows_of(field, middle, plan.image.height), stage


def positive(network: Network) -> Network:
    """The network with positive weights that add up to 1 per output: no relu is 0, and no two paths cancel."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                weight = module.weight.abs() + 1e-3
                module.weight.copy_(weight / weight.sum(dim=(1, 2, 3), keepdim=True))
    return network.eval()


def rows_with_gradient(outputs: Tensor, images: Tensor) -> tuple[int, int]:
    """The first and the last row of any image of which the outputs depend."""
    (gradient,) = torch.autograd.grad(outputs.sum(), images, retain_graph=True)
    rows = gradient.abs().amax(dim=(0, 1, 3)).nonzero().flatten().tolist()
    return rows[0], rows[-1]


def rows_of(field: Field, position: int, height: int) -> tuple[int, int]:
    """The rows of a field, which are in the image."""
    first, last = position * field.stride + field.first, position * field.stride + field.last
    assert first > 0
    assert last < height - 1
    return first, last
