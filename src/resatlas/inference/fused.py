"""Fused calls for inference: one call for a convolution with its bias, its relu and the following addition.

On a CPU in float32 and bfloat16 the call is one of oneDNN, on channels-last maps and with weights packed beforehand;
otherwise it is composed of torch's own functions. Source: the operations that torch.compile uses for a convolution on a
CPU (torch/_inductor/fx_passes/mkldnn_fusion.py, torch 2.14).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from resatlas.inference.folding import Affine, Classify, Convolve, Plain, Step, Then
from resatlas.values.weights import Storage

Precision = Literal["fp64", "fp32", "bf16"]

Kernels = Literal["oneDNN", "torch"]

KernelChoice = Literal["fastest", "torch"]
"""The allowed kernels: the fastest that are available, or torch's own, which all tools of torch support."""

Reuse = Literal["keep", "overwrite"]
"""Whether the other summand is needed later, or may be overwritten by the sum."""

Call = Callable[[Tensor], Tensor]
Calls = tuple[Call, ...]

_DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16}
_REQUIRED_OPS = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
_ONEDNN: dict[Then, str | None] = {"nothing": None, "relu": "relu"}


@dataclass(frozen=True)
class Target:
    """The device, the precision and the kernels of an inference network, and the precision of its stored weights."""

    device: torch.device
    precision: Precision
    choice: KernelChoice = "fastest"
    stored: Storage = "own"

    @property
    def dtype(self) -> torch.dtype:
        """The type of maps and weights."""
        return _DTYPES[self.precision]

    @property
    def kernels(self) -> Kernels:
        """The kernels: oneDNN if it supports the precision and torch has its operations, whose names are private."""
        ops = torch.ops.mkldnn
        if self.choice == "torch":
            return "torch"
        if self.device.type != "cpu" or self.precision == "fp64" or not torch.backends.mkldnn.is_available():
            return "torch"
        if not all(hasattr(ops, name) for name in (*_REQUIRED_OPS, "_is_mkldnn_bf16_supported")):
            return "torch"
        if self.precision == "bf16" and not ops._is_mkldnn_bf16_supported():  # noqa: SLF001 - no public name
            return "torch"
        return "oneDNN"

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor on the device, in the type of maps and weights; values too large for fp16 keep their precision."""
        if self.stored == "fp16":
            rounded = tensor.float().half()
            tensor = rounded if rounded.isfinite().all() else tensor.float()
        return tensor.to(self.device, self.dtype)


def after(x: Tensor, then: Then) -> Tensor:
    """Apply `then` to a tensor in place."""
    match then:
        case "nothing":
            return x
        case "relu":
            return x.relu_()
        case _:
            assert_never(then)


class Computed:
    """x -> x, for a residual that is already computed."""

    def __call__(self, x: Tensor) -> Tensor:
        """The residual itself."""
        return x

    def added(self, x: Tensor, other: Tensor, *, then: Then, reuse: Reuse) -> Tensor:  # noqa: ARG002 - x is overwritten
        """then(x + other)."""
        return after(x.add_(other), then)


class OneDnn:
    """A convolution of oneDNN, with its weight in the layout of the kernel for its input shape."""

    def __init__(self, step: Convolve, target: Target) -> None:
        ops = torch.ops.mkldnn
        self._plain, self._added, self._onto = (
            ops._convolution_pointwise.default,  # noqa: SLF001 - no public name
            ops._convolution_pointwise.binary,  # noqa: SLF001
            ops._convolution_pointwise_.binary,
        )
        weight = target.put(step.weight).contiguous(memory_format=torch.channels_last)
        op = step.op
        geometry = [op.padding] * 2, [op.stride] * 2, [op.dilation] * 2, op.groups
        packed = ops._reorder_convolution_weight(weight, *geometry, [1, *step.input])  # noqa: SLF001
        self._arguments = packed, target.put(step.bias), *geometry
        self._then = _ONEDNN[step.then] or "none"
        self._target = target
        self._bare = replace(step, weight=step.weight[:0], bias=step.bias[:0])

    def __reduce__(self) -> tuple[type["OneDnn"], tuple[Convolve, Target]]:
        """Pickle the weight in torch's layout; loading packs it again."""
        packed, bias = self._arguments[:2]
        return OneDnn, (replace(self._bare, weight=packed.to_dense(), bias=bias), self._target)

    def __call__(self, x: Tensor) -> Tensor:
        """then(conv(x) + bias)."""
        return self._plain(x, *self._arguments, self._then, [], "")

    def added(self, x: Tensor, other: Tensor, *, then: Then, reuse: Reuse) -> Tensor:
        """then(conv(x) + bias + other)."""
        match reuse:
            case "keep":
                return self._added(x, other, *self._arguments, "add", 1.0, _ONEDNN[then], [], None)
            case "overwrite":
                return self._onto(other, x, *self._arguments, "add", 1.0, _ONEDNN[then], [], None)
            case _:
                assert_never(reuse)


class Composed:
    """A convolution of torch; what follows runs in place."""

    def __init__(self, step: Convolve, target: Target) -> None:
        op = step.op
        self._arguments = target.put(step.weight), target.put(step.bias), op.stride, op.padding, op.dilation, op.groups
        self._then: Then = step.then

    def __call__(self, x: Tensor) -> Tensor:
        """then(conv(x) + bias)."""
        return after(F.conv2d(x, *self._arguments), self._then)

    def added(self, x: Tensor, other: Tensor, *, then: Then, reuse: Reuse) -> Tensor:  # noqa: ARG002 - the same either way
        """then(conv(x) + bias + other)."""
        return after(F.conv2d(x, *self._arguments).add_(other), then)


LastCall = Computed | OneDnn | Composed
"""The last call f of a residual: f(x), and then(f(x) + other)."""


def calls(steps: Iterable[Step], target: Target) -> Calls:
    """The calls that carry out the steps."""
    return tuple(_call(step, target) for step in steps)


def run(chain: Iterable[Call], x: Tensor) -> Tensor:
    """Apply the calls of a chain to x, one after another."""
    for call in chain:
        x = call(x)
    return x


def convolution(step: Convolve, target: Target) -> LastCall:
    """The call that carries out a convolution."""
    match target.kernels:
        case "oneDNN":
            return OneDnn(step, target)
        case "torch":
            return Composed(step, target)
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
        """The maps, scaled and shifted."""
        return after(torch.addcmul(self.shift, x, self.scale), self.then)


@dataclass(frozen=True, eq=False)
class Normed:
    """x -> then(scale·x + shift) for bfloat16 maps, computed in float32 by batch_norm, which is faster there."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor
    then: Then

    def __call__(self, x: Tensor) -> Tensor:
        """The maps, scaled and shifted."""
        return after(F.batch_norm(x, self.mean, self.variance, self.scale, self.shift, eps=0.0), self.then)


def _call(step: Step, target: Target) -> Call:
    match step:
        case Convolve():
            return convolution(step, target)
        case Affine():
            return _affine(step, target)
        case Classify(weight=weight, bias=bias):
            return Classified(target.put(weight), target.put(bias))
        case Plain(module=module):
            return module.forward
        case _:
            assert_never(step)


def _affine(step: Affine, target: Target) -> Call:
    if target.precision == "bf16":
        scale, shift = (values.to(target.device, torch.float32) for values in (step.scale, step.shift))
        return Normed(scale, shift, torch.zeros_like(scale), torch.ones_like(scale), step.then)
    scale, shift = (target.put(values)[None, :, None, None] for values in (step.scale, step.shift))
    return Scaled(scale, shift, step.then)
