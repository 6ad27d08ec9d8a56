"""The precision in which a network trains: products and sums over channels in it, everything else in float32.

Weights, their gradients and updates, statistics of norms and the loss are float32 at every precision; so is every
test, which is the same whatever a network was trained in. fp16 has few exponents, so its loss is scaled up, and the
scale is halved, and the update left out, where a gradient overflows.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import assert_never

import torch

from resatlas.errors import NonFiniteError
from resatlas.recipes.recipe import Precision
from resatlas.runs.environment import processor_flags

FIRST_SCALE = 2.0**16
"""Source: the default of torch.amp.GradScaler, as are halving, and doubling after 2,000 steps without an overflow."""

LEAST_SCALE = 2.0**-10
"""Below which a gradient that still overflows is no matter of its scale."""

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""How /proc/cpuinfo calls instructions that multiply in bfloat16, on x86 and on Arm."""


def chosen(device: torch.device) -> tuple[Precision, str]:
    """The precision that `auto` is on a device, and the reason: what its hardware multiplies in."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU multiplies in bfloat16"
        return "fp16", "the GPU does not multiply in bfloat16"
    found = sorted(BF16_FLAGS & processor_flags())
    if found:
        return "bf16", f"the processor has {found[0]}"
    return "fp32", "the processor does not multiply in bfloat16"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Where the forward pass of a training step happens."""
    match precision:
        case "fp32":
            return nullcontext()
        case "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        case "fp16":
            return torch.autocast(device.type, dtype=torch.float16)
        case _:
            assert_never(precision)


def scaler(precision: Precision | None, device: torch.device) -> torch.amp.GradScaler:
    """What scales the loss: in fp16 alone, elsewhere it does nothing."""
    return torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=precision == "fp16")


def overflowed(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> bool:
    """Give the gradients their true size, and say whether one of them has none; the scale is then halved.

    Gradients are the same in all processes that train together, and so is the answer.
    Raises: NonFiniteError if the scale is as small as it may be.
    """
    before = scaler.get_scale()
    scaler.unscale_(optimizer)
    scaler.update()
    found = scaler.get_scale() < before
    if found and before <= LEAST_SCALE:
        raise NonFiniteError(
            f"a gradient overflows fp16 at every scale of the loss down to {before:g}; a lower schedule.peak or "
            "precision=bf16 may help"
        )
    return found
