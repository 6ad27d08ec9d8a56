"""The proof that a program computes what its network does: both in float64, on the same image."""

from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.exporting.page.program import Apply, Combine, Concat, Operation, Part, Program, Weigh
from resatlas.inference.folding import Affine, Classify, Convolve, Plain, Step, Then


def logits_of(program: Program, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
    """The logits that the operations compute, one after another, in float64."""
    maps = [images.double()]
    for operation in program.operations:
        maps.append(_result(operation, maps))
    return maps[-1].flatten(1)


def _result(operation: Operation, maps: list[Tensor]) -> Tensor:
    match operation:
        case Apply(step=step, of=of):
            return _applied(step, maps[of])
        case Combine(of=of, shares=shares, over=over, then=then):
            total = torch.stack([share * maps[x] for x, share in zip(of, shares, strict=True)]).sum(dim=0)
            return _after(total / over, then)
        case Concat(of=of):
            return torch.cat([maps[x] for x in of], dim=1)
        case Part(of=of, start=start, channels=channels):
            return maps[of][:, start : start + channels]
        case Weigh(of=of, gate=gate, by=by):
            return maps[of] * (maps[gate] if by == "gate" else 1 - maps[gate])
        case _:
            assert_never(operation)


def _applied(step: Step, x: Tensor) -> Tensor:
    match step:
        case Convolve(op=op, weight=weight, bias=bias, then=then):
            return _after(F.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups), then)
        case Affine(scale=scale, shift=shift, then=then):
            return _after(x * scale[:, None, None] + shift[:, None, None], then)
        case Classify(weight=weight, bias=bias):
            return F.linear(x.flatten(1), weight, bias)
        case Plain(module=module):
            return _with_positions(module(x))
        case _:
            assert_never(step)


def _with_positions(x: Tensor) -> Tensor:
    """The map of a global pool, (n, c), as (n, c, 1, 1)."""
    return x[:, :, None, None] if x.ndim == 2 else x


def _after(x: Tensor, then: Then) -> Tensor:
    match then:
        case "nothing":
            return x
        case "relu":
            return nn.functional.relu(x)
        case _:
            assert_never(then)
