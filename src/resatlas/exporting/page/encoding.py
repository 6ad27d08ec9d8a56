"""Programs and preparations as JSON and bytes, which `plain_engine.js` and `image.js` read."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from torch import Tensor

from resatlas.arch.ops import (
    AvgPool,
    GlobalPool,
    MaxPool,
    Op,
    Relu,
    Sigmoid,
    SlidingMean,
    Subsample,
    ZeroChannels,
)
from resatlas.data.normalisation import Affine as Standardised
from resatlas.data.normalisation import Whitening
from resatlas.errors import UsageError
from resatlas.exporting.page.program import Apply, Combine, Concat, Operation, Part, Program, Weigh
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.inference.folding import Affine, Classify, Convolve, Plain
from resatlas.nets.layers import ZeroChannelsModule

Precision = Literal["fp32", "fp16"]
"""The type of the weights in the file; a page computes in float64 and keeps maps in float32."""

_TYPES: Mapping[Precision, str] = {"fp32": "<f4", "fp16": "<f2"}


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A table for JSON, and the numbers that it refers to by their places in base64 text."""

    table: dict[str, Any]
    numbers: str


@dataclass
class _Numbers:
    """Numbers of tensors, one after another."""

    dtype: str
    parts: list[bytes] = field(default_factory=list)
    count: int = 0

    def add(self, tensor: Tensor) -> int:
        """The place of the first number of a tensor."""
        place = self.count
        self.parts.append(tensor.detach().cpu().numpy().astype(self.dtype).tobytes())
        self.count += tensor.numel()
        return place

    def text(self) -> str:
        """All numbers as base64."""
        return b64encode(b"".join(self.parts)).decode("ascii")


def encoded_program(program: Program, precision: Precision) -> Encoded:
    """The operations of a program, each with the shape of its result; weights are given by their places."""
    numbers = _Numbers(_TYPES[precision])
    operations = [
        {**_operation(operation, numbers), "shape": list(shape)}
        for operation, shape in zip(program.operations, program.shapes[1:], strict=True)
    ]
    table = {"image": list(program.shapes[0]), "numbers": precision, "operations": operations}
    return Encoded(table=table, numbers=numbers.text())


def encoded_preparation(preparation: Preprocessing) -> Encoded:
    """The size of the resized image and of the crop, and the normalisation, always in float32.

    Raises: UsageError if the network takes images of neither one nor three channels.
    """
    channels, height, width = preparation.image
    if channels not in (1, 3):
        raise UsageError(f"the network takes images of {channels} channels; image files have 3, or 1 (greyscale)")
    numbers = _Numbers(_TYPES["fp32"])
    match preparation.normaliser:
        case Standardised(mean=mean, std=std):
            table = {"kind": "affine", "mean": _counted(mean, numbers), "std": _counted(std, numbers)}
        case Whitening(mean=mean, matrix=matrix, contrast=contrast):
            table = {
                "kind": "whitening",
                "mean": _counted(mean, numbers),
                "matrix": _counted(matrix, numbers),
                "contrast": _counted(contrast, numbers),
            }
        case _:
            assert_never(preparation.normaliser)
    shorter = math.floor(preparation.view.shorter * height + 0.5)
    return Encoded(
        table={"image": [channels, height, width], "shorter": shorter, "normalisation": table}, numbers=numbers.text()
    )


def _counted(tensor: Tensor, numbers: _Numbers) -> list[int]:
    """The place of a tensor, and how many numbers it has."""
    return [numbers.add(tensor), tensor.numel()]


def _operation(operation: Operation, numbers: _Numbers) -> dict[str, Any]:
    match operation:
        case Apply(of=of):
            return {**_step(operation, numbers), "of": [of]}
        case Combine(of=of, shares=shares, over=over, then=then):
            return {"do": "combine", "of": of, "shares": shares, "over": over, "relu": then == "relu"}
        case Concat(of=of):
            return {"do": "concat", "of": of}
        case Part(of=of, start=start):
            return {"do": "part", "of": [of], "start": start}
        case Weigh(of=of, gate=gate, by=by):
            return {"do": "weigh", "of": [of, gate], "by": by}
        case _:
            assert_never(operation)


def _step(operation: Apply, numbers: _Numbers) -> dict[str, Any]:
    match operation.step:
        case Convolve(op=op, weight=weight, bias=bias, then=then):
            return {
                "do": "convolve",
                "kernel": op.kernel,
                "stride": op.stride,
                "dilation": op.dilation,
                "groups": op.groups,
                "relu": then == "relu",
                "weight": numbers.add(weight),
                "bias": numbers.add(bias),
            }
        case Affine(scale=scale, shift=shift, then=then):
            return {"do": "affine", "relu": then == "relu", "scale": numbers.add(scale), "shift": numbers.add(shift)}
        case Classify(weight=weight, bias=bias):
            return {"do": "classify", "weight": numbers.add(weight), "bias": numbers.add(bias)}
        case Plain(op=ZeroChannels(), module=ZeroChannelsModule(before=before)):
            return {"do": "zeros", "before": before}
        case Plain(op=op):
            return _weightless(op)
        case _:
            assert_never(operation.step)


def _weightless(op: Op) -> dict[str, Any]:
    match op:
        case MaxPool(kernel=kernel, stride=stride):
            return {"do": "maxpool", "kernel": kernel, "stride": stride}
        case AvgPool(stride=stride, kernel=None):
            return {"do": "avgpool", "stride": stride}
        case AvgPool(stride=stride, kernel=kernel):
            return {"do": "centredmean", "stride": stride, "kernel": kernel}
        case SlidingMean(size=size, dilation=dilation):
            return {"do": "slidingmean", "size": size, "dilation": dilation}
        case Subsample(stride=stride, shift=None):
            return {"do": "subsample", "stride": stride}
        case Subsample(stride=stride, shift=shift):
            return {"do": "shifted", "stride": stride, "shift": shift}
        case GlobalPool():
            return {"do": "globalpool"}
        case Relu():
            return {"do": "relu"}
        case Sigmoid():
            return {"do": "sigmoid"}
        case _:
            raise UsageError(f"a page cannot carry out {type(op).__name__}")  # norms and products are steps


def finite(program: Program) -> bool:
    """Whether every weight of a program is a finite number."""
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(program))


def _tensors(program: Program) -> Sequence[Tensor]:
    steps = [operation.step for operation in program.operations if isinstance(operation, Apply)]
    products = [
        tensor for step in steps if isinstance(step, Convolve | Classify) for tensor in (step.weight, step.bias)
    ]
    scales = [tensor for step in steps if isinstance(step, Affine) for tensor in (step.scale, step.shift)]
    return [*products, *scales]
