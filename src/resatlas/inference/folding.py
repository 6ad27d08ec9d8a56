"""Folding of normalisations into convolutions, for networks in evaluation mode.

In evaluation mode a norm is x -> scale·x + shift, per channel. It can be folded into the weights of a convolution
directly before it, or of a 1x1 convolution directly after it. It cannot be folded into a padded convolution after it,
since the zeros of the padding would have to become `shift`. A norm that cannot be folded remains a scale and a shift,
and the reason is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.arch import plan
from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Relu,
    Scale,
    Shape,
    SlidingMean,
)

Then = Literal["nothing", "relu"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolve:
    """x -> then(conv(x, weight) + bias); `input` is the shape of x."""

    op: Convolution
    input: Shape
    weight: Tensor
    bias: Tensor
    then: Then = "nothing"


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """x -> then(scale·x + shift), per channel; `norms` are the paths of the norms that it replaces."""

    scale: Tensor
    shift: Tensor
    then: Then = "nothing"
    norms: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Classify:
    """x -> weight·x + bias."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class Plain:
    """An operation without weights, run by the network's own module."""

    op: plan.Op
    module: nn.Module


Step = Convolve | Affine | Classify | Plain
Steps = tuple[Step, ...]


class Unfolded(NamedTuple):
    """A norm that was not folded into a convolution, and the reason."""

    path: str
    reason: str


def steps(prefix: str, chain: plan.Chain, modules: Mapping[str, nn.Module]) -> Steps:
    """The layers of a chain in evaluation mode, one step per layer, in float64; dropout is left out."""
    named = [(f"{prefix}.{layer.role}", layer) for layer in chain if not isinstance(layer.op, Dropout)]
    return tuple(_step(path, layer, modules[path]) for path, layer in named)


def _step(path: str, layer: plan.Layer, module: nn.Module) -> Step:
    channels = layer.output.channels
    match layer.op, module:
        case Convolution() as op, nn.Conv2d(weight=weight, bias=bias):
            return Convolve(op=op, input=layer.input, weight=as_float64(weight), bias=as_float64(bias, channels))
        case ChannelConvolution(), nn.Conv1d(weight=weight):
            banded = _banded(as_float64(weight).flatten(), channels)
            return Convolve(op=Convolution(1), input=layer.input, weight=banded, bias=as_float64(None, channels))
        case Norm(eps=eps), nn.BatchNorm2d(running_mean=mean, running_var=variance):
            scale = as_float64(module.weight) / (as_float64(variance) + eps).sqrt()
            return Affine(scale=scale, shift=as_float64(module.bias) - as_float64(mean) * scale, norms=(path,))
        case Scale(factor=factor), _:
            return Affine(scale=as_float64(None, channels) + float(factor), shift=as_float64(None, channels))
        case Linear(), nn.Linear(weight=weight, bias=bias):
            return Classify(as_float64(weight), as_float64(bias))
        case op, _:
            return Plain(op, module)


def _banded(weight: Tensor, channels: int) -> Tensor:
    """A convolution along the channels as the matrix of a 1x1 convolution: weight[j - i + k//2] in row i, column j."""
    matrix = torch.zeros(channels, channels, dtype=weight.dtype)
    for offset, value in enumerate(weight, -(len(weight) // 2)):
        torch.diagonal(matrix, offset).fill_(value)
    return matrix[:, :, None, None]


def as_float64(tensor: Tensor | None, zeros: int = 0) -> Tensor:
    """A copy of a tensor in float64 on the CPU; for None, zeros."""
    if tensor is None:
        return torch.zeros(zeros, dtype=torch.float64)
    return tensor.detach().double().cpu()


def fold(chain: Iterable[Step]) -> Steps:
    """The same function in fewer steps."""
    folded: Steps = ()
    for step in chain:
        folded = (*folded[:-1], *_fold_pair(folded[-1], step)) if folded else (step,)
    return folded


def _fold_pair(first: Step, second: Step) -> Steps:
    """Two steps as one, if one step can compute the same; otherwise both."""
    match first, second:
        case Convolve(then="nothing"), Affine():
            return (_fold_after(first, second),)
        case Affine(then="nothing"), Affine():
            scale, shift = first.scale * second.scale, first.shift * second.scale + second.shift
            return (Affine(scale=scale, shift=shift, then=second.then, norms=first.norms + second.norms),)
        case Affine(then="nothing"), Convolve() if unpadded(second):
            return (_fold_before(first, second),)
        case ((Convolve() | Affine()), Plain(op=Relu())):
            return (replace(first, then="relu"),)
        case _:
            return first, second


def unpadded(convolution: Convolve) -> bool:
    """Whether a convolution has no padding."""
    return convolution.op.kernel == 1


def _fold_after(convolution: Convolve, affine: Affine) -> Convolve:
    """scale·(W·x + b) + shift = (scale·W)·x + (scale·b + shift)."""
    weight = convolution.weight * affine.scale[:, None, None, None]
    bias = convolution.bias * affine.scale + affine.shift
    return replace(convolution, weight=weight, bias=bias, then=affine.then)


def _fold_before(affine: Affine, convolution: Convolve) -> Convolve:
    """W·(scale·x + shift) + b = (W·scale)·x + (W·shift + b), for a convolution without padding."""
    weight, groups = convolution.weight, convolution.op.groups
    scale = affine.scale.view(groups, 1, -1).expand(groups, len(weight) // groups, -1)
    scaled = weight * scale.reshape(len(weight), -1, 1, 1)
    offset = F.conv2d(affine.shift[None, :, None, None], weight.sum((2, 3), keepdim=True), groups=groups)
    return replace(convolution, weight=scaled, bias=convolution.bias + offset.flatten())


def fold_bodies(bodies: Sequence[Steps], merged: Steps, *, merge: plan.Merge) -> tuple[tuple[Steps, ...], Steps]:
    """Fold the norm after the sum or concatenation of bodies into their last convolutions; also the remaining steps.

    In slices nothing is folded: one body reads the output of another, and one has no convolution.
    """
    if merge in ("slices", "cascade"):
        return tuple(bodies), merged
    ends = [body[-1] for body in bodies if isinstance(body[-1], Convolve) and body[-1].then == "nothing"]
    if not merged or not isinstance(affine := merged[0], Affine) or len(ends) < len(bodies):
        return tuple(bodies), merged
    if merge == "concat":
        parts = zip(affine.scale.chunk(len(ends)), affine.shift.chunk(len(ends)), strict=True)
    else:
        parts = [(affine.scale, affine.shift if k == 0 else affine.shift * 0) for k in range(len(ends))]
    lasts = [
        _fold_after(end, Affine(scale=scale, shift=shift)) for end, (scale, shift) in zip(ends, parts, strict=True)
    ]
    rest = (Plain(Relu(), nn.ReLU()),) if affine.then == "relu" else ()
    return tuple((*body[:-1], end) for body, end in zip(bodies, lasts, strict=True)), (*rest, *merged[1:])


def remaining_norms(chain: Steps, *, after: str, before: str) -> list[Unfolded]:
    """The norms that remain in a chain; `after` and `before` describe the neighbours of the chain."""
    begins, ends = [*map(_words, chain), before], [after, *map(_end_words, chain)]
    return [
        Unfolded(path, f"after {ends[k]}, before {'a relu' if step.then == 'relu' else begins[k + 1]}")
        for k, step in enumerate(chain)
        if isinstance(step, Affine)
        for path in step.norms
    ]


def _end_words(step: Step) -> str:
    return "a relu" if isinstance(step, Convolve | Affine) and step.then == "relu" else _words(step)


def _words(step: Step) -> str:
    match step:
        case Convolve():
            return "a 1x1 convolution" if unpadded(step) else "a padded convolution"
        case Affine():
            return "a scale"
        case Classify():
            return "the classifier"
        case Plain(op=MaxPool() | AvgPool() | SlidingMean() | GlobalPool()):
            return "a pool"
        case Plain(op=op):
            return f"a {type(op).__name__.lower()}"
