"""The shapes that an operation declares are those of its module."""

from fractions import Fraction
from typing import get_args

import pytest
import torch

from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
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
    SlidingMean,
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
    (Convolution(3, dilation=2), 4),
    (ChannelConvolution(3), 6),
    (Norm(), 6),
    (Relu(), 6),
    (Sigmoid(), 6),
    (Scale(Fraction(1, 2)), 6),
    (Dropout(0.5), 6),
    (MaxPool(), 6),
    (AvgPool(2), 6),
    (SlidingMean(2, 2), 6),
    (Subsample(2), 6),
    *((Subsample(stride, shift=shift), 12) for stride, shift in ((1, 1), (2, 1), (2, -1), (2, 3))),
    (ZeroChannels("sides"), 9),
    (GlobalPool(), 6),
    (Linear(), 5),
)
"""Operations with 6 input channels, and their number of output channels."""


@pytest.mark.parametrize(("op", "channels"), EXAMPLES, ids=lambda value: str(value))
def test_declared_shapes_are_those_of_the_module(op: Op, channels: int):
    """The names and shapes of the parameters and the shape of the output are as declared."""
    input_shape = Shape(6, 1, 1) if isinstance(op, Linear | ChannelConvolution) else Shape(6, 7, 5)
    output_shape = resized(op, input_shape)._replace(channels=channels)
    built = module(Layer(op.role, op, input_shape, output_shape))
    assert {name: tuple(parameter.shape) for name, parameter in built.named_parameters()} == weights(op, 6, channels)
    maps = torch.zeros(2, 6) if isinstance(op, Linear) else torch.zeros(2, *input_shape)
    sides = () if isinstance(op, GlobalPool | Linear) else output_shape[1:]
    assert built(maps).shape == (2, channels, *sides)


def test_every_operation_and_role_occurs():
    """The examples cover all operations and roles, and the drawing has a word for each."""
    assert {type(op) for op, _ in EXAMPLES} == set(get_args(Op))
    assert {op.role for op, _ in EXAMPLES} == set(get_args(Role)) == set(DOES)
    assert set(DOES.values()) <= set(KINDS)
