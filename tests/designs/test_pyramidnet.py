"""Widths of PyramidNets against the published sequences.

Source: authors' code, jhkim89/PyramidNet addpyramidnet.lua and jhkim89/PyramidNet-caffe deploy*.prototxt.
"""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.cost import unit_cost
from resatlas.arch.widths import unit_widths
from resatlas.designs.catalog import resolve


def widths(text: str) -> tuple[tuple[int, ...], ...]:
    """The width of every unit, stage by stage."""
    blueprint = resolve(text).blueprint
    return unit_widths(blueprint.widths, blueprint.units)


def test_the_inner_widths_of_the_imagenet_network() -> None:
    """66 bottlenecks, alpha = 300: 69, 73, 78, 82, 87 … 355, 359, 364; outputs are four times that."""
    outputs = [width for stage in widths("pyramidnet-200-bottleneck-a300") for width in stage]
    assert len(outputs) == 66
    inner = [width // 4 for width in outputs]
    assert [4 * width for width in inner] == outputs
    assert inner[:5] == [69, 73, 78, 82, 87]
    assert inner[-3:] == [355, 359, 364]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("pyramidnet-110-a48", (32, 48, 64)),
        ("pyramidnet-110-a84", (44, 72, 100)),
        ("pyramidnet-110-a270", (106, 196, 286)),
        ("pyramidnet-110-m4.75", (27, 45, 76)),
        ("pyramidnet-110-m8", (32, 64, 128)),
        ("pyramidnet-110-m27", (48, 144, 432)),
    ],
)
def test_the_stage_ends_of_the_110_layer_networks(name: str, ends: tuple[int, ...]) -> None:
    """The last width of every stage of 18 units."""
    assert tuple(stage[-1] for stage in widths(name)) == ends


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("pyramidnet-164-bottleneck-a48", 256),
        ("pyramidnet-164-bottleneck-a84", 400),
        ("pyramidnet-164-bottleneck-a270", 1144),
        ("pyramidnet-200-bottleneck-a240", 1024),
        ("pyramidnet-272-bottleneck-a200", 864),
        ("pyramidnet-101-bottleneck-a250", 1256),
        ("pyramidnet-152-bottleneck-a200", 1056),
        ("pyramidnet-200-bottleneck-a300", 1456),
        ("pyramidnet-200-bottleneck-a450", 2056),
    ],
)
def test_the_last_width_is_reached(name: str, last: int) -> None:
    """Four times the start and the whole alpha: no rounding is carried along."""
    assert widths(name)[-1][-1] == last


@given(n=st.integers(1, 30), alpha=st.fractions(0, 500, max_denominator=100))
@settings(max_examples=40, deadline=None)
def test_an_additive_pyramid_climbs_evenly(n: int, alpha: Fraction) -> None:
    """It starts near 16 + alpha/N, ends at 16 + alpha rounded, and no two steps differ by more than one channel."""
    units = 3 * n
    line = [width for stage in widths(f"pyramidnet:depth={6 * n + 2},alpha={alpha}") for width in stage]
    steps = {after - before for before, after in pairwise([16, *line])}
    assert line[-1] == int(16 + alpha + Fraction(1, 2))
    assert abs(line[0] - 16 - alpha / units) <= Fraction(1, 2)
    assert max(steps) - min(steps) <= 1


def test_the_share_of_each_stage() -> None:
    """Percent of the units' parameters a stage: additive pyramids favour the input side."""
    shares = {}
    for name in ("pyramidnet-110-a270", "pyramidnet-110-m27", "pyramidnet-110-a48", "pyramidnet-110-m4.75"):
        sizes = [sum(unit_cost(unit).parameters for unit in stage) for stage in resolve(name).plan().stages]
        shares[name] = [round(100 * size / sum(sizes)) for size in sizes]
    assert shares == {
        "pyramidnet-110-a270": [5, 27, 68],
        "pyramidnet-110-m27": [1, 10, 89],
        "pyramidnet-110-a48": [11, 30, 59],
        "pyramidnet-110-m4.75": [8, 24, 68],
    }


def test_the_unit_has_no_first_relu_and_none_after_the_sum() -> None:
    """norm-conv-norm-relu-conv-norm beside an averaged, zero-padded shortcut of x itself."""
    [(_, _), (_, unit), *_] = resolve("pyramidnet:depth=8,alpha=48").plan().units
    [stream] = unit.streams
    assert [layer.role for layer in stream.first] == ["norm"]
    assert [layer.role for layer in stream.bodies[0]] == ["conv1", "norm1", "relu1", "conv2", "norm2"]
    assert [layer.role for layer in stream.shortcut or ()] == ["pool", "pad"]
    assert (stream.reads, unit.after_sum) == ("input", ())


def test_the_largest_network_alone_drops_out() -> None:
    """With alpha = 450 there is dropout between pool and classifier, with alpha = 300 there is none."""
    roles = {
        alpha: [layer.role for layer in resolve(f"pyramidnet-200-bottleneck-a{alpha}").plan().head]
        for alpha in (300, 450)
    }
    assert roles == {
        300: ["norm", "relu", "pool", "linear"],
        450: ["norm", "relu", "pool", "dropout", "linear"],
    }
