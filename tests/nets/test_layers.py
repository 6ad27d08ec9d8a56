"""The facts that stand with an operation are those of the module that is built for it."""

from fractions import Fraction
from typing import get_args

import pytest
import torch

from resatlas.arch.ops import (
    AvgPool,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    Relu,
    Role,
    Scale,
    Shape,
    Sigmoid,
    Subsample,
    ZeroChannels,
    resized,
    weights,
)
from resatlas.arch.plan import Layer
from resatlas.nets.layers import module
from resatlas.page.drawing import DOES, KINDS

EXAMPLES: tuple[tuple[Op, int], ...] = (
    (Convolution(3, stride=2, groups=3), 12),
    (Convolution(1, bias=-2.0), 4),
    (Norm(), 6),
    (Relu(), 6),
    (Sigmoid(), 6),
    (Scale(Fraction(1, 2)), 6),
    (Dropout(0.5), 6),
    (MaxPool(), 6),
    (AvgPool(2), 6),
    (Subsample(2), 6),
    (ZeroChannels("sides"), 9),
    (GlobalPool(), 6),
    (Linear(), 5),
)
"""An operation between 6 channels and so many."""


@pytest.mark.parametrize(("op", "channels"), EXAMPLES, ids=lambda each: str(each))
def test_facts_are_those_of_the_module(op: Op, channels: int):
    """The names and shapes of its parameters, and the shape that it gives."""
    taken = Shape(6, 1, 1) if isinstance(op, Linear) else Shape(6, 7, 5)
    given = resized(op, taken)._replace(channels=channels)
    built = module(Layer(op.role, op, taken, given))
    assert {name: tuple(each.shape) for name, each in built.named_parameters()} == weights(op, 6, channels)
    maps = torch.zeros(2, 6) if isinstance(op, Linear) else torch.zeros(2, *taken)
    sides = () if isinstance(op, GlobalPool | Linear) else given[1:]
    assert built(maps).shape == (2, channels, *sides)


def test_every_operation_and_role_occurs():
    """Examples cover the union, roles are those of its members, and the drawing has a word for each."""
    assert {type(op) for op, _ in EXAMPLES} == set(get_args(Op))
    assert {op.role for op, _ in EXAMPLES} == set(get_args(Role)) == set(DOES)
    assert set(DOES.values()) <= set(KINDS)
