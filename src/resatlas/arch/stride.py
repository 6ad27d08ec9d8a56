"""The convolution of a bottleneck that has the stride, and the twin with the stride on the other one."""

from dataclasses import replace
from typing import Literal

from resatlas.arch.blueprint import Blueprint

StridePlace = Literal["first 1x1", "3x3"]
"""The convolution that halves the map. Source: ResNet paper, Caffe models; fb.resnet.torch, torchvision ("v1.5")."""


def stride_place(blueprint: Blueprint) -> StridePlace | None:
    """The convolution of a bottleneck with the stride; None for units that do not begin with 1x1 and 3x3."""
    convs = blueprint.residual.convs
    if [conv.kernel for conv in convs[:2]] != [1, 3]:
        return None
    return "first 1x1" if convs[0].strided else "3x3" if convs[1].strided else None


def twin(blueprint: Blueprint) -> Blueprint | None:
    """The network with the stride on the other convolution of its bottlenecks; None if it has none."""
    if stride_place(blueprint) is None:
        return None
    narrow, wide, *rest = blueprint.residual.convs
    swapped = (replace(narrow, strided=wide.strided), replace(wide, strided=narrow.strided), *rest)
    return replace(blueprint, residual=replace(blueprint.residual, convs=swapped))
