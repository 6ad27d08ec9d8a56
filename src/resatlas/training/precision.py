"""The precision of a training: convolutions and products use it, everything else uses float32.

Weights, gradients, updates, statistics of norms and the loss are float32 at every precision. Every test is float32 too,
so it does not depend on the precision of the training. fp16 has a small range of exponents, so its loss is scaled up;
where a gradient overflows, the scale is halved and the update is skipped.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import assert_never

import torch

from resatlas.errors import NonFiniteError
from resatlas.recipes.recipe import Precision
from resatlas.runs.environment import processor_flags

FIRST_SCALE = 2.0**16
"""Source: torch.amp.GradScaler, which also halves at an overflow and doubles after 2,000 steps without one."""

LEAST_SCALE = 2.0**-10
"""The least scale: a gradient that still overflows here has another cause than the scale."""

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""The names in /proc/cpuinfo of instructions that multiply in bfloat16, on x86 and on Arm."""


def automatic_precision(device: torch.device) -> tuple[Precision, str]:
    """The precision that `auto` selects on a device, and the reason: what the hardware supports."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU multiplies in bfloat16"
        return "fp16", "the GPU does not multiply in bfloat16"
    flags = sorted(_BF16_FLAGS & processor_flags())
    if flags:
        return "bf16", f"the processor has {flags[0]}"
    return "fp32", "the processor does not multiply in bfloat16"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context of the forward pass of a training step."""
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
    """The scaler of the loss: enabled in fp16 only."""
    return torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=precision == "fp16")


def overflowed(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> bool:
    """Unscale the gradients, and return whether one of them overflows; the scale is then halved.

    Gradients are the same in all processes that train together, and so is the result.
    Raises: NonFiniteError at an overflow with the least scale.
    """
    before = scaler.get_scale()
    scaler.unscale_(optimizer)
    scaler.update()
    overflow = scaler.get_scale() < before
    if overflow and before <= LEAST_SCALE:
        raise NonFiniteError(
            f"a gradient overflows fp16 at every scale of the loss down to {before:g}; a lower schedule.peak or "
            "precision=bf16 may help"
        )
    return overflow
