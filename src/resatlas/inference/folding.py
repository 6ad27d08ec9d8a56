"""Chains of a network in evaluation as steps of inference: every normalisation that a convolution can take, taken.

In evaluation a norm is x -> scale·x + shift, per channel. A convolution right before it takes both into its weights,
and so does a 1x1 convolution right behind it. A padded convolution behind it does not: the zeros around its input stand
for themselves, not for `shift`. What no convolution takes stays a scale and a shift, with the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.arch import plan
from resatlas.arch.ops import AvgPool, Convolution, Dropout, GlobalPool, Linear, MaxPool, Norm, Relu, Scale, Shape

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
    """x -> then(scale·x + shift), per channel; `norms` are the paths of those that it is made of."""

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
    """An operation without numbers, carried out by the network's own module."""

    op: plan.Op
    module: nn.Module


Step = Convolve | Affine | Classify | Plain
Steps = tuple[Step, ...]


class Unfolded(NamedTuple):
    """A norm that no convolution took, and why."""

    path: str
    reason: str


def steps(prefix: str, chain: plan.Chain, modules: Mapping[str, nn.Module]) -> Steps:
    """The layers of a chain in evaluation, a step each, in float64; a dropout is none."""
    named = [(f"{prefix}.{layer.role}", layer) for layer in chain if not isinstance(layer.op, Dropout)]
    return tuple(_step(path, layer, modules[path]) for path, layer in named)


def _step(path: str, layer: plan.Layer, module: nn.Module) -> Step:
    channels = layer.output.channels
    match layer.op, module:
        case Convolution() as op, nn.Conv2d(weight=weight, bias=bias):
            return Convolve(op=op, input=layer.input, weight=exact(weight), bias=exact(bias, channels))
        case Norm(eps=eps), nn.BatchNorm2d(running_mean=mean, running_var=variance):
            scale = exact(module.weight) / (exact(variance) + eps).sqrt()
            return Affine(scale=scale, shift=exact(module.bias) - exact(mean) * scale, norms=(path,))
        case Scale(factor=factor), _:
            return Affine(scale=exact(None, channels) + float(factor), shift=exact(None, channels))
        case Linear(), nn.Linear(weight=weight, bias=bias):
            return Classify(exact(weight), exact(bias))
        case op, _:
            return Plain(op, module)


def exact(tensor: Tensor | None, zeros: int = 0) -> Tensor:
    """A tensor in float64 beside the network; without one, zeros."""
    if tensor is None:
        return torch.zeros(zeros, dtype=torch.float64)
    return tensor.detach().double().cpu()


def folded(some: Iterable[Step]) -> Steps:
    """The same function in fewer steps."""
    done: Steps = ()
    for step in some:
        done = (*done[:-1], *joined(done[-1], step)) if done else (step,)
    return done


def joined(first: Step, second: Step) -> Steps:
    """Two steps as one, where one does the same."""
    match first, second:
        case Convolve(then="nothing"), Affine():
            return (behind(first, second),)
        case Affine(then="nothing"), Affine():
            scale, shift = first.scale * second.scale, first.shift * second.scale + second.shift
            return (Affine(scale=scale, shift=shift, then=second.then, norms=first.norms + second.norms),)
        case Affine(then="nothing"), Convolve() if unpadded(second):
            return (before(first, second),)
        case ((Convolve() | Affine()), Plain(op=Relu())):
            return (replace(first, then="relu"),)
        case _:
            return first, second


def unpadded(convolution: Convolve) -> bool:
    """Whether every value that it reads is one of its input."""
    return convolution.op.kernel == 1


def behind(convolution: Convolve, affine: Affine) -> Convolve:
    """scale·(W·x + b) + shift = (scale·W)·x + (scale·b + shift)."""
    weight = convolution.weight * affine.scale[:, None, None, None]
    bias = convolution.bias * affine.scale + affine.shift
    return replace(convolution, weight=weight, bias=bias, then=affine.then)


def before(affine: Affine, convolution: Convolve) -> Convolve:
    """W·(scale·x + shift) + b = (W·scale)·x + (W·shift + b), where no padding lies around x."""
    weight, groups = convolution.weight, convolution.op.groups
    scale = affine.scale.view(groups, 1, -1).expand(groups, len(weight) // groups, -1)
    scaled = weight * scale.reshape(len(weight), -1, 1, 1)
    moved = F.conv2d(affine.shift[None, :, None, None], weight.sum((2, 3), keepdim=True), groups=groups)
    return replace(convolution, weight=scaled, bias=convolution.bias + moved.flatten())


def folded_bodies(
    bodies: Sequence[Steps], merged: Steps, *, merge: Literal["sum", "concat"]
) -> tuple[tuple[Steps, ...], Steps]:
    """Bodies that take the norm behind their sum or behind their outputs side by side, and what is left behind them."""
    lasts = [body[-1] for body in bodies]
    ends = [last for last in lasts if isinstance(last, Convolve) and last.then == "nothing"]
    if not merged or not isinstance(affine := merged[0], Affine) or len(ends) < len(bodies):
        return tuple(bodies), merged
    if merge == "concat":
        parts = zip(affine.scale.chunk(len(ends)), affine.shift.chunk(len(ends)), strict=True)
    else:
        parts = [(affine.scale, affine.shift if k == 0 else affine.shift * 0) for k in range(len(ends))]
    taken = [behind(end, Affine(scale=scale, shift=shift)) for end, (scale, shift) in zip(ends, parts, strict=True)]
    rest = (Plain(Relu(), nn.ReLU()),) if affine.then == "relu" else ()
    return tuple((*body[:-1], end) for body, end in zip(bodies, taken, strict=True)), (*rest, *merged[1:])


def left(some: Steps, *, behind: str, before: str) -> list[Unfolded]:
    """The norms that are left in a chain, which stands behind and before what the words say."""
    begins, ends = [*map(_words, some), before], [behind, *map(_end_words, some)]
    return [
        Unfolded(path, f"behind {ends[k]}, before {'a relu' if step.then == 'relu' else begins[k + 1]}")
        for k, step in enumerate(some)
        if isinstance(step, Affine)
        for path in step.norms
    ]


def _end_words(step: Step) -> str:
    return "a relu" if isinstance(step, Convolve | Affine) and step.then == "relu" else _words(step)


def _words(step: Step) -> str:
    match step:
        case Convolve():
            return "a 1x1 convolution" if unpadded(step) else "a convolution whose padding it would move"
        case Affine():
            return "a scale"
        case Classify():
            return "the classifier"
        case Plain(op=MaxPool() | AvgPool() | GlobalPool()):
            return "a pool"
        case Plain(op=op):
            return f"a {type(op).__name__.lower()}"
