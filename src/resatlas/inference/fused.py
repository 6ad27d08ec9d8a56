"""Steps of inference as calls: one call for a convolution with its bias, its relu and the sum that it adds to.

On a CPU in float32 and bfloat16 that call is oneDNN's, on maps whose channels lie side by side, with weights laid out
beforehand; elsewhere it is composed of torch's own. Source: the operations to which torch.compile brings a convolution
on a CPU (torch/_inductor/fx_passes/mkldnn_fusion.py, torch 2.14).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from resatlas.inference.folding import Affine, Classify, Convolve, Plain, Step, Then

Precision = Literal["fp64", "fp32", "bf16"]

Kernels = Literal["oneDNN", "torch"]

Asked = Literal["fastest", "torch"]
"""Whose kernels may be used: the fastest that are here, or torch's own, which every tool of torch knows."""

Other = Literal["kept", "spent"]
"""Whether the other summand is read again; a spent one may become the sum."""

Call = Callable[[Tensor], Tensor]
Calls = tuple[Call, ...]

_DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16}
_CALLED = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
_ONEDNN: dict[Then, str | None] = {"nothing": None, "relu": "relu"}


@dataclass(frozen=True)
class Place:
    """Where steps are carried out, in which numbers and by whose kernels."""

    device: torch.device
    precision: Precision
    asked: Asked = "fastest"

    @property
    def dtype(self) -> torch.dtype:
        """The numbers of maps and weights."""
        return _DTYPES[self.precision]

    @property
    def kernels(self) -> Kernels:
        """Those of oneDNN where it takes such numbers and torch has the calls, whose names are its own affair."""
        ops = torch.ops.mkldnn
        if self.asked == "torch":
            return "torch"
        if self.device.type != "cpu" or self.precision == "fp64" or not torch.backends.mkldnn.is_available():
            return "torch"
        if not all(hasattr(ops, name) for name in (*_CALLED, "_is_mkldnn_bf16_supported")):
            return "torch"
        if self.precision == "bf16" and not ops._is_mkldnn_bf16_supported():  # noqa: SLF001 - no public name
            return "torch"
        return "oneDNN"

    def put(self, tensor: Tensor) -> Tensor:
        """A tensor there."""
        return tensor.to(self.device, self.dtype)


def after(x: Tensor, then: Then) -> Tensor:
    """What follows a tensor that nobody else reads."""
    match then:
        case "nothing":
            return x
        case "relu":
            return x.relu_()
        case _:
            assert_never(then)


class Formed:
    """x -> x: of a residual that nothing else reads."""

    def __call__(self, x: Tensor) -> Tensor:
        """The residual itself."""
        return x

    def added(self, x: Tensor, other: Tensor, *, then: Then, other_is: Other) -> Tensor:  # noqa: ARG002 - x is spent
        """then(x + other)."""
        return after(x.add_(other), then)


class OneDnn:
    """A convolution of oneDNN, its weight in the layout that the kernel for its input wants."""

    def __init__(self, step: Convolve, place: Place) -> None:
        ops = torch.ops.mkldnn
        self._plain, self._added, self._onto = (
            ops._convolution_pointwise.default,  # noqa: SLF001 - no public name
            ops._convolution_pointwise.binary,  # noqa: SLF001
            ops._convolution_pointwise_.binary,
        )
        weight = place.put(step.weight).contiguous(memory_format=torch.channels_last)
        where = [step.op.kernel // 2] * 2, [step.op.stride] * 2, [1, 1], step.op.groups
        packed = ops._reorder_convolution_weight(weight, *where, [1, *step.input])  # noqa: SLF001
        self._given = packed, place.put(step.bias), *where
        self._then = _ONEDNN[step.then] or "none"
        self._place = place
        self._bare = replace(step, weight=step.weight[:0], bias=step.bias[:0])

    def __reduce__(self) -> tuple[type["OneDnn"], tuple[Convolve, Place]]:
        """A copy, or what a file keeps: the weight in torch's layout, which is packed again where it comes to life."""
        packed, bias = self._given[:2]
        return OneDnn, (replace(self._bare, weight=packed.to_dense(), bias=bias), self._place)

    def __call__(self, x: Tensor) -> Tensor:
        """then(conv(x) + bias)."""
        return self._plain(x, *self._given, self._then, [], "")

    def added(self, x: Tensor, other: Tensor, *, then: Then, other_is: Other) -> Tensor:
        """then(conv(x) + bias + other)."""
        match other_is:
            case "kept":
                return self._added(x, other, *self._given, "add", 1.0, _ONEDNN[then], [], None)
            case "spent":
                return self._onto(other, x, *self._given, "add", 1.0, _ONEDNN[then], [], None)
            case _:
                assert_never(other_is)


class Composed:
    """A convolution of torch, and what follows it in place."""

    def __init__(self, step: Convolve, place: Place) -> None:
        self._given = place.put(step.weight), place.put(step.bias), step.op.stride, step.op.kernel // 2
        self._groups = step.op.groups
        self._then: Then = step.then

    def __call__(self, x: Tensor) -> Tensor:
        """then(conv(x) + bias)."""
        return after(F.conv2d(x, *self._given, groups=self._groups), self._then)

    def added(self, x: Tensor, other: Tensor, *, then: Then, other_is: Other) -> Tensor:  # noqa: ARG002 - both end the same
        """then(conv(x) + bias + other)."""
        return after(F.conv2d(x, *self._given, groups=self._groups).add_(other), then)


Ending = Formed | OneDnn | Composed
"""The last call f of a residual: f(x), and then(f(x) + other)."""


def calls(steps: Iterable[Step], place: Place) -> Calls:
    """The steps, ready to be carried out."""
    return tuple(_call(step, place) for step in steps)


def run(some: Iterable[Call], x: Tensor) -> Tensor:
    """One call after another."""
    for call in some:
        x = call(x)
    return x


def convolution(step: Convolve, place: Place) -> Ending:
    """A convolution, ready to be carried out."""
    match place.kernels:
        case "oneDNN":
            return OneDnn(step, place)
        case "torch":
            return Composed(step, place)
        case kernels:
            assert_never(kernels)


@dataclass(frozen=True, eq=False)
class Classified:
    """x -> weight·x + bias."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The logits."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Scaled:
    """x -> then(scale·x + shift), in one multiplication."""

    scale: Tensor
    shift: Tensor
    then: Then

    def __call__(self, x: Tensor) -> Tensor:
        """The maps, scaled and moved."""
        return after(torch.addcmul(self.shift, x, self.scale), self.then)


@dataclass(frozen=True, eq=False)
class Normed:
    """x -> then(scale·x + shift) of a bfloat16 map in float32 by the kernel of a norm, which is the faster there."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor
    then: Then

    def __call__(self, x: Tensor) -> Tensor:
        """The maps, scaled and moved."""
        return after(F.batch_norm(x, self.mean, self.variance, self.scale, self.shift, eps=0.0), self.then)


def _call(step: Step, place: Place) -> Call:
    match step:
        case Convolve():
            return convolution(step, place)
        case Affine():
            return _affine(step, place)
        case Classify(weight=weight, bias=bias):
            return Classified(place.put(weight), place.put(bias))
        case Plain(module=module):
            return module.forward
        case _:
            assert_never(step)


def _affine(step: Affine, place: Place) -> Call:
    if place.precision == "bf16":
        scale, shift = (each.to(place.device, torch.float32) for each in (step.scale, step.shift))
        return Normed(scale, shift, torch.zeros_like(scale), torch.ones_like(scale), step.then)
    scale, shift = (place.put(each)[None, :, None, None] for each in (step.scale, step.shift))
    return Scaled(scale, shift, step.then)
